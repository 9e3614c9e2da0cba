#pragma once

#include <boost/json/object.hpp>

#include <string>
#include <string_view>

namespace pgsluice::control {

/// The text of that name; empty where there is none, or something else than a text.
std::string text_in(const boost::json::object& fields, std::string_view name);

}  // namespace pgsluice::control
