// Revocation lists. They are read as a whole, from a directory too: OpenSSL's own way would look
// for files on a worker's thread, in the middle of a handshake, and never see them change.

#include "proxy/net/tls_revocation.hpp"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <unistd.h>

namespace pgsluice::proxy {

namespace {

failure about(const std::string& path, const std::string& why) {
    return {"F0000", path + ": " + why, {}, {}};  // config_file_error
}

result<void> add_lists(X509_STORE* store, const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0) {
        return about(path, std::strerror(errno));
    }
    X509_LOOKUP* const files = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    PGSLUICE_ASSERT(files != nullptr);  // owned by the store, the same one each time
    const int lists = X509_load_crl_file(files, path.c_str(), X509_FILETYPE_PEM);
    ERR_clear_error();
    if (lists <= 0) {
        return about(path, "it holds no revocation list in PEM format");
    }
    return {};
}

/// Files that begin with a dot are somebody's bookkeeping (Kubernetes' `..data`).
result<void> add_directory(X509_STORE* store, const std::string& path) {
    namespace fs = std::filesystem;
    std::error_code error;
    bool is_empty = true;
    for (fs::directory_iterator at(path, error), end; !error && at != end; at.increment(error)) {
        std::error_code ignored;
        const std::string name = at->path().filename().string();
        if (name.starts_with('.') || !at->is_regular_file(ignored)) {
            continue;
        }
        if (auto added = add_lists(store, at->path().string()); !added) {
            return added.error();
        }
        is_empty = false;
    }
    if (error || is_empty) {
        return about(path, error ? error.message() : "no revocation lists are in this directory");
    }
    return {};
}

}  // namespace

result<void> refuse_revoked(X509_STORE* store, const std::string& path) {
    std::error_code ignored;
    const bool is_directory = std::filesystem::is_directory(path, ignored);
    auto added = is_directory ? add_directory(store, path) : add_lists(store, path);
    if (added) {
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
    return added;
}

}  // namespace pgsluice::proxy
