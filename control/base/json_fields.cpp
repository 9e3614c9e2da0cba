// Fields of a JSON object with a default where they are missing.

#include "control/base/json_fields.hpp"

#include <boost/json/value.hpp>

namespace pgsluice::control {

std::string text_in(const boost::json::object& fields, std::string_view name) {
    const boost::json::value* value = fields.if_contains(name);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

}  // namespace pgsluice::control
