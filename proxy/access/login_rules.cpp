// pg_hba.conf: read into records of fields of words, records into rules, rules asked in order.

#include "proxy/access/login_rules.hpp"

#include "proxy/access/hba_records.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <bit>
#include <cstring>

namespace pgsluice::proxy {

namespace {

struct method_name {
    std::string_view text;
    login_method method;
};

constexpr std::array method_names{
    method_name{"trust", login_method::trust},
    method_name{"reject", login_method::reject},
    method_name{"scram-sha-256", login_method::scram_sha_256},
    method_name{"md5", login_method::md5},
    method_name{"cert", login_method::cert},
    method_name{"peer", login_method::peer},
    method_name{"passthrough", login_method::passthrough},
};

constexpr std::string_view expected_methods =
    "expected trust, reject, scram-sha-256, md5, cert, peer or passthrough (then the backend asks)";

failure wrong(std::string message) {
    return {"F0000", std::move(message), {}, {}};  // config_file_error
}

failure wrong(std::string_view text, std::string_view how) {
    return wrong("\"" + std::string(text) + "\" " + std::string(how));
}

/// Bits of a mask such as 255.255.0.0; nullopt when it is none.
std::optional<unsigned> bits_of_mask(const std::string& mask, bool is_dotted) {
    std::array<std::uint8_t, 16> bytes{};
    if (inet_pton(is_dotted ? AF_INET : AF_INET6, mask.c_str(), bytes.data()) != 1) {
        return std::nullopt;
    }
    const std::size_t size = is_dotted ? 4 : bytes.size();
    unsigned bits = 0;
    bool is_over = false;
    for (std::size_t i = 0; i < size; ++i) {
        const auto ones = static_cast<unsigned>(std::countl_one(bytes[i]));
        const bool is_solid = static_cast<unsigned>(std::popcount(bytes[i])) == ones;
        if (!is_solid || (is_over && ones != 0)) {
            return std::nullopt;
        }
        bits += ones;
        is_over = ones != 8;
    }
    return bits;
}

/// The text of `address` with everything behind the first `bits` cleared, as a server's own files
/// may have it; empty when it is no address or has not as many bits.
std::string network_text(const std::string& address, unsigned bits, bool is_dotted) {
    std::array<std::uint8_t, 16> bytes{};
    const int family = is_dotted ? AF_INET : AF_INET6;
    const unsigned bits_max = is_dotted ? 32 : 128;
    if (bits > bits_max || inet_pton(family, address.c_str(), bytes.data()) != 1) {
        return {};
    }
    for (unsigned bit = bits; bit < bits_max; ++bit) {
        bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] & ~(0x80U >> (bit % 8)));
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    inet_ntop(family, bytes.data(), text.data(), text.size());
    return std::string(text.data()) + "/" + std::to_string(bits);
}

std::optional<unsigned> number(std::string_view text) {
    if (text.empty() || text.size() > 3) {
        return std::nullopt;
    }
    unsigned value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    return value;
}

}  // namespace

bool login_rules::names::has(std::string_view name) const noexcept {
    return std::find(exact.begin(), exact.end(), name) != exact.end();
}

bool login_rules::rule::matches(const login_attempt& who) const {
    if ((over == channel::local) != who.from.is_local ||
        (over == channel::encrypted && !who.is_encrypted) ||
        (over == channel::plain && who.is_encrypted)) {
        return false;
    }
    if (from && !from->contains(who.from)) {
        return false;
    }
    if (!users.is_all && !users.has(who.user)) {
        return false;
    }
    if (who.is_physical_replication) {
        return databases.is_replication;
    }
    return databases.is_all || (databases.is_same_user && who.user == who.database) ||
           databases.has(who.database);
}

std::optional<login_rules::verdict> login_rules::find(const login_attempt& who) const {
    for (const rule& each : rules_) {
        if (each.matches(who)) {
            return verdict{each.method, each.map, each.certificate};
        }
    }
    return std::nullopt;
}

login_rules::named_maps login_rules::maps() const {
    named_maps named;
    for (const rule& each : rules_) {
        if (!each.map.empty()) {
            named.emplace_back(each.map, each.line);
        }
    }
    return named;
}

std::size_t login_rules::line_of(login_method method) const noexcept {
    for (const rule& each : rules_) {
        if (each.method == method) {
            return each.line;
        }
    }
    return 0;
}

std::size_t login_rules::line_of_certificates() const noexcept {
    for (const rule& each : rules_) {
        if (each.method == login_method::cert || each.certificate != client_certificate::optional) {
            return each.line;
        }
    }
    return 0;
}

bool login_rules::has(login_method method) const noexcept {
    return line_of(method) != 0;
}

result<login_rules::names>
login_rules::read_names(const std::vector<record_word>& words, bool are_users) {
    names read;
    for (const record_word& each : words) {
        if (each.is("all")) {
            read.is_all = true;
        } else if (!are_users && each.is("sameuser")) {
            read.is_same_user = true;
        } else if (!are_users && each.is("replication")) {
            read.is_replication = true;
        } else if (!are_users && (each.is("samerole") || each.is("samegroup"))) {
            return wrong(each.text, "asks for memberships, which only the server knows");
        } else if (!each.is_quoted && each.text.starts_with('+')) {
            return wrong(each.text, "asks for memberships, which only the server knows");
        } else if (!each.is_quoted && each.text.starts_with('@')) {
            return wrong(each.text, "names a file, expected the names themselves");
        } else if (each.text.starts_with('/')) {
            return wrong(each.text, "is a regular expression, expected names");
        } else {
            read.exact.push_back(each.text);
        }
    }
    return read;
}

/// Leaves `field` behind the address, and behind its mask where there is one.
result<std::optional<address_set>>
login_rules::read_address(const config_record& from, std::size_t& field) {
    const std::vector<record_word>& words = from.fields[field++];
    if (words.size() != 1) {
        return wrong("there are several addresses, expected one");
    }
    const std::string& text = words.front().text;
    if (words.front().is("all")) {
        return std::optional<address_set>();
    }
    const std::size_t slash = text.find('/');
    const std::string address = text.substr(0, slash);
    const bool is_dotted = address.find(':') == std::string::npos;
    std::optional<unsigned> bits;
    if (slash != std::string::npos) {
        bits = number(std::string_view(text).substr(slash + 1));
    } else if (field < from.fields.size()) {
        bits = bits_of_mask(from.fields[field++].front().text, is_dotted);
    }
    const std::string network = bits ? network_text(address, *bits, is_dotted) : std::string();
    if (network.empty()) {
        return wrong(
            text, "is not an address, expected all, ADDRESS/BITS or ADDRESS and MASK, no names"
        );
    }
    auto set = address_set::parse(std::array{network});
    if (!set) {
        return set.error();
    }
    return std::optional(std::move(*set));
}

/// Servers have others, which would be missed.
result<void> login_rules::read_options(const config_record& from, std::size_t field, rule& made) {
    const bool is_cert = made.method == login_method::cert;
    const bool is_named = is_cert || made.method == login_method::peer;
    const bool is_encrypted = made.over == channel::encrypted;
    for (; field < from.fields.size(); ++field) {
        const std::string& text = from.fields[field][0].text;
        constexpr std::string_view map = "map=";
        if (is_named && text.starts_with(map) && text.size() > map.size()) {
            made.map = text.substr(map.size());
        } else if (is_encrypted && text == "clientcert=verify-full") {
            made.certificate = client_certificate::of_user;
        } else if (is_encrypted && !is_cert && text == "clientcert=verify-ca") {
            made.certificate = client_certificate::valid;
        } else {
            std::string expected = is_named ? "map=NAME or " : "";
            expected += is_cert        ? "clientcert=verify-full or "
                        : is_encrypted ? "clientcert=verify-ca, clientcert=verify-full or "
                                       : "";
            return wrong(text, "is an option, expected " + expected + "none");
        }
    }
    return {};
}

result<login_rules::rule> login_rules::read(const config_record& from) {
    rule made;
    made.line = from.line;
    const record_word& type = from.fields[0][0];
    if (type.is("local")) {
        made.over = channel::local;
    } else if (type.is("hostssl")) {
        made.over = channel::encrypted;
    } else if (type.is("hostnossl") || type.is("hostnogssenc")) {
        made.over = type.is("hostnossl") ? channel::plain : channel::any;
    } else if (!type.is("host")) {
        return wrong(type.text, "is not a type, expected local, host, hostssl or hostnossl");
    }
    const std::size_t wanted = made.over == channel::local ? 4 : 5;
    if (from.fields.size() < wanted) {
        return wrong("the record ends early, expected database, user, address (not for local) and "
                     "method");
    }
    auto databases = read_names(from.fields[1], false);
    auto users = databases ? read_names(from.fields[2], true) : databases;
    if (!users) {
        return users.error();
    }
    made.databases = std::move(*databases);
    made.users = std::move(*users);
    std::size_t field = 3;
    if (made.over != channel::local) {
        auto address = read_address(from, field);
        if (!address) {
            return address.error();
        }
        made.from = std::move(*address);
    }
    if (field >= from.fields.size()) {
        return wrong("the record ends early, expected a method");
    }
    const std::string& method = from.fields[field][0].text;
    const auto* const found = std::ranges::find(method_names, method, &method_name::text);
    if (found == method_names.end()) {
        return wrong(method, "is not a method here, " + std::string(expected_methods));
    }
    made.method = found->method;
    if (made.method == login_method::cert && made.over != channel::encrypted) {
        return wrong(method, "needs hostssl, as certificates come with TLS only");
    }
    if (made.method == login_method::peer && made.over != channel::local) {
        return wrong(method, "needs local, as only unix sockets tell who is at the other end");
    }
    if (auto read = read_options(from, field + 1, made); !read) {
        return read.error();
    }
    return made;
}

result<login_rules> login_rules::parse(std::string_view text) {
    auto records = split_records(text);
    if (!records) {
        return records.error();
    }
    if (records->size() > rules_max) {
        return wrong("1: there are more than " + std::to_string(rules_max) + " records");
    }
    login_rules made;
    for (const config_record& each : *records) {
        auto rule = read(each);
        if (!rule) {
            failure why = rule.error();
            why.message = std::to_string(each.line) + ": " + why.message;
            return why;
        }
        made.rules_.push_back(std::move(*rule));
    }
    return made;
}

}  // namespace pgsluice::proxy
