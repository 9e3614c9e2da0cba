// What a command may be given together: ranges at once, or stages, and what belongs to which.

#include "control/commands/argument_rules.hpp"

#include "control/base/words.hpp"
#include "proxy/access/address_set.hpp"

#include <charconv>

namespace pgsluice::control {

namespace {

constexpr std::size_t stages_max = 1000;
constexpr const char* not_a_count =
    "admit plan needs --stages, expected a whole number from 2 to 1000";

}  // namespace

result<void> check_one_way(const request& given) {
    static constexpr std::string_view ways[] = {"RANGES", "stages", "pause", "resume", "skip"};
    int ways_given = 0;
    for (const std::string_view way : ways) {
        ways_given += given.has(way) ? 1 : 0;
    }
    if (ways_given == 1) {
        return {};
    }
    const std::string name(given.what->name);
    const std::string text =
        ways_given == 0 ? name + " needs RANGES, or one of --stages, --pause, --resume and --skip"
                        : name + " takes one of RANGES, --stages, --pause, --resume and --skip";
    return failure{"22023", text, {}, {}};
}

result<void> check_canary(const request& given) {
    const auto wrong = [](std::string message) {
        return failure{"22023", std::move(message), {}, {}};
    };
    const std::string ranges = given.text("RANGES");
    if (ranges == off_word) {
        for (const auto& [name, value] : given.arguments) {
            if (name != "RANGES" && name != "timeout") {
                return wrong("canary off takes --timeout alone");
            }
        }
        return {};
    }
    if (ranges == "none") {
        return wrong("canary none sends nobody anywhere, expected ranges or off");
    }
    if (auto one = check_one_way(given); !one) {
        return one;
    }
    const bool begins = given.has("RANGES") || given.has("stages");
    if (begins && !given.has("to")) {
        return wrong("canary needs --to, the backend that these clients get");
    }
    if (!begins && (given.has("to") || given.has("access"))) {
        return wrong("--to and --access belong to RANGES or --stages");
    }
    if (given.has("timeout") && !given.has("RANGES")) {
        return wrong("--timeout belongs to RANGES; stages do not wait for live sessions");
    }
    return {};
}

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
    proxy::admission who;
    who.set = proxy::address_set::parse(words(given.text("RANGES"))).value();
    who.refuses = given.has("refuse");
    who.message = given.text("refuse");
    return who;
}

}  // namespace pgsluice::control
