// Counts what classes declare. As source_text.cpp, a scanner and not a compiler: a class body is
// cut into statements at its own level, and each is told by its text to be a function, a boolean or
// something else.
#include "tests/tidy/classes.hpp"

#include <algorithm>
#include <regex>
#include <string_view>

namespace pgsluice::tidy {

namespace {

/// Behind the brace that closes the one at `open`.
std::size_t behind_block(std::string_view code, std::size_t open) {
    std::size_t depth = 0;
    for (std::size_t at = open; at < code.size(); ++at) {
        if (code[at] == '{') {
            ++depth;
        } else if (code[at] == '}' && --depth == 0) {
            return at + 1;
        }
    }
    return code.size();
}

/// Without what stands in <…>, so that a parenthesis is one of a function.
std::string without_arguments(std::string_view text) {
    std::string out;
    std::size_t depth = 0;
    for (const char c : text) {
        if (c == '<') {
            ++depth;
        } else if (c == '>' && depth > 0) {
            --depth;
        } else if (depth == 0) {
            out += c;
        }
    }
    return out;
}

std::string trimmed(std::string text) {
    static const std::regex noise(
        R"(\[\[[^\]]*\]\]|\b(public|private|protected)\s*:(?!:)|alignas\([^)]*\))"
    );
    text = std::regex_replace(text, noise, " ");
    const std::size_t first = text.find_first_not_of(" \n\t");
    return first == std::string::npos ? "" : text.substr(first);
}

bool is_function(const std::string& statement) {
    static const std::regex other(
        R"(^(using|typedef|friend|static_assert|enum|class|struct|union)\b)"
    );
    static const std::regex deleted(R"(=\s*delete\s*$)");
    if (std::regex_search(statement, other) || std::regex_search(statement, deleted)) {
        return false;
    }
    if (statement.find("operator") != std::string::npos) {
        return true;
    }
    const std::string plain = without_arguments(statement);
    const std::size_t parenthesis = plain.find('(');
    return parenthesis != std::string::npos && parenthesis < plain.find('=');
}

bool is_boolean(const std::string& statement) {
    static const std::regex boolean(R"(^(mutable\s+)?(bool|std::atomic<bool>|std::atomic_bool)\s)");
    return std::regex_search(statement, boolean) && !is_function(statement);
}

void count(class_extent& into, const std::string& text) {
    const std::string statement = trimmed(text);
    into.functions += is_function(statement) ? 1U : 0U;
    into.booleans += is_boolean(statement) ? 1U : 0U;
}

/// `body` is what stands between the braces of a class.
void count_statements(class_extent& into, std::string_view body) {
    std::string statement;
    for (std::size_t at = 0; at < body.size();) {
        if (body[at] == ';') {
            count(into, statement);
            statement.clear();
            ++at;
        } else if (body[at] == '{') {
            at = behind_block(body, at);
            if (is_function(trimmed(statement))) {  // its body, or the braces of an initialiser
                count(into, statement);
                statement.clear();
            }
        } else {
            statement += body[at++];
        }
    }
}

}  // namespace

std::vector<class_extent> classes_of(const source_text& source) {
    static const std::regex head(R"((enum\s+)?\b(class|struct)\s+(\w+(?:::\w+)*)[^;{}()=]*\{)");
    const std::string code = source.only(part::code);
    std::vector<class_extent> found;
    for (std::sregex_iterator at(code.begin(), code.end(), head), end; at != end; ++at) {
        if ((*at)[1].matched) {
            continue;
        }
        const auto begin = static_cast<std::size_t>(at->position(2));
        const auto open = static_cast<std::size_t>(at->position() + at->length() - 1);
        class_extent each{.name = (*at)[3].str()};
        each.line = 1 + static_cast<std::size_t>(std::count(
                            code.begin(), code.begin() + static_cast<std::ptrdiff_t>(begin), '\n'
                        ));
        const std::string_view body =
            std::string_view(code).substr(open + 1, behind_block(code, open) - open - 2);
        count_statements(each, body);
        found.push_back(each);
    }
    return found;
}

}  // namespace pgsluice::tidy
