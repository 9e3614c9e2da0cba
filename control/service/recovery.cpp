// What a restart finishes of a cutover or retarget that a crash interrupted.
#include "control/config/resolve.hpp"
#include "control/service/cutover_recorder.hpp"

namespace pgsluice::control {

void cutover_control::recover(const service_state& found) {
    const auto own = core_.lock.begin(operation::recovery);
    if (!own) {
        return;
    }
    if (found.is_paused) {
        // Recovery ends with an open gate, so a pause that stood before the crash ends with it.
        (void)core_.append(journal_kinds::resume, {{"why", "recovery"}});
    }
    const cutover_record& begun = found.unfinished->begun;
    const config_pointer service = core_.settings();
    auto asked = make_move(service, request{}, begun.to, begun.retarget);
    PGSLUICE_ASSERT(asked.has_value());
    asked->id = begun.id;
    asked->from = begun.from;
    asked->from_backend = backend_index(*core_.settings(), begun.from);
    asked->way_back = begun.way_back;
    if (found.admitted != proxy::admission{}) {
        asked->admit_after = found.admitted;  // as the engine was started
    }
    show(*asked);
    const auto servers = make_servers(service, *asked);
    const progress_sink nobody = [](const boost::json::object&) {
    };
    recorder records(*this, *asked, nobody);
    const cutover_report report =
        recover_cutover(*found.unfinished, *asked, world(*servers, records));
    end(*asked, report);
}

}  // namespace pgsluice::control
