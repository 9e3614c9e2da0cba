// The capture of a session: pipeline out, image in. BEGIN is executed before anything that needs a
// snapshot is parsed: with default_transaction_deferrable even a Parse would wait for a safe one.

#include "proxy/image/capture.hpp"

#include "proxy/image/capture_sql.hpp"
#include "proxy/image/image_decode.hpp"
#include "proxy/image/text_array.hpp"

#include <algorithm>
#include <array>

namespace pgsluice::proxy {

namespace {

constexpr std::string_view begin_name = "pgsluice.begin";
constexpr std::string_view commit_name = "pgsluice.commit";
constexpr std::string_view state_name = "pgsluice.state";
constexpr std::string_view names_name = "pgsluice.names";
constexpr std::string_view currval_name = "pgsluice.currval";
constexpr std::string_view lift_name = "pgsluice.lift";
constexpr std::string_view rollback_name = "pgsluice.rollback";

constexpr unsigned state_group = 0;
constexpr unsigned unnamed_group = 1;

script_step step(std::string_view label, script_item item = script_item::protocol) {
    script_step s;
    s.item = item;
    s.label = label;
    return s;
}

/// Closing first makes the Parse safe even if the statement should exist: that is no error.
void prepare(script_builder& out, std::string_view name, std::string_view text) {
    out.close_statement(name);
    out.parse(step("preparing the capture"), name, text);
}

bool is_askable(std::string_view name) {
    return name.find('.') != name.npos &&
           std::ranges::all_of(name, [](char c) { return c >= ' ' && c <= '~'; });
}

std::vector<std::string_view> askable(std::span<const std::string> names) {
    std::vector<std::string_view> all;
    std::ranges::copy_if(names, std::back_inserter(all), is_askable);
    std::ranges::sort(all);
    const auto repeated = std::ranges::unique(all);
    all.erase(repeated.begin(), repeated.end());
    return all;
}

failure without_image(std::string_view why) {
    return {std::string(sqlstate::internal_error), std::string(why), {}, {}};
}

/// The captured row shows the value under which the capture ran.
void restore_timeout(decoded_capture& capture) {
    if (capture.lifted_timeout.empty())
        return;
    auto& settings = capture.image.settings;
    const auto row = std::ranges::find(settings, "statement_timeout", &setting::name);
    if (row != settings.end())
        row->value = std::move(capture.lifted_timeout);
}

/// The server has no order to promise; ours makes images comparable.
void tidy(session_image& image) {
    std::erase_if(image.custom_settings, [&](const custom_setting& custom) {
        return std::ranges::find(image.registered_names, custom.name) !=
               image.registered_names.end();
    });
    std::ranges::sort(image.settings, {}, &setting::name);
    std::ranges::sort(image.registered_names);
    std::ranges::sort(image.custom_settings, {}, &custom_setting::name);
    std::ranges::sort(image.statements, {}, &prepared_statement::name);
    std::ranges::sort(image.types, {}, &user_type::oid);
    const auto repeated = std::ranges::unique(image.types);
    image.types.erase(repeated.begin(), repeated.end());
    std::ranges::sort(image.channels);
    std::ranges::sort(image.hold_cursors);
    std::ranges::sort(image.locks, {}, [](const advisory_lock& lock) {
        return std::tuple(lock.is_pair, std::string_view(lock.key), lock.is_shared);
    });
}

}  // namespace

script capture_request(const capture_options& options) {
    script_builder out;
    if (!options.is_prepared)
        prepare(out, begin_name, "BEGIN ISOLATION LEVEL READ COMMITTED");
    out.run(step("BEGIN"), begin_name);
    if (options.lifts_timeout) {
        prepare(out, lift_name, capture_sql::lift_timeout);
        out.run(step("SET LOCAL statement_timeout", script_item::question), lift_name, {}, true);
    }
    if (!options.is_prepared) {
        prepare(out, state_name, capture_sql::state);
        prepare(out, names_name, capture_sql::names);
        if (options.asks_currval)
            prepare(out, currval_name, capture_sql::currval);
        prepare(out, commit_name, "COMMIT");
    }
    out.run(step("capture", script_item::question), state_name, {}, true);
    const auto names = askable(options.custom_names);
    if (!names.empty() || !options.type_oids.empty()) {
        const std::string asked = text_array(names);
        const std::string oids = oid_array(options.type_oids);
        const std::array<std::string_view, 2> parameters{asked, oids};
        out.run(step("capture by name", script_item::question), names_name, parameters, true);
    }
    if (options.asks_currval)
        out.run(step("capture of lastval()"), currval_name);
    out.run(step("COMMIT"), commit_name);
    out.sync();
    if (options.asks_unnamed) {
        // Its failure is an answer, so it must not take anything else with it.
        out.describe_statement(step("unnamed statement", script_item::question), "");
        out.sync();
    }
    return out.take();
}

script close_request() {
    script_builder out;
    for (const auto name :
         {begin_name, commit_name, state_name, names_name, currval_name, lift_name})
        out.close_statement(name);
    out.sync();
    return out.take();
}

script rollback_request() {
    script_builder out;
    prepare(out, rollback_name, "ROLLBACK");
    out.run(step("ROLLBACK"), rollback_name);
    out.close_statement(rollback_name);
    out.sync();
    return out.take();
}

bool capture_needs_parse(const script_outcome& outcome) noexcept {
    const auto* error = outcome.error_in(state_group);
    return error != nullptr && !error->is_fatal && error->what.sqlstate == "26000";
}

bool capture_timed_out(const script_outcome& outcome) noexcept {
    const auto* error = outcome.error_in(state_group);
    return error != nullptr && !error->is_fatal && error->what.sqlstate == "57014";
}

result<session_image> captured_image(const script_outcome& outcome) {
    if (const auto* error = outcome.error_in(state_group))
        return error->what;
    if (outcome.needs_rollback())
        return without_image("the capture of a session left a transaction open");
    decoded_capture capture;
    for (const auto& row : outcome.rows) {
        if (row.columns.size() != 1 || !row.columns[0])
            return without_image("the capture of a session answered no value");
        if (const auto decoded = decode_capture(*row.columns[0], capture); !decoded)
            return decoded.error();
    }
    restore_timeout(capture);
    auto& image = capture.image;
    if (image.server_version_num == 0 || image.database_encoding.empty() || image.role.empty())
        return without_image("the capture of a session answered nothing");
    image.is_currval_defined = outcome.noticed;
    if (outcome.ready_seen > unnamed_group) {
        const auto* error = outcome.error_in(unnamed_group);
        if (error == nullptr || error->what.sqlstate == "26000")
            image.has_unnamed_statement = error == nullptr;
    }
    tidy(image);
    return std::move(image);
}

}  // namespace pgsluice::proxy
