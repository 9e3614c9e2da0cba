// One pass over a statement's text for the few words that matter. Strings, comments and function
// bodies are scanned like everything else: dynamic SQL hides there, and there is no lexer state
// that a client encoding or standard_conforming_strings could put out of step. What follows a word
// is looked into through a window, so that no text makes the pass quadratic.

#include "protocol/sql/sql_scan.hpp"

#include "protocol/sql/sql_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

namespace pgsluice::protocol {

namespace {

// A text with many of the words gets a smaller window, or it could be made to cost milliseconds.
constexpr std::size_t window_bytes_max = 1024;
constexpr std::size_t window_bytes_min = 128;
constexpr std::size_t wide_windows_max = 32;
constexpr std::size_t name_bytes_max = 256;
constexpr std::size_t names_max = 256;

/// What the main loop asks of each byte: one load, and nothing else for most.
struct byte_classes {
    /// For the first letter of a word that we look for: the second letters, bit 0 for 'a'.
    std::array<std::uint32_t, 256> second_letters{};
    std::array<bool, 256> is_word{};  ///< does not precede a word

    constexpr byte_classes() {
        constexpr std::string_view words[] = {
            "set", "show", "reset", "set_config", "current_setting", "currval", "lastval"};
        for (const auto word : words) {
            const auto first = static_cast<unsigned char>(word[0]);
            const auto second = 1U << static_cast<unsigned>(word[1] - 'a');
            second_letters[first] |= second;
            second_letters[first - 'a' + 'A'] |= second;
        }
        // Not '$': a dollar quote may open in front of a word. Not bytes beyond ASCII: some are
        // spaces to somebody.
        for (unsigned c = 0; c < 0x80; ++c)
            is_word[c] = is_identifier_byte(static_cast<char>(c)) && c != '$';
    }
};

constexpr byte_classes classes;

bool is_second_letter(std::uint32_t letters, char c) {
    const auto index = static_cast<unsigned>(lower(c) - 'a');
    return index < 26 && (letters >> index & 1U) != 0;
}

bool has_dot(std::string_view name) {
    return name.find('.') != name.npos;
}

void add_name(std::string_view name, sql_scan_result& found) {
    if (!has_dot(name))
        return;
    std::string custom = custom_name(name);
    if (custom.empty() || found.names.size() == names_max)
        found.names_incomplete = true;
    else if (std::ranges::find(found.names, custom) == found.names.end())
        found.names.push_back(std::move(custom));
}

/// One part of a dotted name, quoted or not; moves past it. Empty if there is none.
std::string_view take_part(std::string_view& text) {
    std::size_t length = 0;
    if (text.starts_with('"')) {
        text.remove_prefix(1);
        const auto part = text.substr(0, text.find('"'));
        text.remove_prefix(std::min(part.size() + 1, text.size()));
        return part;
    }
    while (length < text.size() && is_identifier_byte(text[length]))
        ++length;
    const auto part = text.substr(0, length);
    text.remove_prefix(length);
    return part;
}

/// After SET, RESET or SHOW: `a.b`, `"A" . b`, `"a.b"`.
void scan_name(std::string_view text, sql_scan_result& found) {
    std::string_view whole = text;
    std::string joined;
    for (std::size_t parts = 0;; ++parts) {
        const auto part = take_part(text);
        if (part.empty() || whole.size() - text.size() > name_bytes_max)
            return;
        const auto rest = skip_blank(text);
        if (parts == 0 && !rest.starts_with('.') && !has_dot(part))
            return;  // the usual case allocates nothing
        joined += part;
        if (!rest.starts_with('.'))
            break;
        joined += '.';
        text = skip_blank(rest.substr(1));
    }
    add_name(joined, found);
}

/// `SET %I`, `'SET ' || name`: the name of dynamic SQL is computed.
bool is_computed_name(std::string_view text) {
    if (text.starts_with("%I") || text.starts_with("%s"))
        return true;
    if (!text.starts_with('\''))
        return false;
    text.remove_prefix(std::min(text.find_first_not_of('\''), text.size()));
    return skip_blank(text).starts_with("||");
}

void scan_set(std::string_view text, sql_scan_result& found) {
    bool is_local = false;
    for (const std::string_view scope : {"session", "local"}) {
        if (starts_with_word(text, scope)) {
            is_local = scope == "local";
            text = skip_blank(text.substr(scope.size()));
            break;
        }
    }
    if (is_computed_name(text))
        found.names_incomplete |= !is_local;
    else
        scan_name(text, found);
}

/// A string constant, moved past. Doubled quotes are those of a string around it.
std::optional<std::string_view> take_literal(std::string_view& text) {
    const bool may_escape = starts_with_word(text, "e") || starts_with_word(text, "u");
    const auto quote = text.find_first_of("'$");
    constexpr std::string_view prefixes[] = {"", "e", "E", "n", "N", "u&", "U&"};
    if (quote == text.npos ||
        std::ranges::find(prefixes, text.substr(0, quote)) == std::end(prefixes))
        return std::nullopt;
    text.remove_prefix(quote);
    std::string_view value;
    if (text[0] == '\'') {
        text.remove_prefix(std::min(text.find_first_not_of('\''), text.size()));
        value = text.substr(0, text.find('\''));
        text.remove_prefix(value.size());
        text.remove_prefix(std::min(text.find_first_not_of('\''), text.size()));
    } else {
        const auto tag = text.substr(0, std::min(text.find('$', 1), text.size() - 1) + 1);
        text.remove_prefix(tag.size());
        value = text.substr(0, text.find(tag));
        text.remove_prefix(std::min(value.size() + tag.size(), text.size()));
    }
    if (may_escape && value.find('\\') != value.npos)
        return std::nullopt;
    return value;
}

std::optional<unsigned> take_parameter(std::string_view& text) {
    if (!text.starts_with('$'))
        return std::nullopt;
    unsigned number = 0;
    const auto parsed = std::from_chars(text.data() + 1, text.data() + text.size(), number);
    if (parsed.ec != std::errc{})
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
    return number;
}

/// The argument ends here; a cast may come before that.
bool ends_argument(std::string_view text) {
    text = skip_blank(text);
    while (text.starts_with("::")) {
        text = skip_blank(text.substr(2));
        while (!text.empty() && (is_identifier_byte(text[0]) || text[0] == '.' || text[0] == '"'))
            text.remove_prefix(1);
        text = skip_blank(text);
    }
    return text.starts_with(',') || text.starts_with(')');
}

/// `name =>` in front of an argument.
std::string_view skip_argument_name(std::string_view text) {
    auto rest = text;
    if (take_part(rest).empty())
        return text;
    rest = skip_blank(rest);
    return rest.starts_with("=>") || rest.starts_with(":=") ? skip_blank(rest.substr(2)) : text;
}

/// The third argument of set_config() is the constant true. `text` is what follows the parenthesis.
bool is_provably_local(std::string_view text) {
    int depth = 0;
    int commas = 0;
    for (std::size_t i = 0; i < text.size() && depth >= 0; ++i) {
        if (text[i] == '\'')
            i = std::min(text.find('\'', i + 1), text.size());
        else if (text[i] == '(' || text[i] == '[')
            ++depth;
        else if (text[i] == ')' || text[i] == ']')
            --depth;
        else if (text[i] == ',' && depth == 0 && ++commas == 2) {
            const auto third = skip_argument_name(skip_blank(text.substr(i + 1)));
            return starts_with_word(third, "true") && ends_argument(third.substr(4));
        }
    }
    return false;
}

/// After `set_config` or `current_setting`.
void scan_call(std::string_view text, bool sets, sql_scan_result& found) {
    text = skip_blank(text.substr(text.starts_with('"') ? 1 : 0));
    if (!text.starts_with('('))
        return;
    const auto arguments = text.substr(1);
    auto first = skip_argument_name(skip_blank(arguments));
    const auto whole = first;
    if (const auto number = take_parameter(first); number && ends_argument(first)) {
        if (std::ranges::find(found.name_parameters, *number) == found.name_parameters.end())
            found.name_parameters.push_back(*number);
        return;
    }
    first = whole;
    if (const auto name = take_literal(first); name && ends_argument(first))
        return add_name(*name, found);
    // Reading by a computed name leaves no state behind.
    if (sets && !is_provably_local(arguments))
        found.names_incomplete = true;
}

bool is_call(std::string_view text) {
    return skip_blank(text.substr(text.starts_with('"') ? 1 : 0)).starts_with('(');
}

/// `text` starts where one of the words may and ends with the window; false if it is none.
bool scan_word(std::string_view text, bool is_cut, sql_scan_result& found) {
    constexpr auto after = [](std::string_view all, std::string_view word) {
        return skip_blank(all.substr(word.size()));
    };
    if (starts_with_word(text, "set"))
        scan_set(after(text, "set"), found);
    else if (starts_with_word(text, "show"))
        scan_name(after(text, "show"), found);
    else if (starts_with_word(text, "reset"))
        scan_name(after(text, "reset"), found);
    else if (starts_with_word(text, "set_config"))
        scan_call(after(text, "set_config"), true, found);
    else if (starts_with_word(text, "current_setting"))
        scan_call(after(text, "current_setting"), false, found);
    else if (starts_with_word(text, "currval") || starts_with_word(text, "lastval"))
        found.uses_currval |= is_call(after(text, "currval"));
    else
        return false;
    // A comment longer than the window may hide a name.
    const auto word_bytes = text.find_first_of(" \t\r\n/-(\"");
    if (is_cut && word_bytes != text.npos && skip_blank(text.substr(word_bytes)).empty())
        found.names_incomplete = true;
    return true;
}

}  // namespace

void scan_sql(std::string_view text, sql_scan_result& found) {
    found.is_truncated |= text.size() > sql_scan_bytes_max;
    text = text.substr(0, sql_scan_bytes_max);
    std::size_t words = 0;
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        const auto letters = classes.second_letters[static_cast<unsigned char>(text[i])];
        if (letters == 0 || !is_second_letter(letters, text[i + 1]))
            continue;
        if (i != 0 && classes.is_word[static_cast<unsigned char>(text[i - 1])])
            continue;
        const auto window = words < wide_windows_max ? window_bytes_max : window_bytes_min;
        if (scan_word(text.substr(i, window), text.size() - i > window, found))
            ++words;
    }
}

std::string custom_name(std::string_view value) {
    const bool is_plain = value.size() <= name_bytes_max && has_dot(value) &&
                          std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
    std::string name;
    if (is_plain)
        std::ranges::transform(value, std::back_inserter(name), lower);
    return name;
}

}  // namespace pgsluice::protocol
