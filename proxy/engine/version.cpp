// The version that the build was given.

namespace pgsluice::proxy {
const char* version() noexcept {
    return PGSLUICE_VERSION;
}
}  // namespace pgsluice::proxy
