#pragma once

#include "proxy/model/session_info.hpp"

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace pgsluice::proxy {

/// How long a client waits for the server to have acted on its CancelRequest.
inline constexpr std::chrono::seconds cancel_time{10};

/// Where a cancel key leads: the session may be on any worker and on any leg by now.
struct cancel_target {
    std::uint32_t worker = 0;
    std::size_t service = 0;
    session_id session = 0;
};

/// The BackendKeyData that clients were given ("Canceling Requests in Progress"). A client gets the
/// process id of its first backend and a secret of our own, as long as the backend's; it stays
/// valid when the session moves. Any thread.
class cancel_registry {
public:
    /// Draws a secret of `bytes` bytes from the system's CSPRNG that no other session with this pid
    /// has, and registers it.
    std::string add(std::int32_t pid, std::size_t bytes, const cancel_target& target);
    void remove(std::int32_t pid, const std::string& secret);
    std::optional<cancel_target> find(std::int32_t pid, const std::string& secret) const;

private:
    static std::string key_of(std::int32_t pid, const std::string& secret);

    mutable std::mutex mutex_;
    std::unordered_map<std::string, cancel_target> targets_;
};

}  // namespace pgsluice::proxy
