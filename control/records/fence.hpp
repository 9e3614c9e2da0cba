#pragma once

#include "control/config/fence_method.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// What was on a server before a fence was raised there, and how: all that lowering it takes.
struct fence_memory {
    /// `default_transaction_read_only` as postgresql.auto.conf had it; nothing if it had none.
    std::optional<std::string> auto_conf{};
    fence_method method = fence_method::default_read_only;
    /// Who was granted CONNECT, by database, each as GRANT takes it behind TO.
    std::map<std::string, std::vector<std::string>> connect{};
    /// The operator's commands: the configuration may be another one when they are needed.
    std::string raise_command{};
    std::string lower_command{};

    friend bool operator==(const fence_memory&, const fence_memory&) = default;
};

/// The fences that committed cutovers left, by backend.
using fence_memories = std::map<std::string, fence_memory, std::less<>>;

/// `grant` is one of fence_memory::connect's.
std::string grant_connect_statement(const std::string& database, const std::string& grant);

/// How an operator takes a raised fence down without pgsluice: the very statements or the command.
std::string lowering_by_hand(const fence_memory& fence);

/// Whether the fence is a setting, which the server itself tells of and an operator may have reset.
inline bool is_setting(fence_method method) {
    return method == fence_method::default_read_only || method == fence_method::lock_tables;
}

}  // namespace pgsluice::control
