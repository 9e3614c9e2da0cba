// The journal's meaning. Pure: records in, states out.
#include "control/journal/service_state.hpp"

#include "control/base/json_fields.hpp"
#include "control/records/admission.hpp"
#include "control/records/cutover_json.hpp"

#include <boost/json/value.hpp>

namespace pgsluice::control {
namespace {

failure contradiction(const journal_record& record, std::string_view how) {
    return failure{
        "XX001",
        "the journal contradicts itself at record " + std::to_string(record.seq) + " (" +
            record.kind + " of service " + record.service + "): " + std::string(how),
        {},
        {}};
}

/// For people: what cannot be read is left out.
step_times decode_times(const boost::json::value& value) {
    step_times times;
    const boost::json::object* fields = value.if_object();
    for (const auto& each : fields == nullptr ? boost::json::object() : *fields) {
        if (const std::int64_t* took = each.value().if_int64()) {
            times[each.key()] = std::chrono::microseconds(*took);
        }
    }
    return times;
}

result<void> apply_route(service_state& state, const journal_record& record) {
    const boost::json::value* backend = record.payload.if_contains("backend");
    const boost::json::value* generation = record.payload.if_contains("generation");
    boost::system::error_code error;
    const auto number = generation == nullptr ? 0 : generation->to_number<std::uint64_t>(error);
    if (backend == nullptr || !backend->is_string() || number == 0 || error) {
        return contradiction(record, "no backend and generation");
    }
    state.backend = std::string(backend->get_string());
    state.generation = number;
    if (record.payload.contains("access")) {
        state.read_only = {.state = read_only_state::on};
    }
    if (const boost::json::value* previous = record.payload.if_contains("previous")) {
        if (!previous->is_string()) {
            return contradiction(record, "previous is no name");
        }
        state.previous = std::string(previous->get_string());
    }
    if (const boost::json::value* took = record.payload.if_contains("took_us")) {
        state.times = decode_times(*took);
    }
    if (const boost::json::value* fences = record.payload.if_contains("fences")) {
        if (!fences->is_object()) {
            return contradiction(record, "fences is no object");
        }
        for (const auto& each : fences->get_object()) {
            state.fences[each.key()] = decode_fence(each.value());
        }
    }
    return {};
}

result<void>
apply_begun(service_state& state, const cutover_record& begun, const journal_record& record) {
    // One before that has no end was ended all the same: its last record could not be written, or
    // its fence could not be lowered and this one carries it on.
    if (begun.from != state.backend) {
        return contradiction(record, "it leaves " + begun.from + ", the route is " + state.backend);
    }
    state.unfinished = unfinished_cutover{.begun = begun};
    return {};
}

result<void>
apply_cutover(service_state& state, const cutover_record& cutover, const journal_record& record) {
    if (cutover.kind == record_kind::begun) {
        return apply_begun(state, cutover, record);
    }
    const bool has_begun = state.unfinished && state.unfinished->begun.id == cutover.id;
    if (!has_begun && cutover.kind == record_kind::aborted) {
        return {};  // of one whose first record could not be written, by an earlier version
    }
    if (!has_begun) {
        return contradiction(record, "cutover " + cutover.id + " has not begun");
    }
    const bool is_committed = state.unfinished->committed;
    switch (cutover.kind) {
    case record_kind::begun:
        break;
    case record_kind::promoting:
        state.unfinished->promoting = true;
        break;
    case record_kind::committed:
        state.unfinished->committed = true;
        if (const auto& fence = state.unfinished->begun.fence; fence && !cutover.retarget) {
            state.fences[cutover.from] = *fence;
            state.fences.erase(cutover.to);
        }
        if (!cutover.retarget) {
            state.previous = cutover.from;
        }
        if (cutover.admit) {
            state.admitted = *cutover.admit;
        }
        if (cutover.read_only) {
            state.read_only = {.state = read_only_state::on};
        }
        state.backend = cutover.to;
        state.generation = cutover.generation;
        break;
    case record_kind::aborted:
        if (is_committed) {
            return contradiction(record, "it was committed before");
        }
        state.unfinished.reset();
        break;
    case record_kind::done:
        if (!is_committed) {
            return contradiction(record, "it was not committed before");
        }
        state.unfinished.reset();
        remember_times(state.times, cutover.steps);
        break;
    }
    return {};
}

std::uint64_t number_in(const boost::json::object& fields, std::string_view name) {
    const boost::json::value* value = fields.if_contains(name);
    boost::system::error_code error;
    const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
    return error ? 0 : number;
}

void apply_stages(service_state& state, const journal_record& record) {
    const std::string what = text_in(record.payload, "state");
    if (what == "begun") {
        state.stages = stages_record{
            .stage = number_in(record.payload, "stage"),
            .of = number_in(record.payload, "of"),
            .by = text_in(record.payload, "by"),
            .what = text_in(record.payload, "what") == to_string(stages_of::canary)
                        ? stages_of::canary
                        : stages_of::admission};
    } else if (what == "over") {
        state.stages.reset();
    }
}

/// A set that comes into force may be one of a run's.
void note_stage(service_state& state, const journal_record& record) {
    if (state.stages && record.payload.contains("stage")) {
        state.stages->stage = number_in(record.payload, "stage");
    }
}

result<void> apply(service_state& state, const journal_record& record) {
    if (record.kind == journal_kinds::route) {
        return apply_route(state, record);
    }
    if (record.kind == journal_kinds::paused) {
        state.is_paused = true;
    } else if (record.kind == journal_kinds::resume) {
        state.is_paused = false;
    } else if (record.kind == journal_kinds::admit) {
        auto decoded = decode_admission(record.payload);
        if (!decoded) {
            return contradiction(record, decoded.error().message);
        }
        state.admitted = std::move(*decoded);
        note_stage(state, record);
    } else if (record.kind == journal_kinds::clients) {
        const boost::json::value* const taken = record.payload.if_contains("taken");
        if (taken == nullptr || !taken->is_bool()) {
            return contradiction(record, "it does not say whether clients are taken");
        }
        state.takes_clients = taken->get_bool();
    } else if (record.kind == journal_kinds::stages) {
        apply_stages(state, record);
    } else if (record.kind == journal_kinds::canary) {
        auto decoded = decode_canary(record.payload);
        if (!decoded) {
            return contradiction(record, decoded.error().message);
        }
        state.canary = std::move(*decoded);
        note_stage(state, record);
    } else if (record.kind == journal_kinds::readonly) {
        auto decoded = decode_read_only(record.payload);
        if (!decoded) {
            return contradiction(record, decoded.error().message);
        }
        state.read_only = std::move(*decoded);
    } else if (const auto cutover = decode_cutover(record.kind, record.payload)) {
        return apply_cutover(state, *cutover, record);
    } else if (record.kind != journal_kinds::pause) {
        return contradiction(record, "this version does not know that kind");
    }
    return {};
}

boost::json::object encode_times(const step_times& times) {
    boost::json::object fields;
    for (const auto& [step, took] : times) {
        fields[step] = took.count();
    }
    return fields;
}

boost::json::object route_of(const service_state& state) {
    boost::json::object route{{"backend", state.backend}, {"generation", state.generation}};
    boost::json::object fences;
    for (const auto& [backend, memory] : state.fences) {
        fences[backend] = encode_fence(memory);
    }
    if (!fences.empty()) {
        route["fences"] = std::move(fences);
    }
    if (!state.times.empty()) {
        route["took_us"] = encode_times(state.times);
    }
    if (!state.previous.empty()) {
        route["previous"] = state.previous;
    }
    return route;
}

}  // namespace

result<service_states> replay(std::span<const journal_record> records) {
    service_states states;
    for (const journal_record& record : records) {
        if (auto applied = apply(states[record.service], record); !applied) {
            return applied.error();
        }
    }
    return states;
}

namespace {

/// Adds the records that sum up what the journal says of one service.
void sum_up(
    const std::string& name,
    const service_state& state,
    std::int64_t at_ms,
    std::vector<journal_record>& kept
) {
    const auto keep = [&](std::string_view kind, boost::json::object payload) {
        kept.push_back({0, at_ms, name, std::string(kind), std::move(payload)});
    };
    keep(journal_kinds::route, route_of(state));
    if (state.is_paused) {
        keep(journal_kinds::paused, {});
    }
    if (state.read_only.state != read_only_state::off) {
        keep(journal_kinds::readonly, encode_read_only(state.read_only));
    }
    if (state.canary.is_on()) {
        keep(journal_kinds::canary, encode_canary(state.canary));
    }
    if (!state.takes_clients) {
        keep(journal_kinds::clients, {{"taken", false}});
    }
    if (state.stages) {
        keep(
            journal_kinds::stages,
            {{"state", "begun"},
             {"what", to_string(state.stages->what)},
             {"stage", state.stages->stage},
             {"of", state.stages->of},
             {"by", state.stages->by}}
        );
    }
    if (state.admitted != proxy::admission{}) {
        keep(journal_kinds::admit, encode_admission(state.admitted));
    }
}

}  // namespace

result<std::vector<journal_record>>
compact(std::span<const journal_record> records, std::size_t recent) {
    std::size_t cut = records.size() - std::min(records.size(), recent);
    auto states = replay(records.first(cut));
    // Nothing unfinished may be cut through: its first record is needed as it is.
    while (states) {
        bool is_clean = true;
        for (const auto& [name, state] : *states) {
            is_clean = is_clean && !state.unfinished;
        }
        if (is_clean) {
            break;
        }
        states = replay(records.first(--cut));
    }
    if (!states) {
        return states.error();
    }
    std::vector<journal_record> kept;
    for (const auto& [name, state] : *states) {
        sum_up(name, state, records[cut - 1].at_ms, kept);
    }
    const auto tail = records.subspan(cut);
    kept.insert(kept.end(), tail.begin(), tail.end());
    return kept;
}

}  // namespace pgsluice::control
