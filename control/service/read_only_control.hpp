#pragma once

#include "control/commands/outcome.hpp"
#include "control/postgres/table_locks.hpp"
#include "control/records/read_only.hpp"
#include "control/service/service_core.hpp"

#include <boost/json/value.hpp>

#include <optional>
#include <string>
#include <vector>

namespace pgsluice::control {

class server_fence;

/// A step that failed, as the answer to a command.
outcome outcome_of(const step_failure& why);

/// Forced read-only of one service.
class read_only_control {
public:
    read_only_control(service_core& core, read_only_record found)
        : core_(core), now_(std::move(found)) {}

    outcome read_only(const request& given, const progress_sink& tell);

    /// Finishes a change that a crash interrupted, and raises the fence again where it does not
    /// survive. Waits for the server, at most some time.
    void recover();
    /// The commit record of a cutover says that the service is read-only from now on.
    void entered_by_cutover();

    read_only_record now() const;
    /// Why a cutover cannot fence the old server now.
    std::optional<outcome> refused_fence() const;
    /// Why all sessions cannot go to another backend now.
    std::optional<outcome> refused_move() const;
    /// As `status` has it.
    boost::json::value json() const;

private:
    outcome begin(const request& given, const progress_sink& tell);
    outcome end(const request& given, const progress_sink& tell);
    result<void> note(read_only_record next, std::string_view by);
    bool wait_guarded(limits::clock::time_point deadline, const progress_sink& tell);
    outcome is_late(limits::clock::time_point started);
    step_result<std::vector<std::string>>
    raise_fence(server_fence& fence, const read_only_record& planned, const limits& until);
    std::optional<outcome> lower_fence(const read_only_record& raised);
    outcome undo(read_only_record tried, bool was_on, const step_failure& why);

    // by a login of the server's
    std::optional<outcome> refused_user(const limits& until);
    outcome change_means(
        const read_only_record& now,
        read_only_means to,
        const request& given,
        const limits& until,
        const progress_sink& tell
    );
    void add_logins(boost::json::object& result) const;
    outcome own_logins_outcome(std::chrono::milliseconds waited);

    service_core& core_;
    read_only_record now_;     ///< as last journaled; guarded by the core's mutex
    table_locks table_locks_;  ///< by whoever holds the operation lock
};

}  // namespace pgsluice::control
