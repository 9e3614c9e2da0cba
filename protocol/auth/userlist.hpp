#pragma once

#include "protocol/auth/scram.hpp"
#include "protocol/auth/secret.hpp"
#include "protocol/errors.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pgsluice::protocol {

/// What kind of text stands behind a user's name.
enum class secret_kind : std::uint8_t { none, plain, md5, scram };

/// What is known of a user's password.
struct user_secret {
    secret_kind kind = secret_kind::none;  ///< none: an empty text, with which nobody logs in
    secret text;                           ///< as in the file
    /// Of a SCRAM secret its own; of a plain one made here once derive_verifiers() has run.
    std::optional<scram_verifier> verifier;
};

/// What a text from a list or from `rolpassword` of pg_authid is; nullopt for one that begins like
/// a SCRAM verifier and is none.
std::optional<user_secret> secret_of(std::string_view text);

/// Users and their secrets. Immutable once shared between threads.
class user_list {
public:
    /// `salt_key`: random, and the same for as long as clients could compare what two lists answer
    /// to a user who is in neither. The salts of verifiers made here come from it.
    explicit user_list(const secret_key& salt_key = {}) : salt_key_(salt_key) {}

    /// Null when there is no such user. Valid as long as the list.
    const user_secret* find(std::string_view user) const;
    std::size_t size() const noexcept { return users_.size(); }
    /// There is a SCRAM verifier in the list.
    bool has_scram() const noexcept { return iterations_.has_value(); }

    /// Adds a user; false when there is one of this name.
    bool add(std::string user, user_secret what);

    /// Makes verifiers for plain passwords: some milliseconds each.
    void derive_verifiers();

    /// For a user without secret: what a client cannot tell from the verifier of another user.
    scram_verifier mock_verifier(std::string_view user) const;

private:
    scram_salt salt_for(std::string_view user) const;

    secret_key salt_key_;
    std::map<std::string, user_secret, std::less<>> users_;
    std::optional<std::uint32_t> iterations_;  ///< of the first verifier of the file
};

/// Reads PgBouncer's userlist.txt into `users`:
///
///   line = *blank [ quoted-user *blank quoted-secret anything | ";" anything ]
///
/// Quotes within quotes are doubled. A secret is a SCRAM verifier, "md5" with 32 digits, or a plain
/// password. Failures begin with "LINE:COLUMN: ", counted from 1, columns in bytes; they show no
/// secret.
result<void> parse_userlist(std::string_view text, user_list& users);

}  // namespace pgsluice::protocol
