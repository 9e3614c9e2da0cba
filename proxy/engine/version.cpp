namespace pgsluice::proxy {
const char* version() noexcept {
    return PGSLUICE_VERSION;
}
}  // namespace pgsluice::proxy
