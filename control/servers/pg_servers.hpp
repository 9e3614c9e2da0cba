#pragma once

#include "control/cutover/world.hpp"
#include "control/postgres/pg_client.hpp"
#include "control/postgres/promote.hpp"
#include "control/postgres/reverse_replication.hpp"
#include "control/postgres/table_locks.hpp"
#include "control/preflight/checks.hpp"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pgsluice::control {

/// What a pair of PostgreSQL servers needs to know of the configuration.
struct pg_servers_settings {
    std::string service;
    backend_config from;
    backend_config to;
    admin_config admin;
    replication_config replication;
    cutover_config cutover;
    check_levels checks{};
};

/// The two servers of one cutover, through one libpq connection each. Used by one thread.
class pg_servers : public server_pair {
public:
    explicit pg_servers(pg_servers_settings settings);

    step_result<std::vector<check_row>>
    preflight(const preflight_expectations& expected, limits until) override;
    step_result<std::vector<std::string>>
    custom_settings(std::span<const std::string> databases, limits until) override;
    step_result<std::string> prewarm(limits until) override;
    step_result<void> prepare(limits until) override;
    step_result<std::vector<reading>> readings(limits until) override;
    bool same_server() const override { return same_server_; }
    bool is_new_read_only() const override { return new_read_only_; }
    step_result<fence_memory> read_fence(limits until) override;
    step_result<std::string> fence(
        const fence_memory& memory,
        const std::function<std::vector<std::int32_t>()>& ours,
        limits until
    ) override;
    void let_go() override;
    step_result<void> unfence(const fence_memory& memory, limits until) override;
    step_result<std::string> lift(const fence_memory& memory, limits until) override;
    step_result<void> undo_lift(const fence_memory& memory, limits until) override;
    step_result<lsn> mark(std::string_view id, limits until) override;
    step_result<void> catch_up(lsn marker, limits until) override;
    step_result<std::string> copy_sequences(limits until) override;
    step_result<void> promote(limits until) override;
    step_result<void> verify(limits until) override;
    step_result<void> unsubscribe(limits until) override;
    step_result<void> prepare_way_back(limits until) override;
    step_result<void> mark_way_back(limits until) override;
    step_result<void> follow_back(limits until) override;
    step_result<void> undo_way_back(limits until) override;
    step_result<void> run_hook(hook_kind which, std::string_view text, limits until) override;

private:
    pg_login login_of(const backend_config& backend, std::string options) const;
    /// The connection, opened if there is none that works.
    step_result<pg_client*> ensure(
        std::optional<pg_client>& client,
        const backend_config& backend,
        std::string_view options,
        const limits& until
    );
    step_result<pg_client*> from(const limits& until);
    step_result<pg_client*> to(const limits& until);
    way_back back() const;
    /// `fenced`: the backend that it is about, where it is about a fence.
    hook command(std::string name, const std::string& shell, const backend_config& fenced) const;
    /// Opens the connections that the fence will need.
    step_result<void> prepare_fence(pg_client& old, const limits& until);
    step_result<void> unfence_by_command(
        const fence_memory& memory, const backend_config& fenced, const limits& until
    );
    /// Tries to write where the fence stands. Yields a word for the report.
    step_result<std::string> try_fence(const fence_memory& memory, const limits& until);
    using way_back_action =
        step_result<void>(pg_client& from, pg_client& to, const way_back&, limits);
    step_result<void> on_both(way_back_action* action, limits until);

    pg_servers_settings settings_;
    std::optional<pg_client> from_;
    std::optional<pg_client> to_;
    std::optional<pg_client> probe_;  ///< of a fence that is a setting
    table_locks locks_;               ///< of `lock_tables`
    bool same_server_ = false;
    bool new_read_only_ = false;
};

/// The two servers as a service's configuration describes them.
std::unique_ptr<server_pair> make_pg_servers(
    const service_config& service, const backend_config& from, const backend_config& to
);

/// A position as PostgreSQL writes it, back to a number; 0 for anything else.
lsn parse_lsn(std::string_view text);

}  // namespace pgsluice::control
