// The fence around the old server, and the one that an earlier cutover left around the new one.
// Each method is raised, tried and lowered here; what it is made of stands in fence, table_locks
// and connect_fence. How a fence is lowered is up to its memory, whatever the configuration says by
// now.
#include "control/base/polling.hpp"
#include "control/postgres/connect_fence.hpp"
#include "control/postgres/setting_fence.hpp"
#include "control/servers/pg_servers.hpp"

#include <fmt/format.h>

namespace pgsluice::control {

namespace {

/// How long a command's effect may take to show, and a firewall leave a question unanswered.
constexpr std::chrono::milliseconds effect_within{2'000};

step_result<void> raise(pg_client& server, const fence_memory& memory, const limits& until) {
    return memory.method == fence_method::revoke_connect
               ? revoke_connect(server, memory.connect, until)
               : raise_setting(server, until);
}

step_result<void> lower(pg_client& server, const fence_memory& memory, const limits& until) {
    if (is_setting(memory.method)) {
        return lower_fence(server, memory, until);
    }
    if (auto ended = end_earlier_sessions_of_ours(server, until); !ended) {
        return ended;
    }
    return grant_connect(server, memory.connect, until);
}

/// Whether a new session may write. Whoever cannot log in cannot; nothing is known when it took too
/// long or was aborted.
step_result<bool> lets_write(const pg_login& login, const limits& until) {
    auto session = pg_client::connect(login, until);
    const auto written = session ? session->query("CREATE TEMP TABLE pgsluice_probe ()", until)
                                 : step_result<pg_rows>(session.error());
    if (!written && written.error().why != setback::failed) {
        return written.error();
    }
    return written.has_value();
}

step_result<std::string> expect_no_writes(const pg_login& login, const limits& until) {
    const limits soon{
        std::min(until.deadline, limits::clock::now() + effect_within), until.aborted};
    bool is_open = false;
    auto refused = poll_until(
        [&]() -> step_result<bool> {
            auto found = lets_write(login, soon);
            is_open = found ? *found : is_open;  // the last answer counts
            return found ? step_result<bool>(!*found) : found.error();
        },
        soon,
        ""
    );
    if (is_open && !refused && refused.error().why == setback::deadline) {
        return step_failure{
            setback::failed,
            fmt::format("fence_command ended well, and {} still takes writes", login.server),
            "the command has to keep the admin login from writing too",
            {}};
    }
    if (!refused && (refused.error().why != setback::deadline || until.passed())) {
        return refused.error();
    }
    return std::string(refused ? "" : "nobody gets an answer");
}

step_result<void> expect_writes(const pg_login& login, const limits& until) {
    return poll_until(
        [&] { return lets_write(login, until); },
        until,
        "unfence_command ended well, and " + login.server + " still refuses writes"
    );
}

}  // namespace

step_result<fence_memory> pg_servers::read_fence(limits until) {
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    const cutover_config& configured = settings_.cutover;
    fence_memory memory;
    if (is_setting(configured.fence)) {
        auto found = read_fence_memory(**old, until);
        if (!found) {
            return found.error();
        }
        memory = *found;
    } else if (configured.fence == fence_method::revoke_connect) {
        auto found = read_connect(**old, until);
        if (!found) {
            return found.error();
        }
        memory.connect = std::move(*found);
    } else {
        memory.raise_command = configured.fence_command;
        memory.lower_command = configured.unfence_command;
    }
    memory.method = configured.fence;
    return memory;
}

step_result<void> pg_servers::prepare_fence(pg_client& old, const limits& until) {
    if (settings_.cutover.fence == fence_method::none || same_server_) {
        return {};
    }
    if (auto prepared = prepare_end_others(old, until); !prepared) {
        return prepared;
    }
    const pg_login login = login_of(settings_.from, "");
    if (is_setting(settings_.cutover.fence)) {
        pg_login probing = login;
        probing.application_name += ":probe";
        auto probe = pg_client::connect(probing, until);
        if (!probe) {
            return probe.error();
        }
        probe_ = std::move(*probe);
    }
    if (settings_.cutover.fence == fence_method::lock_tables) {
        auto locks = table_locks::connect(login, until);
        if (!locks) {
            return locks.error();
        }
        locks_ = std::move(*locks);
    }
    return {};
}

step_result<std::string> pg_servers::try_fence(const fence_memory& memory, const limits& until) {
    if (memory.method == fence_method::command) {
        return expect_no_writes(login_of(settings_.from, ""), until);
    }
    if (memory.method == fence_method::revoke_connect) {
        return std::string();  // revoke_connect() has asked for everybody
    }
    auto word = expect_read_only(*probe_, until);
    if (!word || memory.method == fence_method::default_read_only) {
        return word;
    }
    if (auto locked = expect_locked(*from_, until); !locked) {
        return locked.error();
    }
    return fmt::format("{} tables locked{}", locks_.tables(), word->empty() ? "" : ", " + *word);
}

step_result<std::string> pg_servers::fence(
    const fence_memory& memory, const std::function<std::vector<std::int32_t>()>& ours, limits until
) {
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    const backend_config& fenced = settings_.from;
    auto up = memory.method == fence_method::command
                  ? control::run_hook(command("fence_command", memory.raise_command, fenced), until)
                  : raise(**old, memory, until);
    if (!up) {
        return up.error();
    }
    const auto all_of_ours = [&] {
        std::vector<std::int32_t> pids = ours();
        const auto holders = locks_.pids();
        pids.insert(pids.end(), holders.begin(), holders.end());
        pids.push_back(probe_ ? probe_->backend_pid() : 0);
        return pids;
    };
    auto ended = end_others(**old, all_of_ours, until);
    if (!ended) {
        return ended.error();
    }
    if (memory.method == fence_method::lock_tables) {
        if (auto locked = locks_.lock(until); !locked) {
            return locked.error();
        }
    }
    auto word = try_fence(memory, until);
    if (!word) {
        return word.error();
    }
    return fmt::format(
        "{} refuses writes, {} session{} past the proxy ended{}",
        fenced.name,
        *ended,
        *ended == 1 ? "" : "s",
        word->empty() ? "" : "; " + *word
    );
}

void pg_servers::let_go() {
    locks_ = {};
    probe_.reset();
}

step_result<void> pg_servers::unfence_by_command(
    const fence_memory& memory, const backend_config& fenced, const limits& until
) {
    const hook what = command("unfence_command", memory.lower_command, fenced);
    auto done = control::run_hook(what, until);
    return done ? expect_writes(login_of(fenced, ""), until) : done;
}

step_result<void> pg_servers::unfence(const fence_memory& memory, limits until) {
    let_go();
    if (memory.method == fence_method::command) {
        return unfence_by_command(memory, settings_.from, until);
    }
    auto old = from(until);
    if (!old) {
        return old.error();
    }
    return lower(**old, memory, until);
}

step_result<std::string> pg_servers::lift(const fence_memory& memory, limits until) {
    if (memory.method == fence_method::command) {
        auto done = control::run_hook(
            command("unfence_command", memory.lower_command, settings_.to), until
        );
        if (!done) {
            return done.error();
        }
        return std::string("unfence_command is content");
    }
    auto next = to(until);
    if (!next) {
        return next.error();
    }
    if (is_setting(memory.method)) {
        return lift_fence(**next, memory, until);
    }
    if (auto done = lower(**next, memory, until); !done) {
        return done.error();
    }
    return settings_.to.name + " lets everybody in again";
}

step_result<void> pg_servers::undo_lift(const fence_memory& memory, limits until) {
    if (memory.method == fence_method::command) {
        return control::run_hook(
            command("fence_command", memory.raise_command, settings_.to), until
        );
    }
    auto next = to(until);
    if (!next) {
        return next.error();
    }
    return raise(**next, memory, until);
}

}  // namespace pgsluice::control
