// How statements become requests. The arguments of a verb are those of its operator command,
// written as words: `--on-timeout keep` is ON TIMEOUT KEEP.
#include "control/base/words.hpp"
#include "control/console/verbs.hpp"
#include "control/console/words.hpp"

#include <algorithm>
#include <map>
#include <vector>

namespace pgsluice::control {
namespace {

using kind = console_verb::kind;
using words_view = std::span<const console_word>;
using services_view = std::span<const named_service>;

/// What drivers set when they connect. It changes nothing here.
constexpr std::string_view settable[] = {
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "lock_timeout",
    "names",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "time",
    "timezone",
};

failure syntax(std::string message) {
    return {"42601", std::move(message), {}, "SHOW HELP lists the commands."};
}

failure not_here(std::string_view why, std::string_view hint) {
    return {std::string(sqlstate::feature_not_supported), std::string(why), {}, std::string(hint)};
}

failure unknown(std::string_view what, std::string given, std::vector<std::string> names) {
    constexpr std::size_t shown_bytes_max = 64;
    for (std::string& name : names) {
        name = keyword_text(name);
    }
    std::sort(names.begin(), names.end());
    const std::vector<std::string_view> views(names.begin(), names.end());
    if (given.size() > shown_bytes_max) {
        given.resize(shown_bytes_max);
        given += "...";
    }
    return syntax(
        "unknown " + std::string(what) + " \"" + given + "\", expected " + one_of(views) +
        did_you_mean(keyword_text(given), views)
    );
}

std::string names_of(services_view services) {
    std::vector<std::string_view> names;
    for (const named_service& each : services) {
        names.push_back(each.name);
    }
    return one_of(names);
}

/// By its name, or that of its only database; null for others.
const named_service* find_service(services_view services, const std::string& name) {
    const auto by = [&](std::string named_service::*field) {
        return std::find_if(services.begin(), services.end(), [&](const named_service& each) {
            return !(each.*field).empty() && each.*field == name;
        });
    };
    auto found = by(&named_service::name);
    if (found == services.end()) {
        found = by(&named_service::database);
    }
    return found == services.end() ? nullptr : &*found;
}

failure no_such_service(const std::string& name, services_view services) {
    return {
        "3D000",
        "\"" + name + "\" is not what this console is of, expected " +
            (services.size() == 1 ? "\"" + services[0].name + "\"" : names_of(services)) +
            " or no name",
        {},
        "A service is paused as a whole, whichever databases its clients use."};
}

/// `SERVICE NAME` at the front of the words: how many words that takes, and whose name it is.
result<std::size_t> take_service(words_view words, services_view services, std::string& chosen) {
    if (!words[0].is("service")) {
        return std::size_t{0};
    }
    if (words.size() == 1) {
        return syntax("a value is missing behind SERVICE");
    }
    const named_service* const found = find_service(services, words[1].text);
    if (found == nullptr) {
        return no_such_service(words[1].text, services);
    }
    if (!chosen.empty()) {
        return syntax("the service is given twice");
    }
    chosen = found->name;
    return std::size_t{2};
}

/// How many words at the front are the name of this argument: on-timeout is ON TIMEOUT.
std::size_t name_words(const command_argument& argument, words_view words) {
    std::string_view rest = argument.name;
    std::size_t used = 0;
    while (!argument.is_positional() && used < words.size()) {
        const std::size_t end = std::min(rest.find('-'), rest.size());
        if (!words[used].is(rest.substr(0, end))) {
            return 0;
        }
        ++used;
        if (end == rest.size()) {
            return used;
        }
        rest.remove_prefix(end + 1);
    }
    return 0;
}

/// The arguments of a command out of the words behind its verb.
class argument_reader {
public:
    argument_reader(const console_verb& verb, const command& what, services_view services)
        : verb_(verb), what_(what), services_(services) {}

    result<void> read(words_view words) {
        while (!words.empty()) {
            const auto used = take(words);
            if (!used) {
                return used.error();
            }
            words = words.subspan(*used);
        }
        return {};
    }

    std::map<std::string, std::string, std::less<>> found;
    std::string service;  ///< that was named; empty: none

private:
    result<std::size_t> take(words_view words);
    result<std::size_t> take_positional(const console_word& word);
    result<void> put(const command_argument& argument, const console_word& value);
    std::string verb() const { return keyword_text(verb_.name); }

    const console_verb& verb_;
    const command& what_;
    services_view services_;
};

result<std::size_t> argument_reader::take(words_view words) {
    if (what_.needs_service) {
        const auto used = take_service(words, services_, service);
        if (!used || *used != 0) {
            return used;
        }
    }
    if (what_.id == command_id::shutdown && words[0].is("wait_for_servers")) {
        found["drain"] = "true";
        return 1;
    }
    if (what_.id == command_id::shutdown && words[0].is("wait_for_clients")) {
        return not_here(
            "SHUTDOWN WAIT_FOR_CLIENTS would wait for clients that stay for ever",
            "DRAIN ends sessions where they lose nothing; SHUTDOWN follows."
        );
    }
    for (const command_argument& argument : what_.arguments) {
        const std::size_t used = name_words(argument, words);
        if (used == 0) {
            continue;
        }
        if (argument.is_file) {
            return not_here(
                keyword_text(argument.name) + " names a file, which the console does not read",
                "sluicectl takes it on the machine of pgsluice."
            );
        }
        const bool is_flag = argument.type == argument_type::flag;
        if (!is_flag && words.size() == used) {
            return syntax("a value is missing behind " + keyword_text(argument.name));
        }
        const auto kept = put(argument, is_flag ? console_word{"true", true} : words[used]);
        if (!kept) {
            return kept.error();
        }
        return used + (is_flag ? 0 : 1);
    }
    return take_positional(words[0]);
}

result<std::size_t> argument_reader::take_positional(const console_word& word) {
    std::vector<std::string> expected;
    for (const command_argument& argument : what_.arguments) {
        const bool is_list = argument.type == argument_type::ranges;
        if (argument.is_positional() && (is_list || !found.contains(argument.name))) {
            const auto kept = put(argument, word);
            if (!kept) {
                return kept.error();
            }
            return 1;
        }
        if (!argument.is_positional() && !argument.is_file) {
            expected.emplace_back(argument.name);
        }
    }
    if (expected.empty()) {
        return syntax(verb() + " takes no \"" + word.text + "\"");
    }
    return unknown("word behind " + verb() + ":", word.text, std::move(expected));
}

result<void> argument_reader::put(const command_argument& argument, const console_word& value) {
    const bool is_free = argument.type == argument_type::text || value.is_quoted;
    const std::string text = is_free ? value.text : value.lower();
    std::string& place = found[std::string(argument.name)];
    if (!place.empty() && argument.type != argument_type::ranges) {
        return syntax(keyword_text(argument.name) + " is given twice");
    }
    place += (place.empty() ? "" : " ") + text;
    return {};
}

const command& command_of(command_id id) {
    for (const command& each : commands()) {
        if (each.id == id) {
            return each;
        }
    }
    PGSLUICE_ASSERT(false);
    return commands()[0];
}

/// Takes a service's name off the front of the words, where the verb may have one there.
result<words_view>
take_name(const console_verb& verb, words_view words, argument_reader& reader, services_view all) {
    if (!verb.takes_name || words.empty() || words[0].is("service")) {
        return words;
    }
    std::vector<std::string> keywords;
    for (const command_argument& argument : command_of(verb.runs).arguments) {
        keywords.push_back(keyword_text(argument.name));
        if (name_words(argument, words) != 0) {
            return words;
        }
    }
    const std::vector<std::string_view> views(keywords.begin(), keywords.end());
    const bool is_typo = !nearest(keyword_text(words[0].text), views).empty();
    const named_service* const found = find_service(all, words[0].text);
    if (found == nullptr && is_typo && !words[0].is_quoted) {
        return words;  // which the arguments will tell
    }
    if (found == nullptr) {
        return no_such_service(words[0].text, all);
    }
    reader.service = found->name;
    return words.subspan(1);
}

/// PgBouncer's commands without a name are for all, ours have to say which one they mean.
result<std::vector<std::string>>
services_meant(const console_verb& verb, const argument_reader& reader, services_view all) {
    const bool is_for_all = verb.takes_name || verb.runs == command_id::kill;
    if (!command_of(verb.runs).needs_service) {
        return std::vector<std::string>();
    }
    if (!reader.service.empty()) {
        return std::vector<std::string>{reader.service};
    }
    if (all.size() > 1 && !is_for_all) {
        return syntax(
            "several services are reached here, expected SERVICE " + names_of(all) + " behind " +
            keyword_text(verb.name)
        );
    }
    std::vector<std::string> names;
    for (const named_service& each : all) {
        names.push_back(each.name);
    }
    return names;
}

result<console_plan> plan_verb(const console_verb& verb, words_view words, services_view services) {
    console_plan plan{.tag = keyword_text(verb.name), .is_quiet = verb.is_quiet};
    if (verb.what == kind::refused) {
        return not_here(verb.why, verb.hint);
    }
    const command& what = command_of(verb.runs);
    argument_reader reader(verb, what, services);
    const auto rest = take_name(verb, words, reader, services);
    if (!rest) {
        return rest.error();
    }
    if (verb.name == "kill") {
        if (!rest->empty()) {
            return syntax("KILL takes no \"" + rest->front().text + "\"");
        }
        reader.found = {{"timeout", "0s"}, {"on-timeout", "terminate"}};
    } else if (auto read = reader.read(*rest); !read) {
        return read.error();
    }
    auto meant = services_meant(verb, reader, services);
    if (!meant) {
        return meant.error();
    }
    plan.needs = what.needs;
    plan.services = std::move(*meant);
    plan.is_for_any = verb.runs == command_id::kill;
    const std::string first = plan.services.empty() ? std::string() : plan.services.front();
    auto made = make_request(what.name, first, std::move(reader.found));
    if (!made) {
        return made.error();
    }
    plan.what = std::move(*made);
    return plan;
}

result<console_plan> plan_show(words_view words, services_view services) {
    console_plan plan{.tag = "SHOW", .services = {}};
    if (words.empty()) {
        return syntax("a name is missing behind SHOW");
    }
    std::string name = words[0].lower();
    std::size_t used = 1;
    if (words.size() == 3 && name == "transaction" && words[1].is("isolation")) {
        name = "transaction_isolation";  // SHOW TRANSACTION ISOLATION LEVEL
        used = 3;
    }
    if (std::string service; words.size() > used) {
        const auto taken = take_service(words.subspan(used), services, service);
        if (!taken) {
            return taken.error();
        }
        used += *taken;
        if (!service.empty()) {
            plan.services.push_back(std::move(service));
        }
    }
    if (words.size() > used) {
        return syntax("SHOW " + keyword_text(name) + " takes no \"" + words[used].text + "\"");
    }
    if (name == "help") {
        plan.what = console_plan::help{};
        return plan;
    }
    if (name == "fds") {
        return not_here("SHOW FDS is for handing sockets to another process", "");
    }
    if (const driver_setting* const setting = find_driver_setting(name)) {
        plan.what = setting;
        plan.columns = protocol::console_columns(&setting->column, 1);
        return plan;
    }
    if (const show_table* const table = find_show_table(name)) {
        plan.what = table;
        plan.needs = table->needs;
        plan.columns = table->columns;
        return plan;
    }
    std::vector<std::string> names{"help"};
    for (const show_table& each : show_tables()) {
        names.emplace_back(each.name);
    }
    return unknown("name behind SHOW:", words[0].text, std::move(names));
}

/// What drivers set without being asked is taken and has no effect; PgBouncer's own settings are
/// for the configuration file.
result<console_plan> plan_set(words_view words) {
    std::size_t at = 0;
    while (at < words.size() && (words[at].is("session") || words[at].is("local"))) {
        ++at;
    }
    if (at == words.size()) {
        return syntax("a name is missing behind SET");
    }
    std::string name = words[at].lower();
    name.resize(std::min(name.find('='), name.size()));
    const bool is_known =
        name == "characteristics" ||  // SET SESSION CHARACTERISTICS AS ...
        std::find(std::begin(settable), std::end(settable), name) != std::end(settable);
    if (!is_known) {
        return not_here(
            "\"" + name + "\" cannot be set here, only what drivers set for themselves",
            "The configuration file says it; RELOAD applies what has changed there."
        );
    }
    return console_plan{.tag = "SET"};
}

}  // namespace

result<console_plan> plan_statement(std::string_view statement, services_view services) {
    const auto split = console_words(statement);
    if (!split) {
        return split.error();
    }
    if (split->empty()) {
        return syntax("an empty statement");
    }
    const console_word& first = split->front();
    const words_view rest = words_view(*split).subspan(1);
    if (first.is("show") || first.is("select")) {
        return plan_show(rest, services);
    }
    if (first.is("set")) {
        return plan_set(rest);
    }
    for (const console_verb& verb : console_verbs()) {
        if (first.is(verb.name)) {
            return plan_verb(verb, rest, services);
        }
    }
    std::vector<std::string> names{"show", "set"};
    for (const console_verb& verb : console_verbs()) {
        if (!verb.usage.empty()) {
            names.emplace_back(verb.name);
        }
    }
    return unknown("command", first.text, std::move(names));
}

}  // namespace pgsluice::control
