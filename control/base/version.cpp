// The version that the build was given.

namespace pgsluice::control {
const char* version() noexcept {
    return PGSLUICE_VERSION;
}
}  // namespace pgsluice::control
