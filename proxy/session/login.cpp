// Who a session's client is: asked by the proxy itself or by the backend, depending on the
// service's login method, and what comes to be known of it for the logins that follow.

#include "protocol/wire/messages.hpp"
#include "proxy/access/secret_source.hpp"
#include "proxy/net/tls_channel.hpp"
#include "proxy/session/cancel_registry.hpp"
#include "proxy/session/host.hpp"
#include "proxy/session/refusal.hpp"
#include "proxy/session/session.hpp"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace pgsluice::proxy {

namespace {

protocol::challenge_entropy fresh_entropy(bool asks_md5) {
    protocol::challenge_entropy entropy{login_nonce(), {}};
    auto& salt = entropy.md5_salt;
    if (asks_md5) {
        PGSLUICE_ASSERT(RAND_bytes(salt.data(), static_cast<int>(salt.size())) == 1);
    }
    return entropy;
}

}  // namespace

/// Valid as long as the settings and the session; null for a user of whom nothing is known.
const protocol::user_secret* session::listed_secret(const service_settings& settings) const {
    const auto* const listed = settings.users ? settings.users->find(startup_->user()) : nullptr;
    return listed != nullptr || !looked_up_ ? listed : looked_up_->find(startup_->user());
}

/// Asks for the secret of a user who is in no list, if there is somebody to ask. False when there
/// was no answer; the client has not been told.
task<bool> session::look_up_secret(std::shared_ptr<const service_settings> settings) {
    if (!settings->secrets || looked_up_ || listed_secret(*settings) != nullptr) {
        co_return true;
    }
    struct state {
        std::optional<secret_source::answer> answer;
    };
    const auto waiting = std::make_shared<state>();
    session_host* const here = &host_;
    const session_id me = id_;
    settings->secrets->ask(
        std::string(startup_->user()),
        [waiting, here, me](secret_source::answer found) {
            here->tell(me, [waiting, found = std::move(found)] { waiting->answer = found; });
        }
    );
    const steady_time deadline = born_ + settings->login_timeout;
    while (!waiting->answer && !farewell_) {
        const wake why = co_await wait_.until(deadline);
        if (why == wake::deadline || why == wake::cancelled) {
            break;
        }
    }
    if (!waiting->answer || !*waiting->answer) {
        co_return false;
    }
    looked_up_ = **waiting->answer;
    co_return true;
}

login_rules::verdict session::choose_login(const service_settings& settings) const {
    if (!settings.rules) {
        return {settings.login, {}};
    }
    // Any other value of `replication` that asks for it means physical replication.
    const bool replicates =
        startup_->wants_replication() && startup_->find("replication") != "database";
    return settings.rules
        ->find(
            {.user = startup_->user(),
             .database = startup_->database(),
             .from = source_,
             .is_encrypted = client_.is_secure(),
             .is_physical_replication = replicates}
        )
        .value_or(login_rules::verdict{});
}

/// Before the gate, so that nobody is held whom nobody knows, and before any backend hears of it.
task<bool> session::prove_client() {
    const auto settings = host_.settings_snapshot();
    const login_rules::verdict how = choose_login(*settings);
    const login_method method = how.method;
    auto refused =
        may_log_in() ? refuse_login(how) : std::optional(refusal::too_many_failures(*settings));
    if (refused) {
        login_failure what{.why = std::move(*refused)};
        co_await tell_login_failed(std::move(what), {});
        co_return false;
    }
    if (method == login_method::trust || method == login_method::cert ||
        method == login_method::peer) {
        if (const auto* listed = listed_secret(*settings)) {
            known_ = protocol::credentials::of(*listed);
        }
        answers_for_client_ = !known_.empty();
        is_proven_ = true;
        co_return true;
    }
    if (method == login_method::passthrough) {
        co_return true;
    }
    const bool is_known = co_await look_up_secret(settings);
    if (!is_known) {
        login_failure what{.why = refusal::no_lookup(*settings)};
        co_await tell_login_failed(std::move(what), {});
        co_return false;
    }
    const auto& users = looked_up_ ? looked_up_ : settings->users;
    PGSLUICE_ASSERT(users);
    // Whoever is not known anywhere is asked as those are whose secret a server keeps today.
    const bool asks_md5 = method == login_method::md5 && !(looked_up_ && looked_up_->size() == 0);
    protocol::login_challenge challenge(
        asks_md5 ? protocol::challenge_method::md5 : protocol::challenge_method::scram_sha_256,
        *users,
        std::string(startup_->user()),
        fresh_entropy(asks_md5),
        {.end_point = client_.is_secure() ? client_.tls()->end_point() : std::string()}
    );
    const steady_time deadline = born_ + settings->login_timeout;
    auto proof = co_await ask_client(client_, wait_, early_, challenge, deadline);
    if (!proof) {
        if (looked_up_) {
            settings->secrets->forget(std::string(startup_->user()));  // it may have changed
        }
        login_failure what = proof.error();
        co_await tell_login_failed(std::move(what), {});
        co_return false;
    }
    known_ = std::move(proof->known);
    owed_ = std::move(proof->owed);
    answers_for_client_ = true;
    is_proven_ = true;
    co_return !farewell_.has_value();
}

/// Deriving keys takes milliseconds, so a worker does it once for each password and backend.
void session::recall_keys(
    const std::string& user, std::uint32_t backend, protocol::credentials& known
) {
    if (known.password.empty()) {
        return;
    }
    const auto found = host_.derived().find({user, backend});
    if (found != host_.derived().end() && protocol::same_secret(
                                              protocol::as_bytes(found->second.password.view()),
                                              protocol::as_bytes(known.password.view())
                                          )) {
        known.keys = found->second.keys;
    }
}

void session::keep_keys(
    const std::string& user, std::uint32_t backend, const protocol::credentials& known
) {
    if (!known.password.empty() && known.keys) {
        host_.derived().insert_or_assign({user, backend}, known);
    }
}

std::optional<session::stand_in> session::stand_in_at(
    const service_settings& settings, std::uint32_t backend, bool is_restricted
) const {
    const backend_target& target = settings.backends[backend];
    const auto& login = is_restricted ? target.read_only_login : target.login;
    if (!login && target.dbname.empty()) {
        return std::nullopt;
    }
    stand_in other{*startup_, known_, login != nullptr};
    if (login) {
        other.startup = other.startup.as_user(login->user);
        other.known = {};
        other.known.password = login->password;
    }
    if (!target.dbname.empty()) {
        other.startup = other.startup.with_database(target.dbname);
    }
    return other;
}

std::string session::login_user_of(const leg& l) const {
    const auto other = stand_in_at(host_.settings(), l.backend, l.is_restricted);
    return std::string(other ? other->startup.user() : startup_->user());
}

/// `where` names what failed behind the proxy; without it the words are for a client that has not
/// shown who it is, and tell no more than the server would.
task<void> session::tell_login_failed(login_failure what, std::string where) {
    shard_counters::bump(host_.counters().logins_failed);
    if (what.client_gone || farewell_) {
        co_return;
    }
    failure& why = what.why;
    count_failed_login(why);
    // Only of users who are listed: anybody can put anything into a name.
    spdlog::info(
        "login failed service={} session={} address={} sqlstate={} why=\"{}\"",
        host_.settings().name,
        id_,
        address_,
        why.sqlstate,
        answers_for_client_ ? why.message : ""
    );
    if (what.client_told) {
        co_return;
    }
    if (!where.empty()) {
        // This client knows its password, so it may know why that is not enough.
        if (why.sqlstate == sqlstate::invalid_password) {
            where += ": " +
                     std::exchange(why.message, protocol::wrong_password(startup_->user()).message);
        }
        why.detail = where + (why.detail.empty() ? "." : ": " + why.detail);
    }
    co_await tell_and_close(std::move(why));
}

task<bool> session::connect_leg(std::shared_ptr<const service_settings> settings) {
    const bool is_on_canary = co_await connect_canary(settings);
    if (is_on_canary || farewell_) {
        co_return is_on_canary;
    }
    const backend_target& target = settings->backends[host_.at().backend];
    leg_ = std::make_unique<leg>(host_.home().loop);
    leg_->backend = host_.at().backend;
    leg_->preface = preface_for(target);
    leg_->is_restricted = place_now().is_restricted && is_proven_;
    const auto opened = co_await open_leg(*leg_, wait_, target, settings->connect_timeout);
    if (opened) {
        co_return true;
    }
    shard_counters::bump(host_.counters().logins_failed);
    shard_counters::bump(host_.counters().connects_failed);
    host_.count_failure(opened.error().sqlstate, load_side::route);
    spdlog::warn(
        "backend unreachable service={} backend={} detail=\"{}\"",
        settings->name,
        target.name,
        opened.error().detail
    );
    if (!farewell_) {
        failure why = opened.error();
        why.detail = "Service \"" + settings->name + "\": " + why.detail;
        co_await tell_and_close(std::move(why));
    }
    co_return false;
}

task<bool> session::log_in_client() {
    early_phase_ = session_phase::login;
    host_.changed();
    const auto settings = host_.settings_snapshot();
    if (host_.read_only() && startup_->wants_replication()) {
        failure why = refusal::no_replication(*settings);
        co_await tell_and_close(std::move(why));
        co_return false;
    }
    const bool connected = co_await connect_leg(settings);
    if (!connected) {
        co_return false;
    }
    auto other = stand_in_at(*settings, leg_->backend, leg_->is_restricted);
    const bool is_fixed = other && other->is_fixed;
    if (is_fixed && !is_proven_) {
        login_failure what{.why = refusal::nobody_asked(*settings, leg_->backend)};
        co_await tell_login_failed(std::move(what), {});
        co_return false;
    }
    answers_for_client_ = answers_for_client_ || is_fixed;
    if (!answers_for_client_) {
        // Without an answer the client logs in all the same, and cannot be moved.
        [[maybe_unused]] const bool is_known = co_await look_up_secret(settings);
    }
    const protocol::user_secret* const listed = listed_secret(*settings);
    std::optional<protocol::scram_observer> observer;
    if (listed != nullptr && listed->kind == protocol::secret_kind::scram) {
        observer.emplace(*listed->verifier);
    }
    login_client client{
        client_,
        early_,
        [this](std::int32_t pid, const std::string& key) { return give_key(pid, key); },
        !answers_for_client_,
        observer ? &*observer : nullptr,
        &owed_};
    const steady_time deadline = reactor::now() + settings->login_timeout;
    const protocol::StartupMessage& startup = other ? other->startup : *startup_;
    protocol::credentials& known = is_fixed ? other->known : known_;
    const std::string user(startup.user());
    recall_keys(user, leg_->backend, known);
    const auto in = co_await log_in(*leg_, wait_, startup, known, &client, deadline);
    if (!in) {
        login_failure what = in.error();
        if (!what.client_gone) {
            host_.count_failure(what.why.sqlstate, side());
        }
        const std::string& backend = settings->backends[leg_->backend].name;
        std::string where = "Service \"" + settings->name + "\", backend \"" + backend + "\"";
        co_await tell_login_failed(std::move(what), std::move(where));
        co_return false;
    }
    keep_keys(user, leg_->backend, known);
    asked_credentials_ = leg_->asked_credentials && !is_fixed;
    client_sees_ = leg_->reported;
    remember_login(*settings, listed, observer ? &*observer : nullptr);
    shard_counters::bump(host_.counters().clients_logged_in);
    co_return !farewell_.has_value();
}

/// With which secrets the client can be logged in again elsewhere, where it gave its own.
void session::remember_login(
    const service_settings& settings,
    const protocol::user_secret* listed,
    const protocol::scram_observer* observer
) {
    if (asked_credentials_ && !answers_for_client_ && listed != nullptr) {
        known_ = protocol::credentials::of(*listed);
        known_.keys = observer != nullptr ? observer->learned() : std::nullopt;
        if (observer != nullptr && !known_.keys && looked_up_) {
            settings.secrets->forget(std::string(startup_->user()));  // it has changed
        }
    }
    looked_up_.reset();
}

std::string session::give_key(std::int32_t pid, const std::string& real_key) {
    client_pid_ = pid;
    cancel_secret_ = host_.home().cancels.add(
        pid, real_key.size(), {host_.home().index, host_.shared().id(), id_}
    );
    has_key_ = true;
    std::string message;
    protocol::encode_backend_key_data(message, pid, protocol::as_bytes(cancel_secret_));
    return message;
}

}  // namespace pgsluice::proxy
