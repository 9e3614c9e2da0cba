// OpenSSL between the protocol and a socket. It reads the socket through a BIO of ours, which hands
// it first what was read before TLS began, and which sends without SIGPIPE.

#include "proxy/net/tls_channel.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <sys/socket.h>

namespace pgsluice::proxy {

namespace {

std::string verify_reason(const SSL* ssl) {
    const long code = SSL_get_verify_result(ssl);
    const bool counts = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0 && code != X509_V_OK;
    return counts ? std::string(": ") + X509_verify_cert_error_string(code) : "";
}

}  // namespace

std::string tls_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) {
        return "unknown error";
    }
    if (ERR_SYSTEM_ERROR(code)) {
        return std::strerror(ERR_GET_REASON(code));
    }
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
        return "it holds no certificate or key in PEM format";
    }
    const char* const reason = ERR_reason_error_string(code);
    return reason != nullptr ? reason : "error " + std::to_string(code);
}

tls_channel::tls_channel(const tls_context& context, int fd, std::vector<std::uint8_t> read_ahead)
    : ssl_(SSL_new(context.native())), fd_(fd), read_ahead_(std::move(read_ahead)) {
    PGSLUICE_ASSERT(ssl_ != nullptr);
    BIO* const bio = BIO_new(bio_method());
    PGSLUICE_ASSERT(bio != nullptr);
    BIO_set_data(bio, this);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);  // owns it
    if (context.is_for_clients()) {
        SSL_set_accept_state(ssl_);
        return;
    }
    SSL_set_connect_state(ssl_);
    if (!context.server_name().empty()) {
        SSL_set_tlsext_host_name(ssl_, context.server_name().c_str());
    }
}

tls_channel::~tls_channel() {
    SSL_free(ssl_);
}

const BIO_METHOD* tls_channel::bio_method() {
    static BIO_METHOD* const method = [] {
        BIO_METHOD* const made =
            BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgsluice socket");
        PGSLUICE_ASSERT(made != nullptr);
        BIO_meth_set_read(made, bio_read);
        BIO_meth_set_write(made, bio_write);
        BIO_meth_set_ctrl(made, bio_control);
        return made;
    }();
    return method;
}

int tls_channel::bio_read(BIO* bio, char* into, int bytes) {
    auto& channel = *static_cast<tls_channel*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    std::vector<std::uint8_t>& ahead = channel.read_ahead_;
    if (!ahead.empty()) [[unlikely]] {
        const std::size_t n = std::min(ahead.size(), static_cast<std::size_t>(bytes));
        std::memcpy(into, ahead.data(), n);
        ahead.erase(ahead.begin(), ahead.begin() + static_cast<std::ptrdiff_t>(n));
        if (ahead.empty()) {
            ahead = {};
        }
        return static_cast<int>(n);
    }
    const ssize_t n = ::recv(channel.fd_, into, static_cast<std::size_t>(bytes), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(bio);
    }
    channel.socket_ended_ = n == 0;
    return static_cast<int>(n);
}

int tls_channel::bio_write(BIO* bio, const char* from, int bytes) {
    const auto& channel = *static_cast<tls_channel*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const ssize_t n = ::send(channel.fd_, from, static_cast<std::size_t>(bytes), MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_write(bio);
    }
    return static_cast<int>(n);
}

long tls_channel::bio_control(BIO* bio, int command, long, void*) {
    switch (command) {
    case BIO_CTRL_EOF:
        return static_cast<const tls_channel*>(BIO_get_data(bio))->socket_ended_ ? 1 : 0;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

tls_channel::step tls_channel::handshake() {
    ERR_clear_error();
    errno = 0;
    const int returned = SSL_do_handshake(ssl_);
    if (returned == 1) {
        is_up_ = true;
        unread_ = unread::perhaps;  // what came with the peer's last message
        return step::done;
    }
    const int error = errno;
    switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_READ:
        return step::wants_read;
    case SSL_ERROR_WANT_WRITE:
        return step::wants_write;
    case SSL_ERROR_SSL:
        why_ = tls_reason() + verify_reason(ssl_);
        return step::failed;
    default:
        why_ = socket_ended_ || error == 0 ? "the connection was closed" : std::strerror(error);
        return step::failed;
    }
}

bool tls_channel::has_agreed_protocol() const noexcept {
    const unsigned char* name = nullptr;
    unsigned int bytes = 0;
    SSL_get0_alpn_selected(ssl_, &name, &bytes);
    return bytes == alpn_postgresql.size() - 1 &&
           std::memcmp(name, alpn_postgresql.data() + 1, bytes) == 0;
}

bool tls_channel::has_peer_certificate() const noexcept {
    return SSL_get0_peer_certificate(ssl_) != nullptr && SSL_get_verify_result(ssl_) == X509_V_OK;
}

std::optional<std::string> tls_channel::peer_name() const {
    if (!has_peer_certificate()) {
        return std::nullopt;
    }
    X509_NAME* const subject = X509_get_subject_name(SSL_get0_peer_certificate(ssl_));
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return std::nullopt;
    }
    unsigned char* text = nullptr;
    const int bytes =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (bytes < 0) {
        return std::nullopt;
    }
    std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(bytes));
    OPENSSL_free(text);
    return name.find('\0') == std::string::npos ? std::optional(std::move(name)) : std::nullopt;
}

std::string tls_channel::end_point() const {
    const X509* const certificate =
        SSL_is_server(ssl_) == 1 ? SSL_get_certificate(ssl_) : SSL_get0_peer_certificate(ssl_);
    int hash = NID_undef;
    if (certificate == nullptr ||
        X509_get_signature_info(const_cast<X509*>(certificate), &hash, nullptr, nullptr, nullptr) !=
            1 ||
        hash == NID_undef) {
        ERR_clear_error();
        return {};
    }
    const bool is_weak = hash == NID_md5 || hash == NID_sha1;
    const EVP_MD* const by = is_weak ? EVP_sha256() : EVP_get_digestbynid(hash);
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    if (by == nullptr || X509_digest(certificate, by, bytes.data(), &size) != 1) {
        ERR_clear_error();
        return {};
    }
    return std::string(reinterpret_cast<const char*>(bytes.data()), size);
}

/// What a call that did not do anything means.
io_result tls_channel::not_done(int returned) noexcept {
    const int error = errno;
    switch (SSL_get_error(ssl_, returned)) {
    case SSL_ERROR_WANT_WRITE:
        wants_write_ = true;
        [[fallthrough]];
    case SSL_ERROR_WANT_READ:
        return {.what = io_result::status::again};
    case SSL_ERROR_ZERO_RETURN:
        return {.what = io_result::status::end};
    case SSL_ERROR_SYSCALL:
        return {.what = io_result::status::failed, .error = error != 0 ? error : ECONNRESET};
    default:
        return {.what = io_result::status::failed, .error = EPROTO};
    }
}

/// Every record that is there already is opened: the socket is only read again, and may then have
/// nothing, for the rest of a record that has begun.
io_result tls_channel::read(std::span<std::uint8_t> into, bool stays) noexcept {
    std::size_t total = 0;
    wants_write_ = false;
    while (total < into.size()) {
        std::size_t n = 0;
        ERR_clear_error();
        errno = 0;
        const auto free = into.subspan(total);
        const int returned = stays ? SSL_peek_ex(ssl_, free.data(), free.size(), &n)
                                   : SSL_read_ex(ssl_, free.data(), free.size(), &n);
        if (returned == 1) {
            total += n;
            unread_ = unread::perhaps;
            if (stays || SSL_has_pending(ssl_) == 0) {
                break;
            }
            continue;
        }
        const io_result r = not_done(returned);
        unread_ = r.again() ? unread::nothing : unread::the_end;
        if (total == 0) {
            return r;
        }
        break;
    }
    return {.bytes = total};
}

io_result tls_channel::recv(std::span<std::uint8_t> into) noexcept {
    return read(into, false);
}

io_result tls_channel::peek(std::span<std::uint8_t> into) noexcept {
    return read(into, true);
}

bool tls_channel::has_unread() const noexcept {
    switch (unread_) {
    case unread::nothing:
        return false;
    case unread::perhaps:
        return SSL_has_pending(ssl_) != 0;
    case unread::the_end:
        break;
    }
    return true;
}

io_result tls_channel::send(std::span<const std::uint8_t> bytes) noexcept {
    std::size_t total = 0;
    while (total < bytes.size()) {
        std::size_t n = 0;
        ERR_clear_error();
        errno = 0;
        const auto rest = bytes.subspan(total);
        const int returned = SSL_write_ex(ssl_, rest.data(), rest.size(), &n);
        if (returned != 1) {
            const bool reading_wants_write = wants_write_;
            const io_result r = not_done(returned);
            wants_write_ = reading_wants_write;
            if (total == 0 || r.over()) {
                return r;
            }
            break;
        }
        total += n;
    }
    return {.bytes = total};
}

void tls_channel::say_goodbye() noexcept {
    // A second SSL_shutdown() would read.
    if (is_up_ && (SSL_get_shutdown(ssl_) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        SSL_shutdown(ssl_);
        ERR_clear_error();
    }
}

}  // namespace pgsluice::proxy
