// One function a rule, over source_text; the lists that a rule needs stand at the top.
#include "tests/tidy/rules.hpp"

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>

namespace pgsluice::tidy {

namespace {

/// What control may know of the data plane: how to drive it, what to tell it, what it tells.
constexpr std::array control_sees{
    std::string_view("proxy/access/address_set.hpp"),
    std::string_view("proxy/engine/engine.hpp"),
    std::string_view("proxy/model/session_info.hpp"),
    std::string_view("proxy/access/login_rules.hpp"),
    std::string_view("proxy/model/operator_console.hpp"),
    std::string_view("proxy/model/service_settings.hpp"),
    std::string_view("proxy/access/secret_source.hpp"),
    std::string_view("proxy/model/stats.hpp"),
    std::string_view("proxy/net/tls_context.hpp"),
    std::string_view("proxy/access/user_maps.hpp"),
};

/// The control plane's libraries. The data plane neither parses configuration nor blocks in libpq.
constexpr std::array control_alone{
    std::string_view("libpq-fe.h"),
    std::string_view("yaml-cpp/"),
    std::string_view("CLI/"),
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

template <class List>
bool any_prefix(const List& list, std::string_view text) {
    return std::any_of(list.begin(), list.end(), [&](std::string_view prefix) {
        return text.starts_with(prefix);
    });
}

void add(findings& out, const source_text& source, std::size_t line, std::string_view what) {
    out.push_back(source.path() + ":" + std::to_string(line) + ": " + std::string(what));
}

bool is_standard(std::string_view header) {
    return header.find_first_of("/.") == std::string_view::npos;
}

/// What is wrong with this include in this folder; empty if nothing is.
std::string_view refuse_own(std::string_view folder, std::string_view header) {
    const std::string_view target = header.substr(0, header.find('/'));
    if (!header.ends_with(".hpp")) {
        return "include headers of our own (.hpp) in quotes, and nothing else";
    }
    if (target != "protocol" && target != "proxy" && target != "control" && target != "tests") {
        return "name our headers from the root of the repository";
    }
    if (folder == "tests" || target == folder) {
        return "";
    }
    if (target == "tests") {
        return "nothing includes tests/";
    }
    if (folder == "protocol" || target == "control") {
        return "against the arrows control -> proxy -> protocol";
    }
    if (target == "proxy" && std::ranges::find(control_sees, header) == control_sees.end()) {
        return "control sees only proxy's engine, admission, directive, login_rules, "
               "operator_console, route, secret_source, stats, tls and user_maps";
    }
    return "";
}

std::string_view refuse_foreign(std::string_view folder, std::string_view header) {
    if (folder == "protocol") {
        const bool allowed = is_standard(header) || header.starts_with("openssl/") ||
                             header.starts_with("boost/system/");
        return allowed ? "" : "protocol sees only std, OpenSSL and Boost.System";
    }
    if (folder == "proxy" && any_prefix(control_alone, header)) {
        return "a library of control's alone";
    }
    return "";
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
        const std::string_view wrong = *found[1].first == '"'
                                           ? refuse_own(source.folder(), header)
                                           : refuse_foreign(source.folder(), header);
        if (!wrong.empty()) {
            add(out, source, i + 1, "includes " + header + ": " + std::string(wrong));
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
            add(out, source, f.first_line, "function has more than 70 lines: " + f.signature);
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
    for (const auto check : {check_arrows, check_sizes, check_header, check_words}) {
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

findings check_readme(const std::string& path, const std::string& text) {
    if (text.empty()) {
        return {path + ": missing"};
    }
    if (split_lines(text).size() > readme_lines_max) {
        return {path + ": more than 60 lines"};
    }
    return {};
}

}  // namespace pgsluice::tidy
