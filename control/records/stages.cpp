// Names of what stages change, as the journal has them.

#include "control/records/stages.hpp"

namespace pgsluice::control {

std::string_view to_string(stages_of what) noexcept {
    return what == stages_of::canary ? "canary" : "admission";
}

}  // namespace pgsluice::control
