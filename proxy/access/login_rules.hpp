#pragma once

#include "protocol/errors.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/access/hba_records.hpp"
#include "proxy/access/login_method.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

/// What a client has to show beside what it logs in by, each more than the one before: `valid` is a
/// certificate that the service's CA has signed, `of_user` one with the user's name.
enum class client_certificate : std::uint8_t { optional, valid, of_user };

/// A client that wants to log in, as rules see it.
struct login_attempt {
    std::string_view user;
    std::string_view database;
    client_address from;
    bool is_encrypted = false;
    bool is_physical_replication = false;  ///< connects to no database
};

/// Who is asked for what: the records of a pg_hba.conf, the first that matches decides ("The
/// pg_hba.conf File" in the manual). Immutable once made; any thread may read it.
///
///   local              DATABASE USER         METHOD [NAME=VALUE...]
///   host[[no]ssl]      DATABASE USER ADDRESS METHOD [NAME=VALUE...]
///
/// DATABASE is `all`, `sameuser`, `replication` or names; USER `all` or names; ADDRESS `all`,
/// ADDRESS/BITS or ADDRESS and MASK. The options are map=NAME, of `cert` and `peer`, and
/// clientcert=verify-ca or verify-full, of hostssl. What a proxy cannot know (role membership, its
/// own networks, names of hosts) and what is not supported (regular expressions, files) is refused
/// when it is read, never taken for something else.
class login_rules {
public:
    /// At most this many records.
    static constexpr std::size_t rules_max = 10'000;

    /// A failure (F0000) begins with `LINE: `, counted from 1.
    static result<login_rules> parse(std::string_view text);

    /// How a client is asked who it is.
    struct verdict {
        login_method method = login_method::reject;
        std::string_view
            map{};  ///< of user_maps, for `cert` and `peer`; lives as long as the rules
        client_certificate certificate = client_certificate::optional;

        friend bool operator==(const verdict& v, login_method method) { return v.method == method; }
    };
    /// nullopt: no record matches, and the client has to be refused.
    std::optional<verdict> find(const login_attempt& who) const;

    /// Some record asks the client by this method.
    bool has(login_method method) const noexcept;
    /// The line of a record with it, for messages; 0 when there is none.
    std::size_t line_of(login_method method) const noexcept;
    /// The same, of the first that wants a certificate: by its method, or beside it.
    std::size_t line_of_certificates() const noexcept;
    std::size_t size() const noexcept { return rules_.size(); }

    /// The maps that records name (`map=NAME`), each with the line of the record.
    using named_maps = std::vector<std::pair<std::string, std::size_t>>;
    named_maps maps() const;

private:
    enum class channel : std::uint8_t { local, any, encrypted, plain };

    /// A list of names, with the words that mean more than themselves unless they are quoted.
    struct names {
        bool is_all = false;
        bool is_same_user = false;
        bool is_replication = false;
        std::vector<std::string> exact;

        bool has(std::string_view name) const noexcept;
    };

    struct rule {
        std::size_t line = 0;
        channel over = channel::any;
        names databases;
        names users;
        std::optional<address_set> from;  ///< absent: any address
        login_method method = login_method::reject;
        std::string map{};
        client_certificate certificate = client_certificate::optional;

        bool matches(const login_attempt& who) const;
    };

    static result<rule> read(const config_record& from);
    static result<names> read_names(const std::vector<record_word>& words, bool are_users);
    static result<std::optional<address_set>>
    read_address(const config_record& from, std::size_t& field);
    static result<void> read_options(const config_record& from, std::size_t field, rule& made);

    std::vector<rule> rules_;
};

}  // namespace pgsluice::proxy
