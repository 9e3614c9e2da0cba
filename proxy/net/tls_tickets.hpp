#pragma once

#include <array>
#include <chrono>
#include <mutex>
#include <optional>

struct ssl_ctx_st;

namespace pgsluice::proxy {

/// The keys that the tickets of one context are sealed with (RFC 5077, RFC 8446 section 4.6.1).
/// They are random, never leave the process, and are replaced when they have sealed tickets for one
/// lifetime; the one before opens them for another. Nothing but handshakes asks for them. Any
/// thread.
class ticket_keys {
public:
    using clock = std::chrono::steady_clock;

    struct key {
        std::array<unsigned char, 16> name{};  ///< stands in front of the ticket, in clear
        std::array<unsigned char, 32> cipher{};
        std::array<unsigned char, 32> mac{};
    };
    struct found {
        key value;
        bool is_current;
    };

    /// `lifetime` is more than zero: that of the tickets.
    explicit ticket_keys(std::chrono::seconds lifetime) : lifetime_(lifetime) {}
    ~ticket_keys();
    ticket_keys(const ticket_keys&) = delete;
    ticket_keys& operator=(const ticket_keys&) = delete;

    /// The key to seal with; nullopt when the system has no random bytes.
    std::optional<key> current(clock::time_point now);
    /// The key of that name, if what it has sealed can still be valid.
    std::optional<found> find(const unsigned char* name, clock::time_point now);

private:
    struct dated {
        key value;
        clock::time_point born;
    };

    std::mutex mutex_;
    const std::chrono::seconds lifetime_;
    std::optional<dated> now_;
    std::optional<dated> before_;
};

/// Gives each client of `context` a ticket by which it can resume its session within `lifetime`,
/// with keys of this context alone: where another context takes its place, tickets are worth
/// nothing. The context must not ask for certificates, which resuming does not look at again.
void give_tickets(ssl_ctx_st* context, std::chrono::seconds lifetime);

}  // namespace pgsluice::proxy
