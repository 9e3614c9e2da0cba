#pragma once

#include "protocol/auth/secret.hpp"
#include "protocol/auth/userlist.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/login_rules.hpp"
#include "proxy/access/user_maps.hpp"

#include <string>

namespace pgsluice::control {

/// Reads `auth.users_file` into `users`. Failures begin with the path and, where a line is wrong,
/// `:LINE:COLUMN`; they show no secret.
result<void> read_users(const std::string& path, protocol::user_list& users);

/// Reads `auth.hba_file`. Failures begin with the path and, where a line is wrong, `:LINE`.
result<proxy::login_rules> read_login_rules(const std::string& path);

/// Reads `auth.ident_file`. Failures as of read_login_rules().
result<proxy::user_maps> read_user_maps(const std::string& path);

/// The one line that a password file has. The failure shows nothing of it.
result<protocol::secret> read_password(const std::string& path);

/// The random key behind what users who are not listed are answered, made in the state directory at
/// the first start: if it changed, clients could tell by their answers who is listed and who not.
result<protocol::secret_key> salt_key_in(const std::string& state_dir);

}  // namespace pgsluice::control
