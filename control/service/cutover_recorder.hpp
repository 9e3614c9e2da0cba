#pragma once

#include "control/base/fault.hpp"
#include "control/records/cutover_json.hpp"
#include "control/service/cutover_control.hpp"

#include <spdlog/spdlog.h>

namespace pgsluice::control {

/// Writes a cutover's records to the journal and its progress to the log, to status and to the
/// command's peer.
class cutover_control::recorder final : public chronicle, public audience {
public:
    recorder(cutover_control& owner, const cutover_request& asked, const progress_sink& tell)
        : owner_(owner), asked_(asked), tell_(tell) {}

    step_result<void> append(const cutover_record& record) override {
        const auto appended =
            owner_.core_.append(journal_kind(record.kind), encode_cutover(record));
        if (!appended) {
            return step_failure{setback::failed, appended.error().message, "", {}};
        }
        return {};
    }

    void show(const step_progress& progress) override {
        {
            const std::lock_guard guard(owner_.core_.mutex);
            owner_.last_->step = progress.step;
        }
        spdlog::log(
            progress.done ? spdlog::level::info : spdlog::level::debug,
            "cutover service={} id={} step={} elapsed_ms={} text=\"{}\"",
            asked_.service,
            asked_.id,
            progress.step,
            progress.elapsed.count(),
            progress.text
        );
        tell_(
            {{"step", progress.step},
             {"text", progress.text},
             {"elapsed_ms", progress.elapsed.count()},
             {"done", progress.done}}
        );
    }

    step_result<void> fault(std::string_view point) override {
        if (const auto passed = fault_point(point, &owner_.core_.aborted()); !passed) {
            return step_failure{setback::failed, passed.error().message, "", {}};
        }
        return {};
    }

private:
    cutover_control& owner_;
    const cutover_request& asked_;
    const progress_sink& tell_;
};

}  // namespace pgsluice::control
