#pragma once

#include <cstddef>
#include <cstdint>

namespace pgsluice::proxy {

/// What one recv or send did. `again`: nothing now, wait for readiness.
struct io_result {
    enum class status : std::uint8_t { done, again, end, failed };
    status what = status::done;
    std::size_t bytes = 0;
    int error = 0;  ///< errno when failed

    bool done() const noexcept { return what == status::done; }
    bool again() const noexcept { return what == status::again; }
    /// The peer closed, or the connection broke.
    bool over() const noexcept { return what == status::end || what == status::failed; }
};

}  // namespace pgsluice::proxy
