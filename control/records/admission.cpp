// The admitted set between the operator, the journal and the engine.
#include "control/records/admission.hpp"

#include "control/base/json_fields.hpp"
#include "control/base/words.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <vector>

namespace pgsluice::control {

namespace {

namespace json = boost::json;

constexpr std::string_view hold = "hold";
constexpr std::string_view refuse = "refuse";

}  // namespace

proxy::admission admission_of(std::string_view ranges) {
    proxy::admission who;
    who.set = proxy::address_set::parse(words(ranges)).value();
    return who;
}

std::string ranges_of(const proxy::admission& who) {
    std::string text;
    for (const std::string& token : who.set.tokens()) {
        text += (text.empty() ? "" : " ") + token;
    }
    return text;
}

json::object encode_admission(const proxy::admission& who) {
    const auto tokens = who.set.tokens();
    json::object fields{
        {"set", json::array(tokens.begin(), tokens.end())},
        {"unadmitted", who.refuses ? refuse : hold}};
    if (who.refuses) {
        fields["message"] = who.message;
    }
    return fields;
}

result<proxy::address_set> decode_set(const json::object& fields) {
    const json::value* set = fields.if_contains("set");
    if (set == nullptr || !set->is_array()) {
        return failure{"XX001", "no set", {}, {}};
    }
    std::vector<std::string> tokens;
    for (const json::value& token : set->get_array()) {
        tokens.push_back(token.is_string() ? std::string(token.get_string()) : "");
    }
    return proxy::address_set::parse(tokens);
}

result<proxy::admission> decode_admission(const json::object& fields) {
    auto set = decode_set(fields);
    if (!set) {
        return set.error();
    }
    const std::string unadmitted = text_in(fields, "unadmitted");
    if (unadmitted != hold && unadmitted != refuse) {
        return failure{"XX001", "nothing said about others", {}, {}};
    }
    return proxy::admission{
        .set = std::move(*set),
        .refuses = unadmitted == refuse,
        .message = text_in(fields, "message")};
}

}  // namespace pgsluice::control
