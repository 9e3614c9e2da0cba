// Which question goes to which server. What is asked stands in checks, fence, sequences, promote.
#include "control/servers/pg_servers.hpp"

#include "control/base/polling.hpp"
#include "control/base/sql_quoting.hpp"
#include "control/postgres/custom_settings.hpp"
#include "control/postgres/prewarm.hpp"
#include "control/postgres/sequences.hpp"
#include "control/preflight/login_reach.hpp"
#include "control/preflight/run.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace pgsluice::control {

namespace {

/// The marker's commit must be flushed, but must wait for no standby: `to` may be one of them.
constexpr std::string_view from_options = "-c synchronous_commit=local";
constexpr std::string_view to_options = "-c synchronous_commit=on";

/// Transactional, because only its commit is flushed at once; a plain message stays in memory for
/// up to wal_writer_delay. Its own position is the marker: whatever counts was committed before it.
constexpr const char* mark_statement =
    "SELECT pg_logical_emit_message(true, 'pgsluice', $1::text)::text";

constexpr const char* replayed = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn";

/// The apply worker handles one message after the other. What it has received reaches the marker
/// either by a keepalive, which the walsender sends when it has sent everything before, or by a
/// later transaction; either way everything before the marker was applied by then. Asking here, not
/// pg_stat_replication, saves the worker's feedback, which waits for its own flush.
constexpr const char* applied =
    "SELECT EXISTS (SELECT FROM pg_stat_subscription WHERE subname = $2 AND relid IS NULL "
    "AND pid IS NOT NULL AND received_lsn >= $1::pg_lsn)";

/// Its commit is flushed, and with it everything that was committed before it: an apply worker
/// commits asynchronously, and clients are about to be told that the new server has it all.
constexpr const char* verify_statement =
    "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::bool, "
    "pg_logical_emit_message(true, 'pgsluice', 'verify')::text";

step_result<void> nothing(const step_result<pg_rows>& rows) {
    if (!rows) {
        return rows.error();
    }
    return {};
}

/// A server that refuses the login is a finding like any other; one that is late is not.
step_result<std::vector<check_row>> unreachable(const step_failure& why, const pg_login& login) {
    if (why.why != setback::failed) {
        return why;
    }
    const wall hit = wall_of(why.text, login);
    return std::vector<check_row>{
        {"login", check_level::error, fmt::format("{}: {}", hit.layer, why.text), hit.mend}};
}

/// "host=… port=… user=… dbname=…" as libpq reads it: values in quotes, quotes escaped.
std::string conninfo_of(const backend_config& to, const admin_config& admin) {
    const auto pair = [](std::string_view name, std::string_view value) {
        std::string out = std::string(name) + "='";
        for (const char c : value) {
            out += c == '\'' || c == '\\' ? "\\" + std::string(1, c) : std::string(1, c);
        }
        return out + "' ";
    };
    std::string text =
        pair("host", to.address.host) + pair("port", std::to_string(to.address.port));
    text += admin.user.empty() ? "" : pair("user", admin.user);
    text += admin.dbname.empty() ? "" : pair("dbname", admin.dbname);
    return text + to.replication_conninfo;  // what comes later wins
}

}  // namespace

lsn parse_lsn(std::string_view text) {
    unsigned int high = 0;
    unsigned int low = 0;
    if (std::sscanf(std::string(text).c_str(), "%X/%X", &high, &low) != 2) {
        return 0;
    }
    return (lsn{high} << 32) | low;
}

pg_servers::pg_servers(pg_servers_settings settings) : settings_(std::move(settings)) {}

std::unique_ptr<server_pair> make_pg_servers(
    const service_config& service, const backend_config& from, const backend_config& to
) {
    return std::make_unique<pg_servers>(pg_servers_settings{
        .service = service.name,
        .from = from,
        .to = to,
        .admin = service.admin,
        .replication = service.replication,
        .cutover = service.cutover,
        .checks = service.checks});
}

pg_login pg_servers::login_of(const backend_config& backend, std::string options) const {
    return {
        .server = backend.name,
        .address = backend.address,
        .admin = settings_.admin,
        .application_name = "pgsluice:" + settings_.service,
        .options = std::move(options),
        .tls = backend.tls};
}

step_result<pg_client*> pg_servers::ensure(
    std::optional<pg_client>& client,
    const backend_config& backend,
    std::string_view options,
    const limits& until
) {
    if (!client || !client->is_usable()) {
        auto opened = pg_client::connect(login_of(backend, std::string(options)), until);
        if (!opened) {
            return opened.error();
        }
        client = std::move(*opened);
    }
    return &*client;
}

step_result<pg_client*> pg_servers::from(const limits& until) {
    return ensure(from_, settings_.from, from_options, until);
}

step_result<pg_client*> pg_servers::to(const limits& until) {
    return ensure(to_, settings_.to, to_options, until);
}

step_result<std::vector<check_row>>
pg_servers::preflight(const preflight_expectations& expected, limits until) {
    auto from_client = from(until);
    auto to_client = from_client ? to(until) : from_client;
    if (!to_client) {
        return unreachable(
            to_client.error(), login_of(from_client ? settings_.to : settings_.from, "")
        );
    }
    auto from_facts = read_facts(**from_client, until);
    auto to_facts = read_facts(**to_client, until);
    if (!from_facts || !to_facts) {
        return from_facts ? to_facts.error() : from_facts.error();
    }
    same_server_ = is_same_server(*from_facts, *to_facts);
    new_read_only_ = to_facts->read_only_by_default;
    const pg_login to_login = login_of(settings_.to, "");
    const checked_pair pair{
        **from_client,
        **to_client,
        *from_facts,
        *to_facts,
        settings_.replication.kind,
        settings_.replication.subscription,
        expected,
        to_login};
    return run_checks(checks(), pair, settings_.checks, until);
}

step_result<std::vector<std::string>>
pg_servers::custom_settings(std::span<const std::string> databases, limits until) {
    return find_custom_settings(login_of(settings_.from, ""), databases, until);
}

step_result<std::string> pg_servers::prewarm(limits until) {
    return control::prewarm(login_of(settings_.to, ""), settings_.cutover.prewarm, until);
}

step_result<void> pg_servers::prepare(limits until) {
    auto old = from(until);
    auto next = old ? to(until) : old;
    if (!next) {
        return next.error();
    }
    const bool logical = settings_.replication.kind == replication_kind::logical;
    const std::string read_write = "SET default_transaction_read_only = off";
    step_result<void> done = nothing((*old)->query(read_write, until));
    done = done ? nothing((*next)->query(read_write, until)) : done;
    done = done ? prepare_fence(**old, until) : done;
    done = done ? (*old)->prepare("mark", mark_statement, until) : done;
    done = done ? (*next)->prepare("caught_up", logical ? applied : replayed, until) : done;
    done = done ? (*next)->prepare("verify", verify_statement, until) : done;
    if (const std::string& query = settings_.cutover.verify_query; done && !query.empty()) {
        done = (*next)->prepare("verify_query", query, until);
    }
    if (done && logical) {
        done = prepare_sequences(**old, **next, until);
    }
    return done;
}

step_result<std::vector<reading>> pg_servers::readings(limits until) {
    auto old = from(until);
    auto next = old ? to(until) : old;
    if (!next) {
        return next.error();
    }
    auto at = (*old)->query(
        "SELECT pg_current_wal_flush_lsn()::text, (SELECT count(*) FROM pg_sequences), "
        "coalesce((SELECT round(extract(epoch FROM max(clock_timestamp() - xact_start)), 1) "
        "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> "
        "pg_backend_pid()), 0)",
        until
    );
    if (!at) {
        return at.error();
    }
    std::vector<reading> found{
        {"longest transaction on " + settings_.from.name, std::string(at->text(0, 2)) + " s"}};
    if (settings_.replication.kind == replication_kind::none) {
        return found;
    }
    const bool logical = settings_.replication.kind == replication_kind::logical;
    const std::vector<std::string> values{
        std::string(at->text(0, 0)), settings_.replication.subscription};
    auto lag = (*next)->query(
        logical ? "SELECT pg_wal_lsn_diff($1::pg_lsn, max(received_lsn)) FROM pg_stat_subscription "
                  "WHERE subname = $2 AND relid IS NULL"
                : "SELECT pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn()) WHERE $2 = $2",
        values,
        until
    );
    if (!lag) {
        return lag.error();
    }
    found.push_back({"replication lag", std::string(lag->text(0, 0)) + " bytes"});
    if (logical) {
        found.push_back({"sequences to copy", std::string(at->text(0, 1))});
    }
    return found;
}

step_result<lsn> pg_servers::mark(std::string_view id, limits until) {
    const std::vector<std::string> values{std::string(id)};
    auto rows = from_->run("mark", values, until);
    if (!rows) {
        return rows.error();
    }
    return parse_lsn(rows->text(0, 0));
}

step_result<void> pg_servers::catch_up(lsn marker, limits until) {
    std::vector<std::string> values{lsn_text(marker)};
    if (settings_.replication.kind == replication_kind::logical) {
        values.push_back(settings_.replication.subscription);
    }
    const std::string late =
        fmt::format("{} has not applied {} in time", settings_.to.name, lsn_text(marker));
    bool answers = false;
    return poll_until(
        [&]() -> step_result<bool> {
            auto rows = to_->run("caught_up", values, until);
            if (rows) {
                answers = true;
                return rows->truth(0, 0);
            }
            // The deadline may well meet a question: a server that answered until then is behind.
            if (answers && rows.error().why == setback::deadline) {
                return step_failure{setback::deadline, late, {}, {}};
            }
            return rows.error();
        },
        until,
        late
    );
}

step_result<std::string> pg_servers::copy_sequences(limits until) {
    return control::copy_sequences(*from_, *to_, settings_.cutover.sequence_margin, until);
}

step_result<void> pg_servers::promote(limits until) {
    return promote_standby(
        *to_, command("promote_command", settings_.cutover.promote_command, settings_.from), until
    );
}

step_result<void> pg_servers::verify(limits until) {
    auto rows = to_->run("verify", until);
    if (!rows) {
        return rows.error();
    }
    if (rows->truth(0, 0) || rows->truth(0, 1)) {
        return step_failure{setback::failed, settings_.to.name + " does not accept writes", {}, {}};
    }
    if (settings_.cutover.verify_query.empty()) {
        return {};
    }
    auto verdict = to_->run("verify_query", until);
    if (!verdict) {
        return verdict.error();
    }
    if (verdict->size() == 0 || !verdict->truth(0, 0)) {
        return step_failure{
            setback::failed, "verify_query is not true on " + settings_.to.name, {}, {}};
    }
    return {};
}

step_result<void> pg_servers::unsubscribe(limits until) {
    auto next = to(until);
    if (!next) {
        return next.error();
    }
    const std::string& name = settings_.replication.subscription;
    const std::vector<std::string> wanted{name};
    // A restart may come here again after follow_back() has dropped it.
    auto found =
        (*next)->query("SELECT subname FROM pg_subscription WHERE subname = $1", wanted, until);
    if (found && found->size() == 0) {
        return {};
    }
    auto disabled =
        (*next)->query(fmt::format("ALTER SUBSCRIPTION {} DISABLE", identifier(name)), until);
    if (!disabled) {
        step_failure why = disabled.error();
        why.hint = fmt::format(
            "on {}: ALTER SUBSCRIPTION {} DISABLE, then drop it",
            settings_.to.name,
            identifier(name)
        );
        return why;
    }
    // By itself the worker would notice within a second; a disabled one is not started again.
    return poll_until(
        [&]() -> step_result<bool> {
            auto rows = (*next)->query(
                "SELECT count(pg_terminate_backend(pid)) = 0 FROM pg_stat_subscription "
                "WHERE subname = $1 AND pid IS NOT NULL",
                wanted,
                until
            );
            return rows ? step_result<bool>(rows->truth(0, 0)) : rows.error();
        },
        until,
        "the apply worker on " + settings_.to.name + " does not end"
    );
}

hook pg_servers::command(std::string name, const std::string& shell, const backend_config& fenced)
    const {
    const backend_config& from = settings_.from;
    const backend_config& to = settings_.to;
    return {
        .name = std::move(name),
        .shell = shell,
        .variables = {
            {"PGSLUICE_SERVICE", settings_.service},
            {"PGSLUICE_FROM", from.name},
            {"PGSLUICE_FROM_HOST", from.address.host},
            {"PGSLUICE_FROM_PORT", std::to_string(from.address.port)},
            {"PGSLUICE_TO", to.name},
            {"PGSLUICE_TO_HOST", to.address.host},
            {"PGSLUICE_TO_PORT", std::to_string(to.address.port)},
            {"PGSLUICE_FENCED", fenced.name},
            {"PGSLUICE_FENCED_HOST", fenced.address.host},
            {"PGSLUICE_FENCED_PORT", std::to_string(fenced.address.port)}}};
}

step_result<void> pg_servers::run_hook(hook_kind which, std::string_view text, limits until) {
    const cutover_config& c = settings_.cutover;
    const auto [name, shell] =
        which == hook_kind::before  ? std::pair("before_command", c.before_command)
        : which == hook_kind::after ? std::pair("after_command", c.after_command)
                                    : std::pair("abort_command", c.abort_command);
    hook what = command(name, shell, settings_.from);
    what.variables.emplace_back("PGSLUICE_TEXT", text);
    return control::run_hook(what, until);
}

way_back pg_servers::back() const {
    return {
        .subscription = settings_.replication.subscription,
        .slot = way_back_slot(settings_.service),
        .conninfo = conninfo_of(settings_.to, settings_.admin)};
}

step_result<void> pg_servers::on_both(way_back_action* action, limits until) {
    auto old = from(until);
    auto next = old ? to(until) : old;
    if (!next) {
        return next.error();
    }
    return action(**old, **next, back(), until);
}

step_result<void> pg_servers::prepare_way_back(limits until) {
    return on_both(control::prepare_way_back, until);
}

step_result<void> pg_servers::mark_way_back(limits until) {
    return control::mark_way_back(*to_, back(), until);
}

step_result<void> pg_servers::follow_back(limits until) {
    return on_both(control::follow_back, until);
}

step_result<void> pg_servers::undo_way_back(limits until) {
    return on_both(control::undo_way_back, until);
}

}  // namespace pgsluice::control
