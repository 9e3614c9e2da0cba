// The command `preflight`: every check that a cutover would make, and nothing else.

#include "control/base/words.hpp"
#include "control/cutover/expect.hpp"
#include "control/service/report_json.hpp"
#include "control/service/service.hpp"

namespace pgsluice::control {

namespace {

/// Exit 1 when a row is an error.
outcome preflight_outcome(const cutover_request& asked, const std::vector<check_row>& rows) {
    std::size_t counts[4] = {};
    for (const check_row& row : rows) {
        ++counts[static_cast<std::size_t>(row.level)];
    }
    const auto count = [&](check_level level) {
        return counts[static_cast<std::size_t>(level)];
    };
    boost::json::object result{{"from", asked.from}, {"to", asked.to}};
    for (const check_level level :
         {check_level::ok, check_level::warning, check_level::error, check_level::off}) {
        result[to_string(level)] = count(level);
    }
    result["checks"] = checks_json(rows);
    if (count(check_level::error) == 0) {
        return outcome::done(std::move(result));
    }
    return outcome::of(
        exit_code::failed,
        counted(count(check_level::error), "error") + ": a cutover to " + asked.to +
            " would be refused",
        std::move(result)
    );
}

}  // namespace

outcome service_operations::preflight(const request& given, const progress_sink&) {
    const auto own = begin("preflight");
    if (!own) {
        return busy();
    }
    config_pointer service = settings();
    if (auto wrong = read_plan(given, service)) {
        return *wrong;
    }
    const auto asked = make_move(service, given, given.text("to"), false);
    if (!asked) {
        return outcome::of(exit_code::usage, asked.error().message);
    }
    if (asked->from == asked->to) {
        return outcome::of(exit_code::refused, "the route is " + asked->to + " already");
    }
    const limits until{limits::clock::now() + asked->preflight_timeout, &aborted_};
    const auto rows = make_servers(service, *asked)->preflight(expect(traffic_, *asked), until);
    if (!rows) {
        const bool is_late = rows.error().why == setback::deadline;
        return outcome::of(is_late ? exit_code::deadline : exit_code::failed, rows.error().text);
    }
    return preflight_outcome(*asked, *rows);
}

}  // namespace pgsluice::control
