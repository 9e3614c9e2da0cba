// The `options` start-up parameter: split into words as the server's pg_split_opts() does, then
// read as process_postgres_switches() reads them. Only settings matter here.

#include "protocol/wire/startup_options.hpp"

namespace pgsluice::protocol {

namespace {

/// isspace() of the C locale.
bool is_blank(char c) noexcept {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// A backslash makes the next byte part of the word, whatever it is.
std::vector<std::string> split_words(std::string_view text) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < text.size()) {
        if (is_blank(text[at])) {
            ++at;
            continue;
        }
        std::string& word = words.emplace_back();
        for (; at < text.size() && !is_blank(text[at]); ++at) {
            if (text[at] == '\\' && ++at == text.size())
                break;
            word.push_back(text[at]);
        }
    }
    return words;
}

/// Splits name=value, as ParseLongOption() does. False without a value: the server refuses that.
bool parse_assignment(std::string_view text, std::pair<std::string, std::string>& setting) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos)
        return false;
    setting.first = text.substr(0, equals);
    setting.second = text.substr(equals + 1);
    for (char& c : setting.first)
        c = c == '-' ? '_' : c;
    return true;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> settings_in_options(std::string_view options) {
    // Switches whose argument may be the next word, from getopt's list in the server.
    constexpr std::string_view with_argument = "BCcDdfhkNprStvW";
    std::vector<std::pair<std::string, std::string>> settings;
    std::pair<std::string, std::string> setting;
    const auto words = split_words(options);
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (word == "--")
            break;
        if (word.starts_with("--")) {
            if (parse_assignment(word.substr(2), setting))
                settings.push_back(setting);
            continue;
        }
        if (word.size() < 2 || word[0] != '-')
            continue;
        const auto flag = word.find_first_of(with_argument, 1);
        if (flag == std::string_view::npos)
            continue;
        std::string_view argument = word.substr(flag + 1);
        if (argument.empty() && i + 1 < words.size())
            argument = words[++i];
        if (word[flag] == 'c' && parse_assignment(argument, setting))
            settings.push_back(setting);
    }
    return settings;
}

}  // namespace pgsluice::protocol
