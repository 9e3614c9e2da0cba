// Cancel keys of all workers in one table with a lock; nothing on the way of a message asks it.

#include "proxy/session/cancel_registry.hpp"

#include "protocol/errors.hpp"

#include <openssl/rand.h>

namespace pgsluice::proxy {

std::string cancel_registry::key_of(std::int32_t pid, const std::string& secret) {
    return std::to_string(pid) + ':' + secret;
}

std::string cancel_registry::add(std::int32_t pid, std::size_t bytes, const cancel_target& target) {
    std::string secret(bytes, '\0');
    for (;;) {
        auto* raw = reinterpret_cast<unsigned char*>(secret.data());
        PGSLUICE_ASSERT(RAND_bytes(raw, static_cast<int>(bytes)) == 1);
        const std::lock_guard lock(mutex_);
        if (targets_.try_emplace(key_of(pid, secret), target).second) {
            return secret;
        }
    }
}

void cancel_registry::remove(std::int32_t pid, const std::string& secret) {
    const std::lock_guard lock(mutex_);
    targets_.erase(key_of(pid, secret));
}

std::optional<cancel_target>
cancel_registry::find(std::int32_t pid, const std::string& secret) const {
    const std::lock_guard lock(mutex_);
    const auto found = targets_.find(key_of(pid, secret));
    return found == targets_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace pgsluice::proxy
