#pragma once

#include "control/postgres/pg_client.hpp"
#include "protocol/auth/secret.hpp"
#include "proxy/access/secret_source.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pgsluice::control {

/// Asks the server that a service is on for the secrets of its users (`auth.query`), over one
/// connection of its own, one user after the other, and remembers the answers for a while, also
/// that there is none. Has a thread of its own.
class secret_lookup final : public proxy::secret_source {
public:
    struct settings {
        std::string query;  ///< with $1; its last column is the secret
        std::chrono::milliseconds max_age{};
    };
    struct surroundings {
        protocol::secret_key salt_key;  ///< as for protocol::user_list
        /// How to log in to the server that the service is on now. Called on the own thread.
        std::function<pg_login()> login;
        std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
    };

    /// The statement behind `auth.query: pg_authid`: roles that may log in and have not expired.
    static const std::string pg_authid_query;

    secret_lookup(settings initial, surroundings around);
    /// stop()s.
    ~secret_lookup() override;

    /// Forgets everything.
    void apply(settings changed);
    /// Ends a query under way; whoever waits gets no answer any more.
    void stop();

    void ask(const std::string& user, std::function<void(answer)> done) override;
    void forget(const std::string& user) override;

private:
    using clock = std::chrono::steady_clock;
    using listener = std::function<void(answer)>;
    struct remembered {
        std::shared_ptr<const protocol::user_list> users;
        clock::time_point since;
    };

    void run();
    answer look_up(const std::string& user, const std::string& query);
    step_result<pg_rows> rows_of(const std::string& user, const std::string& query, limits until);
    void remember(const std::string& user, const answer& found);

    surroundings around_;
    std::optional<pg_client> connection_;  ///< of the own thread
    pg_login connected_to_;
    std::mutex mutex_;
    std::condition_variable changed_;
    settings settings_;
    std::map<std::string, remembered> known_;
    std::map<std::string, std::vector<listener>> waiting_;
    std::deque<std::string> queue_;  ///< the keys of waiting_, first come first served
    bool stopping_ = false;
    std::atomic<bool> aborted_ = false;
    std::thread thread_;
};

}  // namespace pgsluice::control
