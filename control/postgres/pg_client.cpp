// libpq without its blocking calls: everything is sent and received non-blocking, and between them
// poll() wakes often enough to notice an abort.
#include "control/postgres/pg_client.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <poll.h>
#include <system_error>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

/// How soon an abort is noticed while a server does not answer.
constexpr milliseconds abort_notice{20};

/// What a role or database may have configured must not end or redirect our statements.
constexpr std::string_view session_options =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_session_timeout=0 "
    "-c idle_in_transaction_session_timeout=0 -c search_path=pg_catalog -c jit=off "
    "-c client_min_messages=error -c standard_conforming_strings=on";

std::string one_line(std::string_view text) {
    std::string line(text);
    while (!line.empty() && line.back() == '\n') {
        line.pop_back();
    }
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

std::string server_says(const PGresult* result) {
    const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char* code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (message == nullptr) {
        return one_line(PQresultErrorMessage(result));
    }
    return fmt::format("{} ({})", one_line(message), code == nullptr ? "" : code);
}

/// Keywords and values for PQconnectStartParams; what stands later wins.
class connect_parameters {
public:
    explicit connect_parameters(const pg_login& login) {
        add("dbname", login.admin.conninfo);
        add("service", login.admin.service);
        add("host", login.address.host);
        add("port", std::to_string(login.address.port));
        add("user", login.admin.user);
        add("dbname", login.admin.dbname);
        add("passfile", login.admin.passfile);
        add("password", std::string(login.password.view()));
        if (login.tls.mode != proxy::backend_tls::disable) {
            add("sslmode", std::string(to_string(login.tls.mode)));
            add("sslrootcert", login.tls.ca);
            std::error_code ignored;
            const bool is_directory = std::filesystem::is_directory(login.tls.crl, ignored);
            add(is_directory ? "sslcrldir" : "sslcrl", login.tls.crl);
            add("sslcert", login.tls.cert);
            add("sslkey", login.tls.cert.empty() ? std::string() : login.tls.key_file());
        }
        add("application_name", login.application_name);
        add("client_encoding", "UTF8");
        add("options", fmt::format("{} {}", session_options, login.options));
    }

    PGconn* start() const {
        std::vector<const char*> keywords;
        std::vector<const char*> values;
        for (const auto& [keyword, value] : pairs_) {
            keywords.push_back(keyword);
            values.push_back(value.c_str());
        }
        keywords.push_back(nullptr);
        values.push_back(nullptr);
        return PQconnectStartParams(keywords.data(), values.data(), 1);
    }

private:
    void add(const char* keyword, std::string value) {
        if (!value.empty()) {
            pairs_.emplace_back(keyword, std::move(value));
        }
    }
    std::vector<std::pair<const char*, std::string>> pairs_;
};

}  // namespace

void pg_rows::clear(pg_result* result) noexcept {
    PQclear(result);
}

std::size_t pg_rows::size() const {
    return static_cast<std::size_t>(PQntuples(result_.get()));
}

std::size_t pg_rows::columns() const {
    return static_cast<std::size_t>(PQnfields(result_.get()));
}

bool pg_rows::is_null(std::size_t row, std::size_t column) const {
    return PQgetisnull(result_.get(), static_cast<int>(row), static_cast<int>(column)) != 0;
}

std::string_view pg_rows::text(std::size_t row, std::size_t column) const {
    return PQgetvalue(result_.get(), static_cast<int>(row), static_cast<int>(column));
}

std::int64_t pg_rows::number(std::size_t row, std::size_t column) const {
    return std::strtoll(text(row, column).data(), nullptr, 10);
}

void pg_client::finish(pg_conn* connection) noexcept {
    PQfinish(connection);
}

std::int32_t pg_client::backend_pid() const {
    return is_usable() ? PQbackendPID(connection_.get()) : 0;
}

int pg_client::server_version() const {
    return is_usable() ? PQserverVersion(connection_.get()) : 0;
}

step_failure pg_client::lost(std::string_view what) {
    step_failure failure{
        setback::failed,
        fmt::format("{}: {}: {}", server_, what, one_line(PQerrorMessage(connection_.get()))),
        {},
        {}};
    connection_.reset();
    return failure;
}

step_result<void> pg_client::wait(short events, const limits& until) {
    while (true) {
        if (until.stopped() || until.passed()) {
            const bool stopped = until.stopped();
            connection_.reset();
            return step_failure{
                stopped ? setback::aborted : setback::deadline,
                stopped ? "aborted by the operator" : server_ + " did not answer in time",
                {},
                {}};
        }
        const auto left = std::chrono::ceil<milliseconds>(until.deadline - limits::clock::now());
        pollfd waiting{PQsocket(connection_.get()), events, 0};
        const int ready = ::poll(
            &waiting, 1, static_cast<int>(std::clamp(left, milliseconds{1}, abort_notice).count())
        );
        if (ready > 0) {
            return {};
        }
    }
}

step_result<void> pg_client::log_in(const limits& until) {
    if (PQstatus(connection_.get()) == CONNECTION_BAD) {
        return lost("cannot connect");
    }
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED) {
            return lost("cannot log in");
        }
        const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (auto ready = wait(events, until); !ready) {
            return ready;
        }
        state = PQconnectPoll(connection_.get());
    }
    PQsetnonblocking(connection_.get(), 1);
    return {};
}

step_result<pg_client> pg_client::connect(const pg_login& login, limits until) {
    pg_client client(login.server, connect_parameters(login).start());
    if (client.connection_ == nullptr) {
        return step_failure{setback::failed, login.server + ": out of memory", {}, {}};
    }
    if (auto in = client.log_in(until); !in) {
        return in.error();
    }
    return client;
}

step_result<void> pg_client::flush(const limits& until) {
    while (true) {
        const int left = PQflush(connection_.get());
        if (left == 0) {
            return {};
        }
        if (left < 0) {
            return lost("connection lost");
        }
        if (auto ready = wait(POLLIN | POLLOUT, until); !ready) {
            return ready;
        }
        if (PQconsumeInput(connection_.get()) == 0) {
            return lost("connection lost");
        }
    }
}

step_result<pg_rows> pg_client::receive(const limits& until) {
    if (auto sent = flush(until); !sent) {
        return sent.error();
    }
    pg_rows last(nullptr);
    std::string error;
    while (true) {
        while (PQisBusy(connection_.get()) != 0) {
            if (auto ready = wait(POLLIN, until); !ready) {
                return ready.error();
            }
            if (PQconsumeInput(connection_.get()) == 0) {
                return lost("connection lost");
            }
        }
        PGresult* result = PQgetResult(connection_.get());
        if (result == nullptr) {
            break;
        }
        const ExecStatusType status = PQresultStatus(result);
        if (error.empty() && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
            error = server_says(result);
        }
        last = pg_rows(result);
    }
    if (PQstatus(connection_.get()) == CONNECTION_BAD) {
        return lost("connection lost");
    }
    if (!error.empty()) {
        return step_failure{setback::failed, server_ + ": " + error, {}, {}};
    }
    return last;
}

namespace {

std::vector<const char*> pointers(pg_client::parameters values) {
    std::vector<const char*> out;
    for (const std::string& value : values) {
        out.push_back(value.c_str());
    }
    return out;
}

}  // namespace

step_result<pg_rows> pg_client::query(const std::string& sql, parameters values, limits until) {
    if (!is_usable()) {
        return step_failure{setback::failed, server_ + ": not connected", {}, {}};
    }
    const auto texts = pointers(values);
    const int count = static_cast<int>(texts.size());
    if (PQsendQueryParams(
            connection_.get(), sql.c_str(), count, nullptr, texts.data(), nullptr, nullptr, 0
        ) == 0) {
        return lost("cannot send");
    }
    return receive(until);
}

step_result<std::vector<std::string>>
pg_client::texts(const std::string& sql, parameters values, limits until) {
    auto rows = query(sql, values, until);
    if (!rows) {
        return rows.error();
    }
    std::vector<std::string> found;
    for (std::size_t row = 0; row < rows->size(); ++row) {
        found.emplace_back(rows->text(row, 0));
    }
    return found;
}

step_result<void> pg_client::execute(const std::string& sql, limits until) {
    auto done = query(sql, until);
    if (!done) {
        return done.error();
    }
    return {};
}

step_result<void>
pg_client::prepare(const std::string& name, const std::string& sql, limits until) {
    if (!is_usable()) {
        return step_failure{setback::failed, server_ + ": not connected", {}, {}};
    }
    if (PQsendPrepare(connection_.get(), name.c_str(), sql.c_str(), 0, nullptr) == 0) {
        return lost("cannot send");
    }
    if (auto done = receive(until); !done) {
        return done.error();
    }
    return {};
}

step_result<pg_rows> pg_client::run(const std::string& name, parameters values, limits until) {
    if (!is_usable()) {
        return step_failure{setback::failed, server_ + ": not connected", {}, {}};
    }
    const auto texts = pointers(values);
    const int count = static_cast<int>(texts.size());
    if (PQsendQueryPrepared(
            connection_.get(), name.c_str(), count, texts.data(), nullptr, nullptr, 0
        ) == 0) {
        return lost("cannot send");
    }
    return receive(until);
}

}  // namespace pgsluice::control
