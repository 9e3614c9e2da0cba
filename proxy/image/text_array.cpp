// Texts that the server reads back as exactly the values given.

#include "proxy/image/text_array.hpp"

namespace pgsluice::proxy {

std::string text_array(std::span<const std::string_view> elements) {
    std::string out = "{";
    for (const auto element : elements) {
        if (out.size() > 1)
            out += ',';
        out += '"';
        for (const char c : element) {
            if (c == '"' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '"';
    }
    return out += '}';
}

std::string oid_array(std::span<const std::uint32_t> oids) {
    std::string out = "{";
    for (const auto oid : oids) {
        if (out.size() > 1)
            out += ',';
        out += std::to_string(oid);
    }
    return out += '}';
}

std::string quoted_identifier(std::string_view name) {
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"')
            out += '"';
        out += c;
    }
    return out += '"';
}

}  // namespace pgsluice::proxy
