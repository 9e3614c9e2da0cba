// classify() walks the file once and gives each character its part; functions() walks what is code
// and follows braces: a block is looked into (namespace, class), skipped (initialiser) or a
// function.
#include "tests/tidy/source_text.hpp"

#include <algorithm>
#include <cctype>
#include <regex>
#include <utility>

namespace pgsluice::tidy {

namespace {

bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

std::size_t line_of(std::string_view text, std::size_t at) {
    return 1 + static_cast<std::size_t>(std::count(text.begin(), text.begin() + at, '\n'));
}

std::size_t end_of_line(std::string_view text, std::size_t at) {
    const std::size_t end = text.find('\n', at);
    return end == std::string_view::npos ? text.size() : end;
}

/// The end of a directive: of the first line that is not continued by a backslash.
std::size_t end_of_directive(std::string_view text, std::size_t at) {
    std::size_t end = end_of_line(text, at);
    while (end < text.size() && text[end - 1] == '\\') {
        end = end_of_line(text, end + 1);
    }
    return end;
}

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

/// `template <…>`, attributes, access labels and line breaks say nothing about what a block is.
std::string essence(std::string_view head) {
    static const std::regex noise(
        R"(\[\[[^\]]*\]\]|alignas\([^)]*\)|\b(public|private|protected)\s*:(?!:))"
    );
    std::string out = std::regex_replace(std::string(head), noise, " ");
    std::size_t from = 0;
    while ((from = out.find("template", from)) != std::string::npos) {
        std::size_t at = out.find('<', from);
        for (std::size_t depth = 0; at < out.size(); ++at) {
            depth += out[at] == '<' ? 1U : 0U;
            if (out[at] == '>' && --depth == 0) {
                break;
            }
        }
        out.erase(from, std::min(at, out.size() - 1) + 1 - from);
    }
    static const std::regex spaces(R"(\s+)");
    out = std::regex_replace(out, spaces, " ");
    const std::size_t first = out.find_first_not_of(' ');
    return first == std::string::npos ? "" : out.substr(first);
}

enum class block { scope, data, function, member_initialiser };

bool names_scope(const std::string& head) {
    static const std::regex scope(R"(^(inline |static |const |typedef |constexpr |extern )*)"
                                  R"((namespace|class|struct|union|extern)\b)");
    return std::regex_search(head, scope);
}

bool names_enumeration(const std::string& head) {
    static const std::regex enumeration(R"(^(typedef |static |inline |constexpr )*enum\b)");
    return std::regex_search(head, enumeration);
}

bool has_member_initialisers(std::string_view head) {
    static const std::regex colon(R"(\)\s*(noexcept\s*)?:(?!:))");
    return std::regex_search(head.begin(), head.end(), colon);
}

/// What the brace behind `head` opens, `head` being all code since the statement before.
block kind_of(std::string_view head) {
    const auto opened = std::count(head.begin(), head.end(), '(');
    const auto closed = std::count(head.begin(), head.end(), ')');
    if (opened != closed) {
        return block::data;
    }
    const std::string plain = essence(head);
    if (names_enumeration(plain)) {
        return block::data;
    }
    const std::size_t end = head.find_last_not_of(" \n\t");
    const char last = end == std::string_view::npos ? ';' : head[end];
    if (plain.empty() || (names_scope(plain) && last != ')')) {
        return block::scope;
    }
    const bool behind_name = is_word(last) || last == '>';
    if (behind_name && has_member_initialisers(head)) {
        return block::member_initialiser;
    }
    return opened == 0 || last == '=' ? block::data : block::function;
}

}  // namespace

std::vector<std::string_view> split_lines(std::string_view text) {
    std::vector<std::string_view> lines;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = end_of_line(text, at);
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

source_text::source_text(std::string path, std::string text)
    : path_(std::move(path)), text_(std::move(text)), parts_(text_.size(), part::code),
      lines_(split_lines(text_)) {
    classify();
}

std::string_view source_text::folder() const noexcept {
    const std::size_t slash = path_.find('/');
    return std::string_view(path_).substr(0, slash == std::string::npos ? 0 : slash);
}

std::size_t source_text::mark_until(std::size_t from, std::size_t end, part as) {
    end = std::min(end, text_.size());
    std::fill(
        parts_.begin() + static_cast<std::ptrdiff_t>(from),
        parts_.begin() + static_cast<std::ptrdiff_t>(end),
        as
    );
    return end;
}

/// `at` is on a quote. Returns the place behind the literal.
std::size_t source_text::skip_literal(std::size_t at) {
    const char quote = text_[at];
    if (quote == '"' && at > 0 && text_[at - 1] == 'R') {
        const std::size_t open = text_.find('(', at);
        std::string close(1, ')');
        close.append(text_, at + 1, open - at - 1).push_back('"');
        const std::size_t end = text_.find(close, at);
        return mark_until(at, end == std::string::npos ? end : end + close.size(), part::raw_text);
    }
    std::size_t end = at + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') {
        end += text_[end] == '\\' ? 2U : 1U;
    }
    return mark_until(at, end + 1, part::text);
}

void source_text::classify() {
    bool line_is_blank = true;
    for (std::size_t at = 0; at < text_.size();) {
        const char c = text_[at];
        if (c == '#' && line_is_blank) {
            at = mark_until(at, end_of_directive(text_, at), part::directive);
        } else if (text_.compare(at, 2, "//") == 0) {
            at = mark_until(at, end_of_line(text_, at), part::comment);
        } else if (text_.compare(at, 2, "/*") == 0) {
            const std::size_t end = text_.find("*/", at + 2);
            at = mark_until(at, end == std::string::npos ? end : end + 2, part::comment);
        } else if (c == '"' || (c == '\'' && (at == 0 || !is_word(text_[at - 1])))) {
            at = skip_literal(at);
            line_is_blank = false;
        } else {
            line_is_blank = c == '\n' || (line_is_blank && (c == ' ' || c == '\t'));
            ++at;
        }
    }
}

std::string source_text::only(part wanted) const {
    std::string out = text_;
    for (std::size_t at = 0; at < out.size(); ++at) {
        if (parts_[at] != wanted && out[at] != '\n') {
            out[at] = ' ';
        }
    }
    return out;
}

bool source_text::touches_raw_text(std::size_t index) const {
    const auto begin = static_cast<std::size_t>(lines_[index].data() - text_.data());
    const auto from = parts_.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto to = from + static_cast<std::ptrdiff_t>(lines_[index].size());
    return std::find(from, to, part::raw_text) != to;
}

std::vector<function_extent> source_text::functions() const {
    const std::string code = only(part::code);
    std::vector<function_extent> found;
    std::size_t head = 0;
    for (std::size_t at = 0; at < code.size();) {
        const char c = code[at];
        if (c == ';' || c == '}' || c != '{') {
            ++at;
            head = c == ';' || c == '}' ? at : head;
            continue;
        }
        const std::string_view before = std::string_view(code).substr(head, at - head);
        const block kind = kind_of(before);
        if (kind == block::scope) {
            head = ++at;
            continue;
        }
        const std::size_t end = behind_block(code, at);
        if (kind == block::function) {
            const std::size_t first = code.find_first_not_of(" \n\t", head);
            found.push_back({line_of(code, first), line_of(code, end - 1), essence(before)});
            head = end;
        }
        at = end;
    }
    return found;
}

}  // namespace pgsluice::tidy
