#include "control/records/fence.hpp"

#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

TEST(LoweringByHand, ResetsTheSettingThatThereWasNot) {
    EXPECT_EQ(
        lowering_by_hand({}),
        "there: ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()"
    );
}

TEST(LoweringByHand, SetsTheSettingThatThereWas) {
    fence_memory fence;
    fence.method = fence_method::lock_tables;
    fence.auto_conf = "off";
    EXPECT_EQ(
        lowering_by_hand(fence),
        "there: ALTER SYSTEM SET default_transaction_read_only = E'off'; SELECT pg_reload_conf()"
    );
}

TEST(LoweringByHand, GivesEveryGrantBackAsItWas) {
    fence_memory fence;
    fence.method = fence_method::revoke_connect;
    fence.connect = {{"app", {"PUBLIC", "owner WITH GRANT OPTION"}}, {"My \"db\"", {"\"A b\""}}};
    EXPECT_EQ(
        lowering_by_hand(fence),
        "there: GRANT CONNECT ON DATABASE \"My \"\"db\"\"\" TO \"A b\"; "
        "GRANT CONNECT ON DATABASE \"app\" TO PUBLIC; "
        "GRANT CONNECT ON DATABASE \"app\" TO owner WITH GRANT OPTION"
    );
}

TEST(LoweringByHand, NamesTheOperatorsOwnCommand) {
    fence_memory fence;
    fence.method = fence_method::command;
    fence.lower_command = "ufw allow 5432";
    EXPECT_EQ(lowering_by_hand(fence), "run: ufw allow 5432");
}

}  // namespace
}  // namespace pgsluice::control
