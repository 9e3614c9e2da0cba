#pragma once

#include "protocol/errors.hpp"

#include <string>

struct x509_store_st;

namespace pgsluice::proxy {

/// Has `store` refuse certificates that are revoked, and those whose signer has no list or an
/// outdated one (RFC 5280 section 6.3), along the whole chain, as the server's `ssl_crl_file` does.
/// `path` is a PEM file of lists, or a directory whose files are such; it is read now and never
/// again. A failure begins with the name of the file that is wrong.
result<void> refuse_revoked(x509_store_st* store, const std::string& path);

}  // namespace pgsluice::proxy
