// Types by name across servers.

#include "proxy/image/type_map.hpp"

#include "proxy/image/script_frame.hpp"
#include "proxy/image/text_array.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgsluice::proxy {

namespace {

constexpr std::string_view resolve_text =
    "SELECT u.position, t.oid"
    " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]),"
    " pg_catalog.unnest($2::pg_catalog.text[])) WITH ORDINALITY AS u(schema, name, position)"
    " JOIN pg_catalog.pg_namespace AS n"
    " ON n.nspname OPERATOR(pg_catalog.=) u.schema::pg_catalog.name"
    " JOIN pg_catalog.pg_type AS t ON t.typname OPERATOR(pg_catalog.=) u.name::pg_catalog.name"
    " AND t.typnamespace OPERATOR(pg_catalog.=) n.oid"
    " ORDER BY u.position";

std::uint32_t number(const std::optional<std::string>& text) {
    std::uint32_t value = 0;
    if (text)
        std::from_chars(text->data(), text->data() + text->size(), value);
    return value;
}

failure not_understood() {
    return {"XX000", "the answer to a question for types is not understood", {}, {}};
}

/// Where the types stand in the body of a Parse message.
struct parse_types {
    std::size_t offset = 0;
    std::vector<std::uint32_t> oids;
};

std::optional<parse_types> read_types(protocol::byte_view body) {
    protocol::reader in(body);
    in.cstring();
    in.cstring();
    const auto count = in.u16();
    if (!count)
        return std::nullopt;
    parse_types types;
    types.offset = body.size() - in.rest().size();
    for (unsigned i = 0; i < *count; ++i) {
        const auto oid = in.u32();
        if (!oid)
            return std::nullopt;
        types.oids.push_back(*oid);
    }
    if (!in.at_end())
        return std::nullopt;
    return types;
}

}  // namespace

oid_map::oid_map(std::span<const user_type> old_types, std::span<const user_type> new_types) {
    for (const auto& old_type : old_types) {
        const auto same = std::ranges::find_if(new_types, [&](const user_type& t) {
            return t.schema == old_type.schema && t.name == old_type.name;
        });
        if (same != new_types.end())
            pairs_.emplace_back(old_type.oid, same->oid);
    }
    std::ranges::sort(pairs_);
}

std::optional<std::uint32_t> oid_map::at(std::uint32_t oid) const noexcept {
    if (oid < first_unstable_oid)
        return oid;
    const auto found =
        std::ranges::lower_bound(pairs_, oid, {}, &std::pair<std::uint32_t, std::uint32_t>::first);
    if (found == pairs_.end() || found->first != oid)
        return std::nullopt;
    return found->second;
}

script type_resolve_request(std::span<const user_type> types, std::string_view database_encoding) {
    std::vector<std::string_view> schemas;
    std::vector<std::string_view> names;
    for (const auto& type : types) {
        schemas.emplace_back(type.schema);
        names.emplace_back(type.name);
    }
    const std::string schema_array = text_array(schemas);
    const std::string name_array = text_array(names);
    const std::array<std::string_view, 2> parameters{schema_array, name_array};
    script_frame frame({database_encoding, 0});
    frame.run(step_for(script_item::question, "resolving types"), resolve_text, parameters);
    return frame.finish();
}

result<std::vector<user_type>>
resolved_types(std::span<const user_type> asked, const script_outcome& outcome) {
    if (const auto* error = outcome.first_error())
        return error->what;
    std::vector<user_type> types;
    for (const auto& row : outcome.rows) {
        if (row.columns.size() != 2)
            return not_understood();
        const std::size_t position = number(row.columns[0]);
        if (position == 0 || position > asked.size())
            return not_understood();
        types.push_back(asked[position - 1]);
        types.back().oid = number(row.columns[1]);
    }
    return types;
}

result<std::string> remap_parse(protocol::byte_view body, const oid_map& map) {
    const auto types = read_types(body);
    if (!types)
        return failure{
            std::string(sqlstate::protocol_violation), "a Parse message is malformed", {}, {}};
    std::string mapped(protocol::as_text(body));
    for (std::size_t i = 0; i < types->oids.size(); ++i) {
        const auto oid = map.at(types->oids[i]);
        if (!oid)
            return failure{
                "42704",
                "the unnamed statement has a parameter of a type that the new server does not have",
                "Its OID on the old server is " + std::to_string(types->oids[i]) + ".",
                {}};
        protocol::store_u32(
            reinterpret_cast<std::uint8_t*>(mapped.data()) + types->offset + i * sizeof *oid, *oid
        );
    }
    // Said explicitly: a failure, too, could be made from a string.
    return result<std::string>(boost::system::in_place_value, std::move(mapped));
}

std::vector<std::uint32_t> unstable_types(protocol::byte_view parse_body) {
    std::vector<std::uint32_t> unstable;
    if (const auto types = read_types(parse_body)) {
        std::ranges::copy_if(types->oids, std::back_inserter(unstable), [](std::uint32_t oid) {
            return oid >= first_unstable_oid;
        });
    }
    return unstable;
}

}  // namespace pgsluice::proxy
