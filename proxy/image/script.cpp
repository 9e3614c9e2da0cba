// Scripts: messages out (script_builder), answers in (script_reader). The reader walks the list of
// awaited answers: each step is ended by one message type, an ErrorResponse skips to the end of its
// Sync group as the server does ("Extended Query", chapter "Frontend/Backend Protocol").

#include "proxy/image/script.hpp"

#include "protocol/wire/messages.hpp"

#include <algorithm>
#include <array>

namespace pgsluice::proxy {

namespace {

namespace backend = protocol::backend;

/// More than a session's state can sensibly be; the answer is kept in memory.
constexpr std::size_t rows_bytes_max = std::size_t{64} << 20;

failure out_of_step(char type) {
    return {
        .sqlstate = std::string(sqlstate::protocol_violation),
        .message = std::string("unexpected backend message '") + type + "' in answer to a script",
        .detail = {},
        .hint = {},
    };
}

}  // namespace

void script_builder::add(script_step&& step, script_step::kind ends_with) {
    step.ends_with = ends_with;
    step.sync_group = sync_group_;
    script_.steps.push_back(std::move(step));
}

void script_builder::parse(
    script_step step,
    std::string_view name,
    std::string_view text,
    std::span<const std::uint32_t> parameter_types
) {
    protocol::encode_parse(script_.bytes, name, text, parameter_types);
    add(std::move(step), script_step::kind::parse);
}

void script_builder::parse_body(script_step step, protocol::byte_view body) {
    protocol::writer out(script_.bytes);
    out.begin_message(protocol::frontend::Parse);
    out.bytes(body);
    out.end_message();
    add(std::move(step), script_step::kind::parse);
}

void script_builder::run(
    script_step step,
    std::string_view statement,
    std::span<const std::string_view> parameters,
    bool wants_binary
) {
    const std::vector<std::optional<std::string_view>> values(parameters.begin(), parameters.end());
    const std::int16_t result_format = wants_binary ? 1 : 0;
    protocol::encode_bind(
        script_.bytes,
        {.statement = statement, .parameters = values, .result_formats = {&result_format, 1}}
    );
    protocol::encode_execute(script_.bytes, "");
    add(std::move(step), script_step::kind::execute);
}

void script_builder::describe_statement(script_step step, std::string_view name) {
    protocol::encode_describe(script_.bytes, {'S', name});
    add(std::move(step), script_step::kind::describe);
}

void script_builder::close_statement(std::string_view name) {
    protocol::encode_close(script_.bytes, {'S', name});
    script_step step;
    step.label = "close of " + std::string(name);
    add(std::move(step), script_step::kind::close);
}

void script_builder::query(script_step step, std::string_view text) {
    protocol::encode_query(script_.bytes, text);
    add(std::move(step), script_step::kind::execute);
    ++sync_group_;
    ++script_.ready_expected;
}

void script_builder::sync() {
    protocol::encode_sync(script_.bytes);
    ++sync_group_;
    ++script_.ready_expected;
}

script script_builder::take() {
    PGSLUICE_ASSERT(script_.steps.empty() || script_.steps.back().sync_group < sync_group_);
    sync_group_ = 0;
    return std::exchange(script_, {});
}

const script_error* script_outcome::error_in(unsigned sync_group) const noexcept {
    const auto found = std::ranges::find(errors, sync_group, [](const script_error& e) {
        return e.step.sync_group;
    });
    return found == errors.end() ? nullptr : &*found;
}

script_reader::reply script_reader::on_message(char type, protocol::byte_view body) {
    PGSLUICE_ASSERT(!is_done_);
    switch (type) {
    case backend::ParameterStatus:
    case backend::NotificationResponse:
        return reply::not_mine;
    case backend::NoticeResponse:
        return on_notice(body);
    case backend::ParseComplete:
        end_step(script_step::kind::parse);
        break;
    case backend::CloseComplete:
        end_step(script_step::kind::close);
        break;
    case backend::CommandComplete:
    case backend::EmptyQueryResponse:
        end_step(script_step::kind::execute);
        break;
    case backend::NoData:
        end_step(script_step::kind::describe);
        break;
    case backend::RowDescription:
        // A simple Query describes its rows unasked.
        if (awaits(script_step::kind::describe))
            end_step(script_step::kind::describe);
        break;
    case backend::BindComplete:
    case backend::ParameterDescription:
        break;
    case backend::DataRow:
        on_row(body);
        break;
    case backend::ErrorResponse:
        on_error(body);
        break;
    case backend::ReadyForQuery:
        on_ready(body);
        break;
    default:
        fail(out_of_step(type), true);
        break;
    }
    return is_done_ ? reply::done : reply::mine;
}

/// Debug and log lines are what our own statements cause at the client's client_min_messages.
script_reader::reply script_reader::on_notice(protocol::byte_view body) {
    const auto notice = protocol::decode_notice_response(body);
    if (!notice)
        return reply::not_mine;
    if (notice->sqlstate == private_sqlstate) {
        outcome_.noticed = true;
        return reply::mine;
    }
    const bool is_chatter = notice->severity.starts_with("DEBUG") || notice->severity == "LOG";
    return is_chatter ? reply::mine : reply::not_mine;
}

bool script_reader::group_failed() const noexcept {
    return outcome_.error_in(sync_group_) != nullptr;
}

bool script_reader::awaits(script_step::kind kind) const noexcept {
    return has_step_left() && script_.steps[next_step_].ends_with == kind;
}

bool script_reader::has_step_left() const noexcept {
    return next_step_ < script_.steps.size() && script_.steps[next_step_].sync_group == sync_group_;
}

script_step script_reader::current_step() const {
    if (has_step_left())
        return script_.steps[next_step_];
    script_step committing;  // everything was answered, only the Sync is left
    committing.label = "COMMIT";
    committing.sync_group = sync_group_;
    return committing;
}

void script_reader::end_step(script_step::kind kind) {
    if (!awaits(kind) || skips_group_)
        fail(out_of_step('?'), true);
    else
        ++next_step_;
}

void script_reader::on_row(protocol::byte_view body) {
    rows_bytes_ += body.size();
    if (rows_bytes_ > rows_bytes_max)
        return fail({"54000", "the answer to a script is larger than 64 MiB", "", ""}, true);
    const auto values = protocol::decode_data_row(body);
    if (!values)
        return fail(values.error(), true);
    script_row row;
    for (const auto value : *values) {
        auto& column = row.columns.emplace_back();
        if (value)
            column = protocol::as_text(*value);
    }
    if (!has_step_left())
        return fail(out_of_step(backend::DataRow), true);
    const auto& step = script_.steps[next_step_];
    // The pipeline runs on; only the verdict is settled.
    if (step.needs_true && (row.columns.empty() || row.columns[0] != "t"))
        return fail({"55P03", step.label + " is held by another session", "", ""}, false);
    if (step.item == script_item::question)
        outcome_.rows.push_back(std::move(row));
}

void script_reader::on_error(protocol::byte_view body) {
    skips_group_ = true;
    const auto fields = protocol::decode_error_response(body);
    if (fields)
        fail(fields->as_failure(), fields->ends_session());
    else
        fail(fields.error(), true);
}

void script_reader::on_ready(protocol::byte_view body) {
    const auto status = protocol::decode_ready_for_query(body);
    if (!status)
        return fail(status.error(), true);
    outcome_.transaction_status = *status;
    if (has_step_left() && !skips_group_)
        return fail(out_of_step(backend::ReadyForQuery), true);
    while (has_step_left())
        ++next_step_;
    skips_group_ = false;
    outcome_.ready_seen = ++sync_group_;
    is_done_ = sync_group_ == script_.ready_expected;
}

void script_reader::fail(failure what, bool is_fatal) {
    if (!group_failed())
        outcome_.errors.push_back({std::move(what), current_step(), is_fatal});
    else if (is_fatal)
        outcome_.errors.back().is_fatal = true;
    is_done_ = is_done_ || is_fatal;
}

}  // namespace pgsluice::proxy
