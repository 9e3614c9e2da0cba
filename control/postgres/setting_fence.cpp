// ALTER SYSTEM and a reload make new sessions read-only; pg_terminate_backend ends the old ones.
#include "control/postgres/setting_fence.hpp"

#include "control/base/polling.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

constexpr std::string_view setting = "default_transaction_read_only";

/// One pass over everybody else: ends client backends, and counts what is still in the way.
/// Sessions that began after the reload are ended too but not waited for, or a busy pool that
/// reconnects all the time would keep the fence from ever standing; they are read-only. Sessions of
/// ours are parked at a boundary and hold no transaction id; one that does is in the way like any
/// other. Autovacuum may hold one and changes no rows.
constexpr std::string_view pass = R"(
WITH others AS MATERIALIZED (
    SELECT backend_xid IS NOT NULL AS has_xid,
           backend_type = 'client backend' AND pid <> ALL ($1::int4[]) AS foreign_client,
           backend_start <= $2::timestamptz AS began_before,
           CASE WHEN backend_type = 'client backend' AND pid <> ALL ($1::int4[])
                THEN pg_terminate_backend(pid) END AS ended
    FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND backend_type NOT IN ('autovacuum worker', 'walsender'))
SELECT count(*) FILTER (WHERE ended),
       count(*) FILTER (WHERE has_xid OR (foreign_client AND began_before)),
       (SELECT count(*) FROM pg_prepared_xacts)
FROM others)";

std::string array_text(const std::vector<std::int32_t>& pids) {
    return fmt::format("{{{}}}", fmt::join(pids, ","));
}

/// Has the server read its configuration files again and returns when it has. The postmaster reads
/// them before it passes the signal on to its children, so as soon as this very backend has seen
/// the new time, every session that starts from now on has the new values.
step_result<void> reload(pg_client& server, const limits& until) {
    auto before = server.query("SELECT pg_conf_load_time()::text, pg_reload_conf()", until);
    if (!before) {
        return before.error();
    }
    const std::vector<std::string> old_time{std::string(before->text(0, 0))};
    return poll_until(
        [&]() -> step_result<bool> {
            auto now =
                server.query("SELECT pg_conf_load_time() > $1::timestamptz", old_time, until);
            return now ? step_result<bool>(now->truth(0, 0)) : now.error();
        },
        until,
        server.server() + " did not read its configuration again"
    );
}

}  // namespace

step_result<void> end_earlier_sessions_of_ours(pg_client& old, const limits& until) {
    constexpr const char* others =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity, "
        "current_setting('application_name') AS own WHERE pid <> pg_backend_pid() AND "
        "application_name IN (own, left(own || ':locks', 63), left(own || ':probe', 63)) AND "
        "usename = session_user";
    return poll_until(
        [&]() -> step_result<bool> {
            auto left = old.query(others, until);
            return left ? step_result<bool>(left->number(0, 0) == 0) : left.error();
        },
        until,
        old.server() + ": an earlier session of the proxy does not end"
    );
}

step_result<fence_memory> read_fence_memory(pg_client& old, limits until) {
    auto rows = old.query(
        "SELECT setting FROM pg_file_settings WHERE name = 'default_transaction_read_only' AND "
        "sourcefile LIKE '%/postgresql.auto.conf' ORDER BY seqno DESC LIMIT 1",
        until
    );
    if (!rows) {
        return rows.error();
    }
    fence_memory memory;
    if (rows->size() == 1) {
        memory.auto_conf = std::string(rows->text(0, 0));
    }
    return memory;
}

step_result<void> raise_setting(pg_client& old, limits until) {
    auto set = old.query(fmt::format("ALTER SYSTEM SET {} = on", setting), until);
    if (!set) {
        return set.error();
    }
    return reload(old, until);
}

step_result<void> prepare_end_others(pg_client& old, limits until) {
    return old.prepare("fence_pass", std::string(pass), until);
}

step_result<std::int64_t>
end_others(pg_client& old, const std::function<std::vector<std::int32_t>()>& ours, limits until) {
    auto now = old.query("SELECT clock_timestamp()::text", until);
    if (!now) {
        return now.error();
    }
    const std::string raised_at(now->text(0, 0));
    std::int64_t ended = 0;
    std::int64_t writing = 0;
    std::int64_t prepared = 0;
    auto clear = poll_until(
        [&]() -> step_result<bool> {
            const std::vector<std::string> values{array_text(ours()), raised_at};
            auto rows = old.run("fence_pass", values, until);
            if (!rows) {
                return rows.error();
            }
            ended = std::max(ended, rows->number(0, 0));
            writing = rows->number(0, 1);
            prepared = rows->number(0, 2);
            return writing == 0 && prepared == 0;
        },
        until,
        ""
    );
    if (!clear) {
        step_failure why = clear.error();
        if (why.text.empty()) {
            why.text = fmt::format(
                "{}: {} sessions do not end or still write, {} prepared transactions",
                old.server(),
                writing,
                prepared
            );
        }
        return why;
    }
    return ended;
}

step_result<std::string> expect_read_only(pg_client& probe, limits until) {
    // Refused before anything else is looked at; else it leaves nothing but a name of its session.
    constexpr const char* write = "CREATE TEMP TABLE IF NOT EXISTS pgsluice_probe ()";
    constexpr const char* is_overridden =
        "SELECT source IN ('user', 'database', 'database user') FROM pg_settings "
        "WHERE name = 'default_transaction_read_only'";
    std::string word;
    auto refused = poll_until(
        [&]() -> step_result<bool> {
            const auto written = probe.query(write, until);
            if (!written && (!probe.is_usable() || written.error().why != setback::failed)) {
                return written.error();
            }
            if (!written && written.error().text.find("(25006)") != std::string::npos) {
                return true;
            }
            auto overridden = probe.query(is_overridden, until);
            if (!overridden) {
                return overridden.error();
            }
            word = overridden->truth(0, 0) ? "the admin login is configured to write" : "";
            return !word.empty();
        },
        until,
        probe.server() + " still lets a new session write"
    );
    if (!refused) {
        return refused.error();
    }
    return word;
}

step_result<void> lower_fence(pg_client& old, const fence_memory& memory, limits until) {
    if (auto ended = end_earlier_sessions_of_ours(old, until); !ended) {
        return ended;
    }
    std::string statement = fmt::format("ALTER SYSTEM RESET {}", setting);
    if (memory.auto_conf) {
        std::string quoted;
        for (const char c : *memory.auto_conf) {
            quoted += c == '\'' ? "''" : std::string(1, c);
        }
        statement = fmt::format("ALTER SYSTEM SET {} = '{}'", setting, quoted);
    }
    if (auto done = old.query(statement, until); !done) {
        return done.error();
    }
    if (auto done = reload(old, until); !done) {
        return done;
    }
    auto restored = read_fence_memory(old, until);
    if (!restored) {
        return restored.error();
    }
    if (restored->auto_conf != memory.auto_conf) {
        return step_failure{
            setback::failed,
            old.server() + ": default_transaction_read_only could not be restored",
            "see postgresql.auto.conf there",
            {}};
    }
    return {};
}

step_result<std::string> lift_fence(pg_client& to, const fence_memory& memory, limits until) {
    auto now = read_fence_memory(to, until);
    if (!now) {
        return now.error();
    }
    if (now->auto_conf == "on") {
        if (auto done = lower_fence(to, memory, until); !done) {
            return done.error();
        }
    }
    // reset_val is what new sessions begin with: our own has a value of its own.
    auto rows = to.query(
        "SELECT reset_val::bool FROM pg_settings WHERE name = 'default_transaction_read_only'",
        until
    );
    if (!rows) {
        return rows.error();
    }
    if (rows->truth(0, 0)) {
        return step_failure{
            setback::failed,
            to.server() + " has default_transaction_read_only = on, and not from a fence alone",
            "see pg_file_settings there",
            {}};
    }
    return to.server() + " is writable again";
}

}  // namespace pgsluice::control
