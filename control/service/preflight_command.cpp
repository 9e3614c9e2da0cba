// The command `preflight`: every check that a cutover would make, and nothing else.

#include "control/cutover/expect.hpp"
#include "control/service/cutover_control.hpp"
#include "control/service/report_json.hpp"

namespace pgsluice::control {

outcome cutover_control::preflight(const request& given) {
    const auto own = core_.lock.begin(operation::preflight);
    if (!own) {
        return core_.lock.busy();
    }
    config_pointer service = core_.settings();
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
    const limits until{limits::clock::now() + asked->preflight_timeout, &core_.aborted()};
    const auto rows =
        make_servers(service, *asked)->preflight(expect(core_.traffic, *asked), until);
    if (!rows) {
        const bool is_late = rows.error().why == setback::deadline;
        return outcome::of(is_late ? exit_code::deadline : exit_code::failed, rows.error().text);
    }
    return preflight_outcome(*asked, *rows);
}

}  // namespace pgsluice::control
