// From an image to messages. What is to be replayed is collected first (`additions`), all of an
// image or only what it has more than another; the messages are the same for both.

#include "proxy/image/replay.hpp"

#include "proxy/image/lock_counts.hpp"
#include "proxy/image/script_frame.hpp"
#include "proxy/image/sql_prepare.hpp"
#include "proxy/image/text_array.hpp"

#include <algorithm>

namespace pgsluice::proxy {

namespace {

/// Parts of an image, in the order of their replay.
struct additions {
    std::vector<advisory_lock> locks;
    std::vector<setting> settings;
    std::vector<custom_setting> custom_settings;
    bool sets_role = true;
    std::vector<std::string> channels;
    std::vector<prepared_statement> statements;
};

bool is_replayed(const setting& s, const replay_target& target) {
    return s.is_session() && s.name != "client_encoding" &&
           std::ranges::find(target.skipped_settings, s.name) == target.skipped_settings.end();
}

/// client_encoding is the frame's while it runs; a local value of the frame's hides the session's.
void add_client_encoding(script_frame& frame, const session_image& image) {
    const auto row = std::ranges::find(image.settings, "client_encoding", &setting::name);
    if (row == image.settings.end() || !row->is_session())
        return;
    frame.set(script_item::setting, row->name, row->value);
    frame.set_local("client_encoding", image.database_encoding);
}

void add_settings(script_frame& frame, const additions& what, const session_image& image) {
    for (const auto& s : what.settings)
        frame.set(script_item::setting, s.name, s.value);
    for (const auto& c : what.custom_settings)
        frame.set(script_item::custom_setting, c.name, c.value);
    add_client_encoding(frame, image);
}

void add_role(script_frame& frame, const session_image& image, const replay_target& target) {
    // As settings their values are plain text: nothing to quote. The role goes last, the session
    // authorization resets it.
    if (image.session_user != target.login_user)
        frame.set(script_item::role, "session_authorization", image.session_user);
    frame.set(script_item::role, "role", image.role);
}

void add_channels(script_frame& frame, const std::vector<std::string>& channels) {
    for (const auto& channel : channels) {
        const auto listen = "LISTEN " + quoted_identifier(channel);
        frame.run(step_for(script_item::channel, listen), listen);
    }
}

failure unknown_type(const std::string& statement, std::uint32_t oid) {
    return {
        .sqlstate = "42704",
        .message = "prepared statement \"" + statement +
                   "\" has a parameter of a type that the new server does not have",
        .detail = "Its OID on the old server is " + std::to_string(oid) + ".",
        .hint = {},
    };
}

result<void>
add_parsed(script_frame& frame, const prepared_statement& statement, const replay_target& target) {
    std::vector<std::uint32_t> types;
    for (const auto oid : statement.parameter_types) {
        const auto mapped = target.types != nullptr ? target.types->at(oid) : oid_map().at(oid);
        if (!mapped)
            return unknown_type(statement.name, oid);
        types.push_back(*mapped);
    }
    frame.messages().parse(
        step_for(script_item::statement, "Parse \"" + statement.name + "\""),
        statement.name,
        statement.text,
        types
    );
    return {};
}

result<void>
add_statements(script_frame& frame, const additions& what, const replay_target& target) {
    for (const auto& statement : what.statements) {
        if (!statement.is_from_sql) {
            if (const auto added = add_parsed(frame, statement, target); !added)
                return added.error();
            continue;
        }
        // Whether its backslashes can be trusted was judged before.
        const auto text = cut_prepare({statement.name, statement.text});
        if (!text)
            return text.error();
        frame.run(step_for(script_item::sql_statement, "PREPARE " + statement.name), *text);
    }
    return {};
}

/// Last: it must not be parsed before the settings hold, and nothing may be parsed over it.
result<void>
add_unnamed(script_frame& frame, const session_image& image, const replay_target& target) {
    if (target.unnamed_parse.empty()) {
        frame.messages().close_statement("");
        return {};
    }
    const auto body =
        remap_parse(target.unnamed_parse, target.types != nullptr ? *target.types : oid_map());
    if (!body)
        return body.error();
    frame.set_local("client_encoding", image.client_encoding);
    frame.messages().parse_body(
        step_for(script_item::unnamed_statement, "the unnamed statement"), protocol::as_bytes(*body)
    );
    return {};
}

result<replay_plan>
build(const additions& what, const session_image& image, const replay_target& target) {
    const frame_options where{image.database_encoding, target.server_version_num};
    script_frame frame(where);
    add_locks(frame, what.locks);
    add_settings(frame, what, image);
    if (what.sets_role)
        add_role(frame, image, target);
    if (!target.in_recovery)
        add_channels(frame, what.channels);
    if (const auto added = add_statements(frame, what, target); !added)
        return added.error();
    if (const auto added = add_unnamed(frame, image, target); !added)
        return added.error();
    replay_plan plan;
    plan.before_promotion = frame.finish();
    if (target.in_recovery && !image.channels.empty()) {
        script_frame after(where);
        add_channels(after, image.channels);
        plan.after_promotion = after.finish();
    }
    return plan;
}

/// What `now` has and `previous` has not; nothing if an element of `previous` is gone.
template <class T>
std::optional<std::vector<T>> added(const std::vector<T>& previous, const std::vector<T>& now) {
    const auto has = [](const std::vector<T>& all, const T& one) {
        return std::ranges::find(all, one) != all.end();
    };
    if (!std::ranges::all_of(previous, [&](const T& one) { return has(now, one); }))
        return std::nullopt;
    std::vector<T> more;
    std::ranges::copy_if(now, std::back_inserter(more), [&](const T& one) {
        return !has(previous, one);
    });
    return more;
}

/// Settings may also change their value; nothing if one was reset.
template <class T>
std::optional<std::vector<T>> changed(const std::vector<T>& previous, const std::vector<T>& now) {
    const auto is_kept = [&](const T& was) {
        return std::ranges::find(now, was.name, &T::name) != now.end();
    };
    if (!std::ranges::all_of(previous, is_kept))
        return std::nullopt;
    std::vector<T> more;
    std::ranges::copy_if(now, std::back_inserter(more), [&](const T& is) {
        const auto was = std::ranges::find(previous, is.name, &T::name);
        return was == previous.end() || was->value != is.value;
    });
    return more;
}

std::vector<setting> replayed_settings(const session_image& image, const replay_target& target) {
    std::vector<setting> settings;
    std::ranges::copy_if(image.settings, std::back_inserter(settings), [&](const setting& s) {
        return is_replayed(s, target);
    });
    return settings;
}

bool has_session_encoding(const session_image& image) {
    const auto row = std::ranges::find(image.settings, "client_encoding", &setting::name);
    return row != image.settings.end() && row->is_session();
}

/// Settings are replayed as login user; a leg that has taken a role already may lack the right.
bool may_set_as_is(
    const std::vector<setting>& settings, const session_image& previous, const replay_target& target
) {
    const bool is_login_user =
        previous.session_user == target.login_user && previous.role == "none";
    return is_login_user ||
           std::ranges::all_of(settings, [](const setting& s) { return s.context == "user"; });
}

}  // namespace

session_image with_login(session_image image, std::string_view from, std::string_view to) {
    if (image.session_user == from) {
        if (image.current_user == from && image.role == "none") {
            image.current_user = to;
        }
        image.session_user = to;
    }
    return image;
}

result<replay_plan> plan_replay(const session_image& image, const replay_target& target) {
    additions all;
    all.locks = image.locks;
    all.settings = replayed_settings(image, target);
    all.custom_settings = image.custom_settings;
    all.channels = image.channels;
    all.statements = image.statements;
    return build(all, image, target);
}

std::optional<replay_plan>
plan_delta(const session_image& previous, const session_image& now, const replay_target& target) {
    const auto settings =
        changed(replayed_settings(previous, target), replayed_settings(now, target));
    const auto custom = changed(previous.custom_settings, now.custom_settings);
    const auto statements = added(previous.statements, now.statements);
    const auto channels = added(previous.channels, now.channels);
    const auto locks = added(previous.locks, now.locks);
    const bool is_addition = settings && custom && statements && channels && locks &&
                             previous.session_user == now.session_user &&
                             (has_session_encoding(now) || !has_session_encoding(previous)) &&
                             may_set_as_is(*settings, previous, target);
    if (!is_addition)
        return std::nullopt;
    additions more;
    more.locks = *locks;
    more.settings = *settings;
    more.custom_settings = *custom;
    more.sets_role = previous.role != now.role;
    more.channels = *channels;
    more.statements = *statements;
    auto plan = build(more, now, target);
    if (!plan)
        return std::nullopt;
    return std::move(*plan);
}

script reset_request() {
    // DISCARD ALL runs in no block and takes a snapshot: by a serializable default it would wait
    // for a safe one, or fail on a hot standby. The default goes first.
    script_frame frame({.database_encoding = "SQL_ASCII", .server_version_num = 0});
    frame.set(script_item::protocol, "default_transaction_isolation", "read committed");
    frame.commit();
    frame.messages().query(step_for(script_item::protocol, "DISCARD ALL"), "DISCARD ALL");
    return frame.messages().take();
}

pin pin_of(const script_error& error) {
    constexpr auto code_of = [](script_item item) {
        switch (item) {
        case script_item::setting:
            return pin_code::guc;
        case script_item::custom_setting:
            return pin_code::custom_guc;
        case script_item::role:
            return pin_code::role;
        case script_item::statement:
            return pin_code::statement;
        case script_item::sql_statement:
            return pin_code::sql_prepared;
        case script_item::unnamed_statement:
            return pin_code::unnamed_statement;
        case script_item::channel:
            return pin_code::listen;
        case script_item::advisory_lock:
            return pin_code::advisory_lock;
        case script_item::question:
        case script_item::protocol:
            return pin_code::protocol;
        }
        return pin_code::protocol;
    };
    return {code_of(error.step.item), error.step.label + ": " + error.what.message};
}

}  // namespace pgsluice::proxy
