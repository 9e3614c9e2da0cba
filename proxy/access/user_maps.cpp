// pg_ident.conf: lines of a map, names and regular expressions.

#include "proxy/access/user_maps.hpp"

#include "proxy/access/hba_records.hpp"

#include <algorithm>

namespace pgsluice::proxy {

namespace {

constexpr std::size_t fields_wanted = 3;

/// What is wrong with a record, or nothing.
std::string trouble_with(const config_record& from) {
    if (from.fields.size() != fields_wanted) {
        return "expected a map, the system's name of a user, and a role";
    }
    for (const auto& words : from.fields) {
        if (words.size() != 1) {
            return "there are several names, expected one";
        }
        const record_word& name = words.front();
        if (name.text.starts_with('/')) {
            return "\"" + name.text + "\" is a regular expression, expected a name";
        }
        if (!name.is_quoted && name.text.starts_with('+')) {
            return "\"" + name.text + "\" asks for memberships, which only the server knows";
        }
        if (!name.is_quoted && (name.text.starts_with('@') || name.text.starts_with("include"))) {
            return "\"" + name.text + "\" names a file, expected the records themselves";
        }
    }
    return {};
}

}  // namespace

result<user_maps> user_maps::parse(std::string_view text) {
    const auto records = split_records(text);
    if (!records) {
        return records.error();
    }
    if (records->size() > records_max) {
        return failure{
            "F0000", "1: there are more than " + std::to_string(records_max) + " records", {}, {}};
    }
    user_maps made;
    for (const config_record& each : *records) {
        if (const std::string why = trouble_with(each); !why.empty()) {
            return failure{"F0000", std::to_string(each.line) + ": " + why, {}, {}};
        }
        const record_word& role = each.fields[2][0];
        made.records_.push_back(
            {each.fields[0][0].text, each.fields[1][0].text, role.text, role.is("all")}
        );
    }
    return made;
}

bool user_maps::has(std::string_view map) const noexcept {
    return std::ranges::find(records_, map, &record::map) != records_.end();
}

bool user_maps::lets_in(std::string_view map, std::string_view system_user, std::string_view role)
    const noexcept {
    return std::ranges::any_of(records_, [&](const record& each) {
        return each.map == map && each.system_user == system_user &&
               (each.is_any_role || each.role == role);
    });
}

}  // namespace pgsluice::proxy
