#pragma once

#include "protocol/errors.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// Which roles somebody may log in as who is known by another name, to the operating system or by a
/// certificate: the records of a pg_ident.conf ("User Name Maps" in the manual). Immutable once
/// made; any thread may read it.
///
///   MAP SYSTEM-USER ROLE        ROLE may be `all`
///
/// Regular expressions, memberships and files are refused when they are read, as by login_rules.
class user_maps {
public:
    /// At most this many records.
    static constexpr std::size_t records_max = 10'000;

    /// A failure (F0000) begins with `LINE: `, counted from 1.
    static result<user_maps> parse(std::string_view text);

    bool has(std::string_view map) const noexcept;

    /// A record of `map` lets the system's user in as that role.
    bool lets_in(std::string_view map, std::string_view system_user, std::string_view role)
        const noexcept;

private:
    struct record {
        std::string map;
        std::string system_user;
        std::string role;
        bool is_any_role = false;
    };

    std::vector<record> records_;
};

}  // namespace pgsluice::proxy
