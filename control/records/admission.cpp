// The admitted set between the operator, the journal and the engine.
#include "control/records/admission.hpp"

#include "control/base/json_fields.hpp"
#include "control/commands/argument_rules.hpp"

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <vector>

namespace pgsluice::control {

namespace {

namespace json = boost::json;

constexpr std::string_view hold = "hold";
constexpr std::string_view refuse = "refuse";

constexpr std::size_t stages_max = 1000;
constexpr const char* not_a_count =
    "admit plan needs --stages, expected a whole number from 2 to 1000";

}  // namespace

result<void> check_admit(const request& given) {
    const auto wrong = [](std::string message) {
        return failure{"22023", std::move(message), {}, {}};
    };
    if (given.text("RANGES") == plan_word) {
        for (const auto& [name, value] : given.arguments) {
            if (name != "RANGES" && name != "stages" && name != "by") {
                return wrong("admit plan takes --stages and --by alone");
            }
        }
        return planned_stages(given) == 0 ? result<void>(wrong(not_a_count)) : result<void>();
    }
    if (given.has("by")) {
        return wrong("--by belongs to admit plan");
    }
    if (auto one = check_one_way(given); !one) {
        return one;
    }
    if (given.has("refuse") && given.has("hold")) {
        return wrong("--refuse and --hold are given, expected one of them");
    }
    if ((given.has("refuse") || given.has("hold")) && !given.has("RANGES")) {
        return wrong("--refuse and --hold belong to RANGES; stages have \"refuse\" in their file");
    }
    return {};
}

std::size_t planned_stages(const request& given) {
    const std::string text = given.text("stages");
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    const bool is_whole = error == std::errc{} && end == text.data() + text.size();
    return is_whole && count >= 2 && count <= stages_max ? count : 0;
}

proxy::admission requested_admission(const request& given) {
    proxy::admission who = admission_of(given.text("RANGES"));
    who.refuses = given.has("refuse");
    who.message = given.text("refuse");
    return who;
}

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
