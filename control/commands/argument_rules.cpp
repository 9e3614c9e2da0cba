// What `admit` and `canary` have in common: ranges at once, or stages.
#include "control/commands/argument_rules.hpp"

namespace pgsluice::control {

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

}  // namespace pgsluice::control
