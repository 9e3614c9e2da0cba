// The transaction around replayed state. Settings that the frame needs for itself ("held") get the
// client's value and the frame's local one in the same statement: after COMMIT only the client's is
// left ("SET", section "Notes": SET LOCAL after SET).

#include "proxy/image/script_frame.hpp"

#include <algorithm>
#include <array>

namespace pgsluice::proxy {

namespace {

// Not the names of a capture: what that keeps prepared must survive a frame.
constexpr std::string_view begin_name = "pgsluice.frame.begin";
constexpr std::string_view commit_name = "pgsluice.frame.commit";
constexpr std::string_view set_name = "pgsluice.frame.set";
constexpr std::string_view hold_name = "pgsluice.frame.hold";
constexpr std::string_view item_name = "pgsluice.frame.item";

struct held_setting {
    std::string_view name;
    std::string_view value;
    int since_version_num = 0;
};

constexpr held_setting held[] = {
    {"statement_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"transaction_timeout", "0", 170000},
    {"client_min_messages", "error"},
};

}  // namespace

script_step step_for(script_item item, std::string label) {
    script_step step;
    step.item = item;
    step.label = std::move(label);
    return step;
}

script_frame::script_frame(const frame_options& options)
    : server_version_num_(options.server_version_num) {
    prepare(begin_name, "BEGIN ISOLATION LEVEL READ COMMITTED");
    out_.run(step_for(script_item::protocol, "BEGIN"), begin_name);
    prepare(set_name, "SELECT pg_catalog.set_config($1, $2, $3)");
    for (const auto& setting : held) {
        if (is_held(setting.name))
            set_local(setting.name, setting.value);
    }
    set_local("client_encoding", options.database_encoding);
    prepare(
        hold_name,
        "SELECT pg_catalog.set_config($1, $2, false), pg_catalog.set_config($1, $3, true)"
    );
    prepare(commit_name, "COMMIT");
}

bool script_frame::is_held(std::string_view name) const noexcept {
    const auto* found = std::ranges::find(held, name, &held_setting::name);
    return found != std::end(held) && server_version_num_ >= found->since_version_num;
}

void script_frame::prepare(std::string_view name, std::string_view text) {
    out_.close_statement(name);  // if it should exist: no error
    out_.parse(step_for(script_item::protocol, "preparing " + std::string(name)), name, text);
}

void script_frame::set(script_item item, std::string_view name, std::string_view value) {
    auto step = step_for(item, "SET " + std::string(name));
    if (!is_held(name)) {
        const std::array<std::string_view, 3> parameters{name, value, "false"};
        return out_.run(std::move(step), set_name, parameters);
    }
    const auto local = std::ranges::find(held, name, &held_setting::name)->value;
    const std::array<std::string_view, 3> parameters{name, value, local};
    out_.run(std::move(step), hold_name, parameters);
}

void script_frame::set_local(std::string_view name, std::string_view value) {
    const std::array<std::string_view, 3> parameters{name, value, "true"};
    out_.run(
        step_for(script_item::protocol, "SET LOCAL " + std::string(name)), set_name, parameters
    );
}

void script_frame::run(
    const script_step& step, std::string_view text, std::span<const std::string_view> parameters
) {
    out_.close_statement(item_name);
    out_.parse(step, item_name, text);
    out_.run(step, item_name, parameters);
}

void script_frame::commit() {
    out_.run(step_for(script_item::protocol, "COMMIT"), commit_name);
    for (const auto name : {begin_name, commit_name, set_name, hold_name, item_name})
        out_.close_statement(name);
    out_.sync();
}

script script_frame::finish() {
    commit();
    return out_.take();
}

}  // namespace pgsluice::proxy
