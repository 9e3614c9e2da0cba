// Secrets of users, asked of the server by auth.query and kept for some time.

#include "control/postgres/secret_lookup.hpp"

#include <spdlog/spdlog.h>

#include <array>
#include <utility>

namespace pgsluice::control {

namespace {

constexpr std::chrono::milliseconds query_within{5'000};
/// Strangers can ask for any name: beyond it everything is forgotten.
constexpr std::size_t users_max = 10'000;
/// Whoever comes while as many different users are being waited for is told to try again.
constexpr std::size_t waiting_max = 1'000;

failure not_known(const std::string& why) {
    return {
        std::string(sqlstate::cannot_connect_now),
        "the password of this user cannot be looked up at the moment",
        why,
        "Try again in a moment."};
}

}  // namespace

const std::string secret_lookup::pg_authid_query =
    "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin "
    "AND (rolvaliduntil IS NULL OR rolvaliduntil > pg_catalog.now())";

secret_lookup::secret_lookup(settings initial, surroundings around)
    : around_(std::move(around)), settings_(std::move(initial)) {
    thread_ = std::thread([this] { run(); });
}

secret_lookup::~secret_lookup() {
    stop();
}

void secret_lookup::apply(settings changed) {
    const std::lock_guard lock(mutex_);
    settings_ = std::move(changed);
    known_.clear();
}

void secret_lookup::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        waiting_.clear();
        queue_.clear();
    }
    aborted_ = true;
    changed_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void secret_lookup::forget(const std::string& user) {
    const std::lock_guard lock(mutex_);
    known_.erase(user);
}

void secret_lookup::ask(const std::string& user, std::function<void(answer)> done) {
    std::unique_lock lock(mutex_);
    if (stopping_) {
        return;
    }
    const auto found = known_.find(user);
    if (found != known_.end() && around_.now() - found->second.since < settings_.max_age) {
        answer known = found->second.users;
        lock.unlock();
        done(std::move(known));
        return;
    }
    const auto waits = waiting_.find(user);
    if (waits != waiting_.end()) {
        waits->second.push_back(std::move(done));
        return;
    }
    if (waiting_.size() >= waiting_max) {
        lock.unlock();
        done(not_known("Too many users are being looked up."));
        return;
    }
    waiting_[user].push_back(std::move(done));
    queue_.push_back(user);
    changed_.notify_all();
}

void secret_lookup::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
        if (stopping_) {
            return;
        }
        const std::string user = queue_.front();
        queue_.pop_front();
        const std::string query = settings_.query;
        lock.unlock();
        const answer found = look_up(user, query);
        lock.lock();
        const auto waits = waiting_.find(user);
        if (waits == waiting_.end()) {
            continue;  // stop() was faster
        }
        const std::vector<listener> listeners = std::move(waits->second);
        waiting_.erase(waits);
        if (query == settings_.query) {
            remember(user, found);
        }
        lock.unlock();
        for (const listener& each : listeners) {
            each(found);
        }
        lock.lock();
    }
}

void secret_lookup::remember(const std::string& user, const answer& found) {
    if (!found) {
        return;
    }
    if (known_.size() >= users_max) {
        known_.clear();
    }
    known_.insert_or_assign(user, remembered{*found, around_.now()});
}

/// One attempt again when a connection that was kept turns out to be lost.
step_result<pg_rows>
secret_lookup::rows_of(const std::string& user, const std::string& query, limits until) {
    const pg_login login = around_.login();
    const bool is_same = connection_ && connection_->is_usable() &&
                         login.address == connected_to_.address &&
                         login.server == connected_to_.server;
    const std::array parameters{user};
    if (is_same) {
        auto rows = connection_->query(query, parameters, until);
        if (rows || connection_->is_usable()) {
            return rows;
        }
    }
    connection_.reset();
    auto opened = pg_client::connect(login, until);
    if (!opened) {
        return opened.error();
    }
    connection_ = std::move(*opened);
    connected_to_ = login;
    return connection_->query(query, parameters, until);
}

proxy::secret_source::answer
secret_lookup::look_up(const std::string& user, const std::string& query) {
    const limits until{limits::clock::now() + query_within, &aborted_};
    const auto rows = rows_of(user, query, until);
    if (!rows) {
        if (!aborted_) {
            spdlog::warn("secret_lookup_failed why=\"{}\"", rows.error().text);
        }
        return not_known("The server that knows it was asked in vain (auth.query).");
    }
    auto users = std::make_shared<protocol::user_list>(around_.salt_key);
    const std::size_t last = rows->columns() - 1;
    if (rows->columns() > 0 && rows->size() == 1 && !rows->is_null(0, last)) {
        if (auto what = protocol::secret_of(rows->text(0, last))) {
            users->add(user, std::move(*what));
            users->derive_verifiers();
        } else {
            spdlog::warn("secret_lookup_unusable user=\"{}\" (neither SCRAM, md5 nor text)", user);
        }
    }
    return std::shared_ptr<const protocol::user_list>(std::move(users));
}

}  // namespace pgsluice::control
