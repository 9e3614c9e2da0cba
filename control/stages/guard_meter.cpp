// Guards as arithmetic on readings.
#include "control/stages/guard_meter.hpp"

#include <fmt/format.h>

#include <charconv>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;

constexpr int readings_kept = 200;
constexpr double us_per_ms = 1000;

guard_verdict verdict(const guard_config& guard, bool is_ok, const std::string& text) {
    return {.is_ok = is_ok, .on_fail = guard.on_fail, .text = guard.label() + ": " + text};
}

guard_verdict count_verdict(const guard_config& guard, std::size_t count) {
    const bool is_ok = static_cast<double>(count) <= *guard.max;
    return verdict(guard, is_ok, fmt::format("{}, at most {}", count, *guard.max));
}

std::string class_words(const guard_config& guard) {
    std::string words;
    for (const std::string& each : guard.classes) {
        words += (words.empty() ? " of class " : ",") + each;
    }
    return words;
}

std::uint64_t errors_in(const proxy::load_readings& load, const guard_config& guard) {
    std::uint64_t sum = 0;
    for (const auto& [sqlstate, count] : load.errors) {
        const std::string_view name(sqlstate.data(), sqlstate.size());
        const bool counts =
            guard.classes.empty() ||
            std::find(guard.classes.begin(), guard.classes.end(), name) != guard.classes.end();
        sum += counts ? count : 0;
    }
    return sum;
}

double quantile_ms(const proxy::load_readings& load, double percent) {
    return static_cast<double>(load.latency.quantile(percent).count()) / us_per_ms;
}

}  // namespace

void guard_meter::begin_stage(std::size_t stage, const service_reading& now) {
    if (stage_ == 1 && stage != 1 && baseline_before_) {
        baseline_ = now.load.since(*baseline_before_);
    }
    if (stage == 1) {
        baseline_before_ = now.load;
        baseline_.reset();
    }
    stage_ = stage;
    readings_.clear();
    now_.reset();
    add(now);
}

void guard_meter::add(service_reading now) {
    const bool is_due =
        readings_.empty() || now.at - readings_.back().at >= look_back_ / readings_kept;
    if (is_due) {
        readings_.push_back(now);
    }
    // One that is older than any window has to stay, as its beginning.
    while (readings_.size() > 2 && now.at - readings_[1].at >= look_back_) {
        readings_.pop_front();
    }
    now_ = std::move(now);
}

/// The reading that a window of this length begins with.
const service_reading& guard_meter::start_of(milliseconds over) const {
    const service_reading* from = &readings_.front();
    for (const service_reading& each : readings_) {
        if (now_->at - each.at < over) {
            break;
        }
        from = &each;
    }
    return *from;
}

proxy::load_readings guard_meter::window(milliseconds over) const {
    return now_->load.since(start_of(over).load);
}

guard_verdict guard_meter::judge(const guard_config& guard) const {
    if (!now_) {
        return verdict(guard, true, "no reading yet");
    }
    switch (guard.kind) {
    case guard_kind::errors:
        return judge_errors(guard);
    case guard_kind::latency:
        return judge_latency(guard);
    case guard_kind::held:
        return count_verdict(guard, now_->held);
    case guard_kind::backend_connections:
        return count_verdict(guard, now_->backend_connections);
    case guard_kind::sql:
    case guard_kind::command:
        break;
    }
    guard_verdict found = verdict(guard, true, "not asked yet");
    found.is_ready = false;
    return found;
}

guard_verdict guard_meter::judge_errors(const guard_config& guard) const {
    const proxy::load_readings load = window(guard.over);
    const std::uint64_t errors = errors_in(load, guard);
    const std::uint64_t of = std::max(load.answers, errors);
    const double share = of == 0 ? 0 : 100 * static_cast<double>(errors) / static_cast<double>(of);
    const bool is_ok = of < guard.at_least || share <= *guard.max;
    return verdict(
        guard,
        is_ok,
        fmt::format(
            "{:.1f}% of {} answers were errors{}, at most {}%",
            share,
            of,
            class_words(guard),
            *guard.max
        )
    );
}

/// By what the route's clients got in the same window; where that is too little, since the run
/// began.
std::optional<double> guard_meter::bound_beside(const guard_config& guard) const {
    const auto& all = *now_->beside;
    const auto before = start_of(guard.over).beside.value_or(proxy::load_readings{});
    const proxy::load_readings lately = all.since(before);
    const auto& seen = lately.latency.total() < guard.at_least ? all : lately;
    if (seen.latency.total() < guard.at_least) {
        return std::nullopt;
    }
    return *guard.factor * quantile_ms(seen, guard.quantile);
}

/// In milliseconds; nothing while it cannot be known.
std::optional<double> guard_meter::latency_bound(const guard_config& guard) const {
    if (guard.max) {
        return guard.max;
    }
    if (guard.baseline != milliseconds::zero()) {
        return *guard.factor * static_cast<double>(guard.baseline.count());
    }
    if (now_->beside) {
        return bound_beside(guard);
    }
    if (!baseline_ || baseline_->latency.total() < guard.at_least) {
        return std::nullopt;
    }
    return *guard.factor * quantile_ms(*baseline_, guard.quantile);
}

guard_verdict guard_meter::judge_latency(const guard_config& guard) const {
    const std::string name = fmt::format("p{}", guard.quantile);
    const auto bound = latency_bound(guard);
    if (!bound && stage_ <= 1 && !now_->beside) {
        // Without enough answers there would be nothing to compare the next stage with.
        const auto seen =
            baseline_before_ ? now_->load.since(*baseline_before_).latency.total() : 0;
        guard_verdict found = verdict(
            guard, true, fmt::format("{} of {} answers for the baseline", seen, guard.at_least)
        );
        found.is_ready = seen >= guard.at_least;
        return found;
    }
    const proxy::load_readings load = window(guard.over);
    const std::uint64_t answers = load.latency.total();
    const double took = quantile_ms(load, guard.quantile);
    if (!bound) {
        return verdict(guard, true, fmt::format("{} is {:.3g} ms, without a baseline", name, took));
    }
    return verdict(
        guard,
        answers < guard.at_least || took <= *bound,
        fmt::format("{} of {} answers is {:.3g} ms, at most {:.3g} ms", name, answers, took, *bound)
    );
}

guard_verdict guard_meter::judge_value(const guard_config& guard, const std::string& value) {
    if (!guard.min && !guard.max) {
        return verdict(guard, value == "t", "\"" + value + "\", expected t");
    }
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size()) {
        return verdict(guard, false, "\"" + value + "\" is no number");
    }
    std::string bounds;
    if (guard.min) {
        bounds += fmt::format(", at least {}", *guard.min);
    }
    if (guard.max) {
        bounds += fmt::format(", at most {}", *guard.max);
    }
    const bool is_ok = (!guard.min || number >= *guard.min) && (!guard.max || number <= *guard.max);
    return verdict(guard, is_ok, value + bounds);
}

guard_verdict guard_meter::judge_failure(const guard_config& guard, const std::string& why) {
    return verdict(guard, false, why);
}

}  // namespace pgsluice::control
