#pragma once

#include "control/records/fence.hpp"
#include "protocol/errors.hpp"
#include "proxy/model/service_settings.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

enum class read_only_state : std::uint8_t {
    off,
    entering,  ///< a crash now leads back to off
    on,
    leaving,  ///< a crash now leads to off
};

/// What keeps sessions from writing that the proxy does not see.
enum class read_only_fence : std::uint8_t {
    none,
    settings,     ///< `--fence default`: read-only by default, large objects' writers revoked
    lock_tables,  ///< that, and every table locked against writes
};

/// What keeps the sessions from writing.
enum class read_only_means : std::uint8_t {
    guard,
    user,  ///< the backend's read_only_user; the guard for those that cannot have its login
};

std::string_view to_string(read_only_state value) noexcept;
/// As the argument --fence spells them.
std::string_view to_string(read_only_fence value) noexcept;
/// As the argument --by spells them.
std::string_view to_string(read_only_means value) noexcept;

/// Forced read-only of one service as the journal holds it, with all that undoing it takes.
struct read_only_record {
    read_only_state state = read_only_state::off;
    read_only_fence fence = read_only_fence::none;
    read_only_means means = read_only_means::guard;
    std::string backend{};  ///< that is fenced; empty without a fence
    fence_memory memory{};  ///< its default_transaction_read_only before
    /// Functions that PUBLIC could execute before, as GRANT takes them, by database.
    std::map<std::string, std::vector<std::string>> revoked{};

    /// What it means for sessions while it stands.
    proxy::forced_access access() const {
        return means == read_only_means::user ? proxy::forced_access::restricted
                                              : proxy::forced_access::guarded;
    }

    friend bool operator==(const read_only_record&, const read_only_record&) = default;
};

boost::json::object encode_read_only(const read_only_record& record);

/// Fails with what is wrong.
result<read_only_record> decode_read_only(const boost::json::object& fields);

}  // namespace pgsluice::control
