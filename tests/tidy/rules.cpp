// One function a rule, over source_text; the lists that a rule needs stand at the top.
#include "tests/tidy/rules.hpp"

#include "tests/tidy/classes.hpp"
#include "tests/tidy/rooms.hpp"

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>

namespace pgsluice::tidy {

namespace {

/// Classes that are still too large, by file and name. The list only gets shorter: one that keeps
/// to the limits must leave it.
constexpr std::array large_classes{
    std::string_view("proxy/engine/shard.hpp shard"),
    std::string_view("proxy/relay/pump.hpp pump"),
    std::string_view("proxy/session/session.hpp session"),
};

struct banned_word {
    std::string_view folder;  ///< empty: everywhere but tests
    const char* pattern;
    std::string_view why;
};

constexpr std::array banned_words{
    banned_word{"", R"(\bdetach(ed)?\b)", "swallows what goes wrong; own the thread or coroutine"},
    banned_word{"proxy", R"(\bsleep_(for|until)\b)", "a worker serves everybody; use a deadline"},
};

void add(findings& out, const source_text& source, std::size_t line, std::string_view what) {
    out.push_back(source.path() + ":" + std::to_string(line) + ": " + std::string(what));
}

bool is_standard(std::string_view header) {
    return header.find_first_of("/.") == std::string_view::npos;
}

/// What is wrong with an include of one of our own headers; empty if nothing is.
std::string refuse_own(const source_text& source, std::string_view header) {
    const std::string_view target = header.substr(0, header.find('/'));
    if (!header.ends_with(".hpp")) {
        return "include headers of our own (.hpp) in quotes, and nothing else";
    }
    if (target != "protocol" && target != "proxy" && target != "control" && target != "tests") {
        return "name our headers from the root of the repository";
    }
    if (source.folder() == "tests") {
        return "";
    }
    if (target == "tests") {
        return "nothing includes tests/";
    }
    const room* const from = room_of(rooms, source.path());
    return from == nullptr ? "" : refuse_room(rooms, *from, header);
}

std::string refuse_foreign(const source_text& source, std::string_view header) {
    if (source.folder() == "protocol") {
        const bool allowed = is_standard(header) || header.starts_with("openssl/") ||
                             header.starts_with("boost/system/");
        if (!allowed) {
            return "protocol sees only std, OpenSSL and Boost.System";
        }
    }
    const room* const from = room_of(rooms, source.path());
    return from == nullptr ? "" : refuse_library(*from, header);
}

std::size_t columns(std::string_view line) {
    return static_cast<std::size_t>(std::ranges::count_if(line, [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;  // UTF-8 continuation bytes
    }));
}

bool has_address(std::string_view line) {
    return line.find("https://") != std::string_view::npos ||
           line.find("http://") != std::string_view::npos;
}

/// Adds a finding for each line of `text` in which `pattern` is found.
void search_lines(
    findings& out,
    const source_text& source,
    const std::string& text,
    const char* pattern,
    std::string_view what
) {
    const std::regex wanted(pattern);
    const auto lines = split_lines(text);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (std::regex_search(lines[i].begin(), lines[i].end(), wanted)) {
            add(out, source, i + 1, what);
        }
    }
}

void check_columns(findings& out, const source_text& source) {
    for (std::size_t i = 0; i < source.lines().size(); ++i) {
        const std::string_view line = source.lines()[i];
        if (columns(line) > columns_max && !has_address(line) && !source.touches_raw_text(i)) {
            add(out, source, i + 1, "more than 100 columns");
        }
    }
}

}  // namespace

findings check_place(const source_text& source) {
    const std::string_view path = source.path();
    if (source.folder() == "tests" || room_of(rooms, path) != nullptr) {
        return {};
    }
    const bool is_common = std::ranges::any_of(common_headers, [&](std::string_view header) {
        return path.substr(0, path.rfind('.')) == header.substr(0, header.rfind('.'));
    });
    return is_common ? findings{} : findings{source.path() + ":1: is in no room"};
}

findings check_arrows(const source_text& source) {
    static const std::regex include(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
    findings out;
    const std::string directives = source.only(part::directive);
    const auto lines = split_lines(directives);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        std::match_results<std::string_view::const_iterator> found;
        if (!std::regex_search(lines[i].begin(), lines[i].end(), found, include)) {
            continue;
        }
        const std::string header = found[2].str();
        const std::string wrong =
            *found[1].first == '"' ? refuse_own(source, header) : refuse_foreign(source, header);
        if (!wrong.empty()) {
            add(out, source, i + 1, "includes " + header + ": " + wrong);
        }
    }
    return out;
}

findings check_sizes(const source_text& source) {
    findings out;
    if (source.lines().size() > file_lines_max) {
        add(out, source, source.lines().size(), "file has more than 450 lines");
    }
    check_columns(out, source);
    for (const function_extent& f : source.functions()) {
        if (f.last_line - f.first_line + 1 > function_lines_max) {
            add(out, source, f.first_line, "function has more than 60 lines: " + f.signature);
        }
    }
    return out;
}

findings check_classes(const source_text& source) {
    findings out;
    if (source.folder() == "tests") {
        return out;
    }
    for (const class_extent& each : classes_of(source)) {
        const bool is_large =
            each.functions > class_functions_max || each.booleans > class_booleans_max;
        if (std::ranges::find(large_classes, source.path() + " " + each.name) !=
            large_classes.end()) {
            if (!is_large) {
                add(out, source, each.line, "take it off the list of large classes: " + each.name);
            }
            continue;
        }
        if (each.functions > class_functions_max) {
            add(out, source, each.line, "class has more than 40 member functions: " + each.name);
        }
        if (each.booleans > class_booleans_max) {
            add(out, source, each.line, "class has more than 10 booleans: " + each.name);
        }
    }
    return out;
}

findings check_opening(const source_text& source) {
    const bool needs_one = !source.is_header() && source.folder() != "tests";
    if (!needs_one || source.lines().empty() || source.lines().front().starts_with("//")) {
        return {};
    }
    return {source.path() + ":1: does not open with a comment that says what is in it"};
}

/// Resuming such a coroutine of g++ 12 goes on at the wrong place.
findings check_awaits(const source_text& source) {
    static const std::regex in_condition(
        R"(\b(if|while|switch)\s*(constexpr\s*)?\([^;{]*\bco_await\b)"
    );
    static const std::regex in_choice(
        R"(\bco_await\b[^;{}]*(&&|\|\||\s\?\s)|(&&|\|\||\s\?\s)[^;{}]*\bco_await\b)"
    );
    findings out;
    const std::string code = source.only(part::code);
    if (code.find("co_await") == std::string::npos) {
        return out;
    }
    for (const std::regex* const wrong : {&in_condition, &in_choice}) {
        for (std::sregex_iterator at(code.begin(), code.end(), *wrong), end; at != end; ++at) {
            const auto before = code.begin() + at->position();
            const auto line = 1 + static_cast<std::size_t>(std::count(code.begin(), before, '\n'));
            add(out, source, line, "co_await in a condition or a choice; give it a name first");
        }
    }
    return out;
}

findings check_header(const source_text& source) {
    findings out;
    if (!source.is_header()) {
        return out;
    }
    if (source.only(part::directive).find("#pragma once") == std::string::npos) {
        add(out, source, 1, "header without #pragma once");
    }
    search_lines(
        out,
        source,
        source.only(part::code),
        R"(\busing\s+namespace\b)",
        "using namespace in a header"
    );
    return out;
}

findings check_words(const source_text& source) {
    findings out;
    const std::string code = source.only(part::code);
    for (const banned_word& word : banned_words) {
        const bool applies =
            word.folder.empty() ? source.folder() != "tests" : source.folder() == word.folder;
        if (applies) {
            search_lines(out, source, code, word.pattern, "banned: " + std::string(word.why));
        }
    }
    const std::string comments = source.only(part::comment);
    constexpr auto untagged = R"(\b(TODO|FIXME)\b(?!\(#[0-9]+\)))";
    search_lines(out, source, comments, untagged, "TODO without the number of an issue");
    return out;
}

findings check_source(const source_text& source) {
    findings out;
    for (const auto check :
         {check_place,
          check_arrows,
          check_sizes,
          check_classes,
          check_awaits,
          check_header,
          check_words}) {
        const findings found = check(source);
        out.insert(out.end(), found.begin(), found.end());
    }
    return out;
}

findings check_script(const std::string& path, const std::string& text) {
    findings out;
    const auto lines = split_lines(text);
    if (lines.size() > file_lines_max) {
        out.push_back(path + ": file has more than 450 lines");
    }
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (columns(lines[i]) > columns_max && !has_address(lines[i])) {
            out.push_back(path + ":" + std::to_string(i + 1) + ": more than 100 columns");
        }
    }
    return out;
}

findings check_readme(const std::string& path, const std::string& text, std::size_t lines_max) {
    if (text.empty()) {
        return {path + ": missing"};
    }
    if (split_lines(text).size() > lines_max) {
        return {path + ": more than " + std::to_string(lines_max) + " lines"};
    }
    return {};
}

findings check_folder(const std::string& path, std::size_t sources, std::size_t sources_max) {
    if (sources <= sources_max) {
        return {};
    }
    return {
        path + ": holds " + std::to_string(sources) + " sources, at most " +
        std::to_string(sources_max) + " are allowed"};
}

}  // namespace pgsluice::tidy
