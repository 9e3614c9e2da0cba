#pragma once

#include "protocol/errors.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>

namespace pgsluice::proxy {

/// A self-signed certificate and its key, in files that go with it.
class own_certificate {
public:
    explicit own_certificate(std::string_view common_name = "localhost") {
        const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
            EVP_EC_gen("P-256"), &EVP_PKEY_free
        );
        const std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), &X509_free);
        constexpr long a_day_s = 86400;
        X509_set_version(made.get(), 2);
        ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
        X509_gmtime_adj(X509_getm_notBefore(made.get()), -a_day_s);
        X509_gmtime_adj(X509_getm_notAfter(made.get()), a_day_s);
        X509_set_pubkey(made.get(), key.get());
        X509_NAME* const name = X509_get_subject_name(made.get());
        const auto* const text = reinterpret_cast<const unsigned char*>(common_name.data());
        const int bytes = static_cast<int>(common_name.size());
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, bytes, -1, 0);
        X509_set_issuer_name(made.get(), name);
        PGSLUICE_ASSERT(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
        cert_ = file([&](std::FILE* out) { return PEM_write_X509(out, made.get()); });
        key_ = file([&](std::FILE* out) {
            return PEM_write_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
        });
    }
    ~own_certificate() {
        ::unlink(cert_.c_str());
        ::unlink(key_.c_str());
    }
    own_certificate(const own_certificate&) = delete;
    own_certificate& operator=(const own_certificate&) = delete;

    const std::string& cert() const { return cert_; }
    const std::string& key() const { return key_; }

private:
    template <class Write>
    static std::string file(Write write) {
        std::string path = "/tmp/pgsluice-pem-XXXXXX";
        const int fd = ::mkstemp(path.data());
        std::FILE* const out = ::fdopen(fd, "w");
        PGSLUICE_ASSERT(out != nullptr && write(out) == 1);
        std::fclose(out);
        return path;
    }

    std::string cert_;
    std::string key_;
};

}  // namespace pgsluice::proxy
