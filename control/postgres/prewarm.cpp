// A connection of its own: one that a deadline ends is lost, and the server ends the statement by
// itself a little earlier.
#include "control/postgres/prewarm.hpp"

#include <fmt/format.h>

#include <vector>

namespace pgsluice::control {

namespace {

using std::chrono::milliseconds;

constexpr const char* extension_schema =
    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n "
    "ON n.oid = e.extnamespace WHERE e.extname = 'pg_prewarm'";

/// What has storage: the relation itself, or all that a partitioned one consists of.
constexpr const char* warm = R"(
SELECT coalesce(sum({}.pg_prewarm(part)), 0) FROM (
    SELECT oid::regclass FROM pg_class WHERE oid = $1::regclass AND relkind NOT IN ('p', 'I')
    UNION SELECT relid FROM pg_partition_tree($1::regclass) WHERE isleaf) AS parts(part))";

struct tally {
    std::size_t warm = 0;
    std::int64_t blocks = 0;
    std::string failure{};  ///< the first one
};

step_result<pg_rows>
warm_one(pg_client& server, const std::string& sql, const std::string& name, const limits& until) {
    const auto left = std::chrono::floor<milliseconds>(until.deadline - limits::clock::now());
    const auto own = std::max(milliseconds{1}, left * 9 / 10);
    auto set = server.query(fmt::format("SET statement_timeout = {}", own.count()), until);
    if (!set) {
        return set.error();
    }
    const std::vector<std::string> values{name};
    return server.query(sql, values, until);
}

}  // namespace

step_result<std::string>
prewarm(const pg_login& login, std::span<const std::string> relations, const limits& until) {
    auto server = pg_client::connect(login, until);
    auto schema = server ? server->query(extension_schema, until) : server.error();
    tally done;
    if (!schema) {
        done.failure = schema.error().text;
    } else if (schema->size() == 0) {
        done.failure = login.server + " does not have the extension pg_prewarm";
    } else {
        const std::string sql = fmt::format(warm, schema->text(0, 0));
        for (const std::string& name : relations) {
            if (!server->is_usable() || until.passed()) {
                break;
            }
            const auto read = warm_one(*server, sql, name, until);
            done.warm += read ? 1 : 0;
            done.blocks += read ? read->number(0, 0) : 0;
            if (!read && done.failure.empty()) {
                done.failure = name + ": " + read.error().text;
            }
        }
    }
    if (until.stopped()) {
        return step_failure{setback::aborted, "aborted by the operator", {}, {}};
    }
    std::string text = fmt::format(
        "{} of {} relations, {} blocks in the memory of {}",
        done.warm,
        relations.size(),
        done.blocks,
        login.server
    );
    return done.failure.empty() ? text : text + "; " + done.failure;
}

}  // namespace pgsluice::control
