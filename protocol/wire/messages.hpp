#pragma once

#include "protocol/errors.hpp"
#include "protocol/wire/message_types.hpp"
#include "protocol/wire/wire.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>

// The few messages the proxy looks into or produces, under their official names; layouts are those
// of section 55.7 "Message Formats". Decoders take a body, without type and length, and yield views
// into it that live as long as it does; they allocate nothing but the text of a failure. A body
// that does not have the documented layout is a failure with 08P01 that names the message.

namespace pgsluice::protocol {

/// Fixed-size integers inside a body, read in place. Counts are unsigned: see load_i16().
template <class T, std::size_t Size, T (*Load)(const std::uint8_t*)>
class packed_list {
public:
    packed_list() noexcept = default;
    explicit packed_list(byte_view bytes) noexcept : bytes_(bytes) {}

    std::size_t size() const noexcept { return bytes_.size() / Size; }
    bool empty() const noexcept { return bytes_.empty(); }

    /// `index` is less than size().
    T operator[](std::size_t index) const noexcept { return Load(bytes_.data() + index * Size); }

private:
    byte_view bytes_;
};

/// Format codes: 0 text, 1 binary.
using format_list = packed_list<std::int16_t, 2, load_i16>;

/// Type OIDs; 0 leaves the type to the server.
using oid_list = packed_list<std::uint32_t, 4, load_u32>;

/// The values of a Bind or a DataRow: a forward range of optional byte views, NULL as nullopt.
class value_list {
public:
    class iterator {
    public:
        using value_type = std::optional<byte_view>;
        using difference_type = std::ptrdiff_t;
        using iterator_category = std::input_iterator_tag;
        using reference = value_type;
        using pointer = void;

        iterator() noexcept = default;
        explicit iterator(const std::uint8_t* at) noexcept : at_(at) {}

        value_type operator*() const noexcept {
            const std::int32_t length = load_i32(at_);
            if (length < 0)
                return std::nullopt;
            return byte_view{at_ + 4, static_cast<std::size_t>(length)};
        }
        iterator& operator++() noexcept {
            const std::int32_t length = load_i32(at_);
            at_ += 4 + (length < 0 ? 0 : length);
            return *this;
        }
        iterator operator++(int) noexcept {
            const iterator before = *this;
            ++*this;
            return before;
        }
        bool operator==(const iterator&) const noexcept = default;

    private:
        const std::uint8_t* at_ = nullptr;
    };

    value_list() noexcept = default;

    /// Takes `count` values off the front of `body`; nullopt when they do not fit.
    static std::optional<value_list> read(reader& body, std::size_t count) noexcept;

    std::size_t size() const noexcept { return count_; }
    iterator begin() const noexcept { return iterator(bytes_.data()); }
    iterator end() const noexcept { return iterator(bytes_.data() + bytes_.size()); }

private:
    byte_view bytes_;
    std::size_t count_ = 0;
};

// --- what backends send -------------------------------------------------------------------------

/// The fields of an ErrorResponse or NoticeResponse that matter here; absent ones are empty.
struct notice_fields {
    std::string_view severity;  ///< never localized: field V, or S from a server older than 9.6
    std::string_view sqlstate;
    std::string_view message;
    std::string_view detail;
    std::string_view hint;

    /// FATAL and PANIC: the server closes the connection behind this message.
    bool ends_session() const noexcept { return severity == "FATAL" || severity == "PANIC"; }

    /// An owned copy without the severity.
    failure as_failure() const;
};

struct ParameterStatus {
    std::string_view name;
    std::string_view value;
};

struct BackendKeyData {
    std::int32_t pid = 0;
    byte_view key;  ///< 4 bytes up to protocol 3.1, up to 256 from 3.2 on
};

struct Authentication {
    std::int32_t code = 0;  ///< one of `authentication`
    byte_view data;         ///< what follows: salt, mechanisms, SASL payload
};

struct NotificationResponse {
    std::int32_t pid = 0;
    std::string_view channel;
    std::string_view payload;
};

result<notice_fields> decode_error_response(byte_view body);
result<notice_fields> decode_notice_response(byte_view body);
result<ParameterStatus> decode_parameter_status(byte_view body);
result<BackendKeyData> decode_backend_key_data(byte_view body);
result<Authentication> decode_authentication(byte_view body);
result<NotificationResponse> decode_notification_response(byte_view body);

/// The status byte, one of `transaction_status`.
result<char> decode_ready_for_query(byte_view body);

/// The command tag, such as `INSERT 0 1`.
result<std::string_view> decode_command_complete(byte_view body);

/// The columns' values in order.
result<value_list> decode_data_row(byte_view body);

// --- what frontends send ------------------------------------------------------------------------

struct Parse {
    std::string_view statement;  ///< empty: the unnamed statement
    std::string_view query;
    oid_list parameter_types;  ///< may be shorter than the statement has parameters
};

struct Bind {
    std::string_view portal;     ///< empty: the unnamed portal
    std::string_view statement;  ///< empty: the unnamed statement
    format_list parameter_formats;
    value_list parameters;
    format_list result_formats;

    /// The format code of a parameter: no codes mean text, one code is for all parameters.
    std::int16_t parameter_format(std::size_t index) const noexcept;
};

/// What Close and Describe are about.
struct statement_or_portal {
    char kind = 'S';  ///< 'S' prepared statement, 'P' portal
    std::string_view name;
};

/// The text of a simple Query, which may hold several statements.
result<std::string_view> decode_query(byte_view body);
result<Parse> decode_parse(byte_view body);
result<Bind> decode_bind(byte_view body);
result<statement_or_portal> decode_close(byte_view body);
result<statement_or_portal> decode_describe(byte_view body);

/// The first answer to AuthenticationSASL.
struct SASLInitialResponse {
    std::string_view mechanism;
    std::optional<byte_view> data;  ///< absent: the client lets the server speak first
};

result<SASLInitialResponse> decode_sasl_initial_response(byte_view body);

/// The password, or the digits of an md5 response, of a PasswordMessage.
result<std::string_view> decode_password_message(byte_view body);

// --- encoders: each appends one whole message ---------------------------------------------------
//
// Texts must not contain NUL. They come from us or from a decoder, which never yields one.

/// How bad an ErrorResponse is: after `fatal` the sender closes the connection.
enum class severity { error, fatal };

/// ErrorResponse with fields S, V, C, M and, where not empty, D and H.
void encode_error_response(std::string& out, severity how_bad, const failure& what);

/// NoticeResponse of severity NOTICE.
void encode_notice_response(std::string& out, const failure& what);

/// `status` is one of `transaction_status`.
void encode_ready_for_query(std::string& out, char status);
void encode_authentication_ok(std::string& out);

/// `salt` has four bytes.
void encode_authentication_md5_password(std::string& out, byte_view salt);

/// AuthenticationSASL with the mechanisms to choose from, the best first.
void encode_authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms);

/// AuthenticationSASLContinue or AuthenticationSASLFinal: `code` is one of `authentication`.
void encode_authentication_sasl_data(std::string& out, std::int32_t code, std::string_view data);
void encode_parameter_status(std::string& out, std::string_view name, std::string_view value);
void encode_backend_key_data(std::string& out, std::int32_t pid, byte_view key);

/// `newest` is the newest protocol spoken here, as startup_code::StartupMessage spells versions:
/// the manual says "newest minor version", servers send the whole number. `options` are the
/// `_pq_.` parameters that were not recognized.
void encode_negotiate_protocol_version(
    std::string& out, std::int32_t newest, std::span<const std::string_view> options
);

void encode_query(std::string& out, std::string_view query);
void encode_parse(
    std::string& out,
    std::string_view statement,
    std::string_view query,
    std::span<const std::uint32_t> parameter_types = {}
);

/// A Bind to be encoded. At most 65535 of each; formats as in Bind::parameter_format().
struct bind_arguments {
    std::string_view portal = {};
    std::string_view statement = {};
    std::span<const std::int16_t> parameter_formats = {};
    std::span<const std::optional<std::string_view>> parameters = {};  ///< nullopt is NULL
    std::span<const std::int16_t> result_formats = {};
};

void encode_bind(std::string& out, const bind_arguments& arguments);
void encode_describe(std::string& out, statement_or_portal what);
void encode_close(std::string& out, statement_or_portal what);

/// `rows_max` 0 means all rows.
void encode_execute(std::string& out, std::string_view portal, std::int32_t rows_max = 0);
void encode_sync(std::string& out);
void encode_flush(std::string& out);
void encode_terminate(std::string& out);
void encode_copy_fail(std::string& out, std::string_view reason);
void encode_password_message(std::string& out, std::string_view password);
void encode_sasl_initial_response(
    std::string& out, std::string_view mechanism, std::string_view data
);
void encode_sasl_response(std::string& out, std::string_view data);

}  // namespace pgsluice::protocol
