#pragma once

#include "control/base/deadline.hpp"
#include "control/base/step_result.hpp"
#include "control/config/config.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct pg_conn;
struct pg_result;

namespace pgsluice::control {

/// Where and how the control plane logs in to one server.
struct pg_login {
    std::string server;  ///< the backend's name, for messages
    host_port address;
    admin_config admin;
    std::string application_name = "pgsluice";
    std::string options{};  ///< further "-c name=value" pairs for the session
    backend_tls_config tls{};
    protocol::secret password{};  ///< empty: as libpq finds one
};

/// The rows of one statement, as text. Views live as long as the object.
class pg_rows {
public:
    explicit pg_rows(pg_result* owned) : result_(owned, clear) {}

    std::size_t size() const;
    std::size_t columns() const;
    bool is_null(std::size_t row, std::size_t column) const;
    /// Empty for NULL.
    std::string_view text(std::size_t row, std::size_t column) const;
    std::int64_t number(std::size_t row, std::size_t column) const;
    bool truth(std::size_t row, std::size_t column) const { return text(row, column) == "t"; }

private:
    static void clear(pg_result* result) noexcept;
    std::unique_ptr<pg_result, void (*)(pg_result*) noexcept> result_;
};

/// One libpq connection that never waits longer than it is told (libpq, "Asynchronous Command
/// Processing"). Used by one thread at a time. After a passed deadline or an abort a statement may
/// still be running on the server, so the connection is closed and is_usable() is false.
class pg_client {
public:
    /// Logs in. The session ignores timeouts and search paths that the role may have configured.
    static step_result<pg_client> connect(const pg_login& login, limits until);

    pg_client(pg_client&&) noexcept = default;
    pg_client& operator=(pg_client&&) noexcept = default;

    bool is_usable() const { return connection_ != nullptr; }
    std::int32_t backend_pid() const;
    /// As server_version_num: 150018.
    int server_version() const;
    const std::string& server() const { return server_; }

    using parameters = std::span<const std::string>;

    /// Runs one statement with $1.. given as text. A failure reads "SERVER: its own words (CODE)".
    step_result<pg_rows> query(const std::string& sql, parameters values, limits until);
    step_result<pg_rows> query(const std::string& sql, limits until) {
        return query(sql, {}, until);
    }
    /// The first column of every row; empty for NULL.
    step_result<std::vector<std::string>>
    texts(const std::string& sql, parameters values, limits until);
    step_result<std::vector<std::string>> texts(const std::string& sql, limits until) {
        return texts(sql, {}, until);
    }
    /// For a statement without rows.
    step_result<void> execute(const std::string& sql, limits until);
    /// Has a statement parsed ahead; its plan is made on the first run.
    step_result<void> prepare(const std::string& name, const std::string& sql, limits until);
    step_result<pg_rows> run(const std::string& name, parameters values, limits until);
    step_result<pg_rows> run(const std::string& name, limits until) { return run(name, {}, until); }

private:
    explicit pg_client(std::string server, pg_conn* owned)
        : server_(std::move(server)), connection_(owned, finish) {}
    static void finish(pg_conn* connection) noexcept;

    step_result<void> log_in(const limits& until);
    step_result<void> wait(short events, const limits& until);
    step_result<void> flush(const limits& until);
    step_result<pg_rows> receive(const limits& until);
    step_failure lost(std::string_view what);

    std::string server_;
    std::unique_ptr<pg_conn, void (*)(pg_conn*) noexcept> connection_;
};

}  // namespace pgsluice::control
