#include "control/service/mode.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgsluice::control {
namespace {

/// One row a mode, one column an event in the order of mode_event; `-` is illegal, otherwise the
/// initial letters of the mode that follows.
constexpr std::string_view truth[modes][mode_events] = {
    // recovered  hold       park    revert       reverted   commit       open       stay    drain
    {"serving", "-", "held", "-", "-", "-", "-", "-", "draining"},         // recovering
    {"-", "holding", "-", "-", "-", "-", "-", "-", "draining"},            // serving
    {"-", "-", "held", "reverting", "-", "-", "-", "-", "draining"},       // holding
    {"-", "-", "-", "reverting", "-", "switching", "-", "-", "draining"},  // held
    {"-", "-", "-", "-", "-", "-", "serving", "held", "-"},                // switching
    {"-", "-", "-", "-", "serving", "-", "-", "-", "draining"},            // reverting
    {"-", "-", "-", "-", "-", "-", "-", "-", "draining"},                  // draining
};

TEST(ModeMachine, EveryModeMeetsEveryEvent) {
    for (std::size_t from = 0; from < modes; ++from) {
        for (std::size_t event = 0; event < mode_events; ++event) {
            const auto initial = static_cast<mode>(from);
            const auto happens = static_cast<mode_event>(event);
            mode_machine machine(initial);
            const auto applied = machine.apply(happens);
            const std::string pair =
                std::string(to_string(initial)) + " + " + std::string(to_string(happens));
            if (truth[from][event] == "-") {
                ASSERT_TRUE(applied.has_error()) << pair;
                EXPECT_EQ(machine.current(), initial) << pair;
                EXPECT_EQ(
                    applied.error().message,
                    "\"" + std::string(to_string(happens)) + "\" is not possible while " +
                        std::string(to_string(initial))
                );
            } else {
                ASSERT_TRUE(applied.has_value()) << pair;
                EXPECT_EQ(to_string(*applied), truth[from][event]) << pair;
                EXPECT_EQ(machine.current(), *applied) << pair;
            }
        }
    }
}

TEST(ModeMachine, AfterTheCommitPointNothingLeadsBack) {
    for (const mode_transition& row : mode_table) {
        if (row.from == mode::switching) {
            EXPECT_NE(row.to, mode::reverting);
        }
    }
}

TEST(ModeMachine, OneTransitionAPair) {
    for (std::size_t i = 0; i < mode_table.size(); ++i) {
        for (std::size_t j = i + 1; j < mode_table.size(); ++j) {
            EXPECT_FALSE(
                mode_table[i].from == mode_table[j].from &&
                mode_table[i].event == mode_table[j].event
            );
        }
    }
}

}  // namespace
}  // namespace pgsluice::control
