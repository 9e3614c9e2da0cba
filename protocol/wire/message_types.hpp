#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

// Every message type under its official name. The authority is the PostgreSQL manual, chapter
// "Frontend/Backend Protocol", section 55.7 "Message Formats"; a CamelCase name in these sources
// means: look it up there. Several messages share a byte, told apart by direction and by state.

namespace pgsluice::protocol {

/// What a client (frontend) sends after the start-up phase: the type byte.
namespace frontend {
inline constexpr char Bind = 'B';
inline constexpr char Close = 'C';
inline constexpr char CopyData = 'd';
inline constexpr char CopyDone = 'c';
inline constexpr char CopyFail = 'f';
inline constexpr char Describe = 'D';
inline constexpr char Execute = 'E';
inline constexpr char Flush = 'H';
inline constexpr char FunctionCall = 'F';
inline constexpr char GSSResponse = 'p';
inline constexpr char Parse = 'P';
inline constexpr char PasswordMessage = 'p';
inline constexpr char Query = 'Q';
inline constexpr char SASLInitialResponse = 'p';
inline constexpr char SASLResponse = 'p';
inline constexpr char Sync = 'S';
inline constexpr char Terminate = 'X';

/// All valid type bytes of this direction, each once.
inline constexpr std::string_view types = "BCdcfDEHFPpQSX";
}  // namespace frontend

/// What a server (backend) sends: the type byte.
namespace backend {
inline constexpr char Authentication = 'R';  ///< AuthenticationOk, …SASL, …: see `authentication`
inline constexpr char BackendKeyData = 'K';
inline constexpr char BindComplete = '2';
inline constexpr char CloseComplete = '3';
inline constexpr char CommandComplete = 'C';
inline constexpr char CopyBothResponse = 'W';
inline constexpr char CopyData = 'd';
inline constexpr char CopyDone = 'c';
inline constexpr char CopyInResponse = 'G';
inline constexpr char CopyOutResponse = 'H';
inline constexpr char DataRow = 'D';
inline constexpr char EmptyQueryResponse = 'I';
inline constexpr char ErrorResponse = 'E';
inline constexpr char FunctionCallResponse = 'V';
inline constexpr char NegotiateProtocolVersion = 'v';
inline constexpr char NoData = 'n';
inline constexpr char NoticeResponse = 'N';
inline constexpr char NotificationResponse = 'A';
inline constexpr char ParameterDescription = 't';
inline constexpr char ParameterStatus = 'S';
inline constexpr char ParseComplete = '1';
inline constexpr char PortalSuspended = 's';
inline constexpr char ReadyForQuery = 'Z';
inline constexpr char RowDescription = 'T';

/// All valid type bytes of this direction, each once.
inline constexpr std::string_view types = "RK23CWdcGHDIEVvnNAtS1sZT";
}  // namespace backend

/// First Int32 of an Authentication message's body.
namespace authentication {
inline constexpr std::int32_t Ok = 0;
inline constexpr std::int32_t KerberosV5 = 2;
inline constexpr std::int32_t CleartextPassword = 3;
inline constexpr std::int32_t MD5Password = 5;
inline constexpr std::int32_t GSS = 7;
inline constexpr std::int32_t GSSContinue = 8;
inline constexpr std::int32_t SSPI = 9;
inline constexpr std::int32_t SASL = 10;
inline constexpr std::int32_t SASLContinue = 11;
inline constexpr std::int32_t SASLFinal = 12;
}  // namespace authentication

/// The Int32 after the length of a packet without a type byte (major << 16 | minor; the request
/// codes are version numbers that will never exist).
namespace startup_code {
inline constexpr std::int32_t StartupMessage = 196608;    ///< protocol 3.0
inline constexpr std::int32_t StartupMessage32 = 196610;  ///< protocol 3.2: longer cancel keys
inline constexpr std::int32_t CancelRequest = 80877102;
inline constexpr std::int32_t SSLRequest = 80877103;
inline constexpr std::int32_t GSSENCRequest = 80877104;
}  // namespace startup_code

/// The status byte of ReadyForQuery.
namespace transaction_status {
inline constexpr char idle = 'I';
inline constexpr char in_transaction = 'T';
inline constexpr char failed_transaction = 'E';
}  // namespace transaction_status

/// A set of type bytes: one load to ask, no branches.
class type_set {
public:
    constexpr explicit type_set(std::string_view types) noexcept {
        for (const char type : types)
            has_[static_cast<unsigned char>(type)] = true;
    }
    constexpr bool contains(char type) const noexcept {
        return has_[static_cast<unsigned char>(type)];
    }

private:
    std::array<bool, 256> has_{};
};

/// Anything else from a client after start-up is a protocol violation (08P01).
inline constexpr type_set frontend_types{frontend::types};

/// Anything else from a server means that the stream is out of step and cannot be used further.
inline constexpr type_set backend_types{backend::types};

}  // namespace pgsluice::protocol
