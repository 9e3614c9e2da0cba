#pragma once

#include "proxy/image/script.hpp"
#include "proxy/image/session_image.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsluice::proxy {

/// From the OIDs of one server's types to another's. Stable OIDs map to themselves.
class oid_map {
public:
    oid_map() = default;
    /// Pairs the types of both servers by schema and name; an old type without a partner is left
    /// out.
    oid_map(std::span<const user_type> old_types, std::span<const user_type> new_types);

    /// The OID on the other server; nothing if the type is unknown there (or was not asked for).
    std::optional<std::uint32_t> at(std::uint32_t oid) const noexcept;

    bool empty() const noexcept { return pairs_.empty(); }

private:
    std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs_;  ///< sorted by first
};

/// Asks a server for its OIDs of `types` (their schema and name; the oid is ignored). Once per
/// database: the caller keeps the answer. Texts in `database_encoding`. Runs as private statements.
script type_resolve_request(std::span<const user_type> types, std::string_view database_encoding);

/// The asked-for types with this server's OIDs, in the order asked; those it does not have are left
/// out.
result<std::vector<user_type>>
resolved_types(std::span<const user_type> asked, const script_outcome& outcome);

/// The body of a Parse message with its parameter types mapped. 42704 names an OID that is unknown
/// on the other side, 08P01 means that `body` is no Parse message.
result<std::string> remap_parse(protocol::byte_view body, const oid_map& map);

/// The unstable OIDs among a Parse message's parameter types, for capture_options::type_oids. Empty
/// for a malformed body.
std::vector<std::uint32_t> unstable_types(protocol::byte_view parse_body);

}  // namespace pgsluice::proxy
