#pragma once

#include <boost/system/result.hpp>

#include <string>
#include <string_view>

namespace pgsluice {

/// What went wrong, in one line for an operator or a client. `sqlstate` is the five-character code
/// of "PostgreSQL Error Codes" (Appendix A) that a client would be told; never empty.
struct failure {
    std::string sqlstate;
    std::string message;
    std::string detail;  ///< which service, backend or object; may be empty
    std::string hint;    ///< what to do about it; may be empty
};

/// The outcome of everything that can fail for a reason outside the program. Decoders and the data
/// plane never throw; broken invariants of our own are PGSLUICE_ASSERT.
template <class T>
using result = boost::system::result<T, failure>;

/// boost::system::result calls this where value() is taken from a failed result: a bug of ours.
[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

/// SQLSTATEs that pgsluice itself sends or looks for.
namespace sqlstate {
inline constexpr std::string_view admin_shutdown = "57P01";
inline constexpr std::string_view cannot_connect_now = "57P03";
inline constexpr std::string_view read_only_sql_transaction = "25006";
inline constexpr std::string_view protocol_violation = "08P01";
inline constexpr std::string_view too_many_connections = "53300";
inline constexpr std::string_view connection_failure = "08006";
inline constexpr std::string_view invalid_password = "28P01";
inline constexpr std::string_view invalid_authorization = "28000";
inline constexpr std::string_view feature_not_supported = "0A000";
inline constexpr std::string_view internal_error = "XX000";
inline constexpr std::string_view active_sql_transaction = "25001";
inline constexpr std::string_view invalid_transaction_termination = "2D000";
inline constexpr std::string_view syntax_error = "42601";
}  // namespace sqlstate

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace pgsluice

/// A broken invariant ends the process at once, in every build: going on could lose data.
#define PGSLUICE_ASSERT(condition)                                                                 \
    ((condition) ? static_cast<void>(0)                                                            \
                 : ::pgsluice::assertion_failed(#condition, __FILE__, __LINE__))
