#pragma once

#include "protocol/console/console_answer.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/address_set.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// What answers in the databases `pgsluice` and `pgbouncer` of a service. Any thread may call,
/// a worker's too: nothing here waits.
class operator_console {
public:
    /// Who asks, once that is proven.
    struct asker {
        std::string user;
        std::string address;  ///< as of address_text(), or what a load balancer has told
    };

    /// Fails with 28000 for a user who may not ask anything.
    virtual result<void> welcome(const asker& who) = 0;

    /// As protocol::console_dialogue::describer. The columns live as long as the program.
    virtual result<protocol::console_columns> describe(std::string_view statement) = 0;

    /// Who hears how a statement gets on, on any thread.
    struct listener {
        std::function<void(failure)> tell;  ///< a notice, before the end
        std::function<void(protocol::console_answer)> done;
    };

    /// Executes one statement. Calls `done` once, possibly before it returns, however long that
    /// takes; not at all when the console is being stopped. Whoever asks may be gone by then:
    /// nothing is interrupted by that.
    virtual void run(const asker& who, const std::string& statement, listener to) = 0;

    /// What the console tells as `server_version`.
    virtual std::string version() const = 0;

    virtual ~operator_console() = default;
};

/// A service's console, and from where it can be reached.
struct console_access {
    address_set from;
    std::shared_ptr<operator_console> asked;  ///< never null
};

/// Whether a database of this name is the console, where there is one.
inline bool is_console_name(std::string_view database) noexcept {
    return database == "pgsluice" || database == "pgbouncer";
}

}  // namespace pgsluice::proxy
