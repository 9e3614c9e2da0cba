// How a fence is lowered by hand: the statements that an operator is shown.

#include "control/records/fence.hpp"

#include "control/base/sql_quoting.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

constexpr const char* setting_name = "default_transaction_read_only";

std::string setting_before(const fence_memory& fence) {
    const std::string statement =
        fence.auto_conf
            ? fmt::format("ALTER SYSTEM SET {} = {}", setting_name, literal(*fence.auto_conf))
            : fmt::format("ALTER SYSTEM RESET {}", setting_name);
    return statement + "; SELECT pg_reload_conf()";
}

std::string grants_before(const fence_memory& fence) {
    std::vector<std::string> statements;
    for (const auto& [database, grants] : fence.connect) {
        for (const std::string& grant : grants) {
            statements.push_back(grant_connect_statement(database, grant));
        }
    }
    return fmt::format("{}", fmt::join(statements, "; "));
}

}  // namespace

std::string grant_connect_statement(const std::string& database, const std::string& grant) {
    return fmt::format("GRANT CONNECT ON DATABASE {} TO {}", identifier(database), grant);
}

std::string lowering_by_hand(const fence_memory& fence) {
    switch (fence.method) {
    case fence_method::revoke_connect:
        return "there: " + grants_before(fence);
    case fence_method::command:
        return "run: " + fence.lower_command;
    case fence_method::none:
    case fence_method::default_read_only:
    case fence_method::lock_tables:
        break;
    }
    return "there: " + setting_before(fence);
}

}  // namespace pgsluice::control
