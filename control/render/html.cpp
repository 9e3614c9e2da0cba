// The verdicts of a preflight, and the report of a cutover, as a page.
#include "control/render/html.hpp"

#include "control/base/json_fields.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace pgsluice::control {

namespace {

namespace json = boost::json;

constexpr std::string_view style = R"(<style>
body { font: 15px/1.4 sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em; border-top: 1px solid #ccc; }
td.number { text-align: right; }
code { white-space: pre-wrap; }
.bar { background: #69c; height: 1em; min-width: 1px; }
.paused .bar { background: #d73; }
.error td:first-child { background: #d33; color: #fff; }
.warn td:first-child { background: #fc3; }
.ok td:first-child { background: #3a5; color: #fff; }
</style></head><body>
)";
constexpr double bar_pixels_max = 300;

std::string count_of(const json::object& from, std::string_view name) {
    const json::value* found = from.if_contains(name);
    return found == nullptr ? "0" : json::serialize(*found);
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '&':
            out += "&amp;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '"':
            out += "&quot;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

std::string page_start(const std::string& title) {
    return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>pgsluice: " +
           escaped(title) + "</title>" + std::string(style) + "<h1>" + escaped(title) + "</h1>\n";
}

constexpr std::string_view page_end = "</body></html>\n";

const json::array& list_of(const json::object& from, std::string_view name) {
    static const json::array none;
    const json::value* found = from.if_contains(name);
    const json::array* list = found == nullptr ? nullptr : found->if_array();
    return list == nullptr ? none : *list;
}

double number_of(const json::object& from, std::string_view name) {
    const json::value* found = from.if_contains(name);
    boost::system::error_code error;
    const double number = found == nullptr ? 0 : found->to_number<double>(error);
    return error ? 0 : number;
}

std::string ms_text(double ms) {
    char text[48];
    std::snprintf(text, sizeof text, ms < 10 ? "%.1f ms" : "%.0f ms", ms);
    return text;
}

std::string bar(double share) {
    const auto pixels = static_cast<int>(share * bar_pixels_max);
    return "<div class=\"bar\" style=\"width:" + std::to_string(pixels) + "px\"></div>";
}

/// One row an element, the last column a bar that shows `of` against the largest.
template <typename Row>
std::string bar_table(const json::array& list, std::string_view of, const Row& row) {
    double largest = 0;
    for (const json::value& each : list) {
        largest = std::max(largest, number_of(each.as_object(), of));
    }
    std::string out;
    for (const json::value& each : list) {
        const double share = largest > 0 ? number_of(each.as_object(), of) / largest : 0;
        out += row(each.as_object()) + "<td>" + bar(share) + "</td></tr>\n";
    }
    return out + "</table>\n";
}

std::string steps_table(const json::object& result) {
    const auto row = [](const json::object& step) {
        const json::value* in_pause = step.if_contains("in_pause");
        const bool is_paused = in_pause != nullptr && *in_pause == true;
        return std::string(is_paused ? "<tr class=\"paused\">" : "<tr>") + "<td>" +
               escaped(text_in(step, "step")) + "</td><td>" + escaped(text_in(step, "text")) +
               "</td><td class=\"number\">" + ms_text(number_of(step, "took_ms")) + "</td>";
    };
    return "<h2>Where the time went</h2>\n<p>Orange: while clients waited.</p>\n"
           "<table><tr><th>step</th><th>did</th><th>took</th><th></th></tr>\n" +
           bar_table(list_of(result, "steps"), "took_ms", row);
}

std::string stalls_table(const json::object& result) {
    const json::array& stalls = list_of(result, "stalls");
    if (stalls.empty()) {
        return "<h2>How long clients waited</h2>\n<p>No client had to wait.</p>\n";
    }
    const auto row = [](const json::object& stall) {
        const json::value* to = stall.if_contains("to_ms");
        const bool is_open = to == nullptr || to->is_null();
        return "<tr><td class=\"number\">" + count_of(stall, "from_ms") + " ms" +
               (is_open ? " and more" : " to " + count_of(stall, "to_ms") + " ms") +
               "</td><td class=\"number\">" + count_of(stall, "waits") + "</td>";
    };
    return "<h2>How long clients waited</h2>\n<p>The longest: " +
           ms_text(number_of(result, "longest_stall_ms")) +
           "</p>\n<table><tr><th>for</th><th>waits</th><th></th></tr>\n" +
           bar_table(stalls, "waits", row);
}

std::string lines_of(const json::object& result, std::string_view name, std::string_view title) {
    std::string out;
    for (const json::value& each : list_of(result, name)) {
        out += "<li>" + escaped(std::string_view(each.as_string())) + "</li>\n";
    }
    return out.empty() ? out : "<h2>" + std::string(title) + "</h2>\n<ul>\n" + out + "</ul>\n";
}

std::string checks_table(const json::object& result) {
    std::string out =
        "<table><tr><th></th><th>check</th><th>verdict</th><th>what mends it</th></tr>\n";
    for (const json::value& each : list_of(result, "checks")) {
        const json::object& row = each.as_object();
        const std::string level = escaped(text_in(row, "level"));
        out += "<tr class=\"" + level + "\"><td>" + level + "</td><td>" +
               escaped(text_in(row, "check")) + "</td><td>" + escaped(text_in(row, "text")) +
               "</td><td><code>" + escaped(text_in(row, "hint")) + "</code></td></tr>\n";
    }
    return out + "</table>\n";
}

std::string from_and_to(const json::object& result) {
    return " from " + text_in(result, "from") + " to " + text_in(result, "to");
}

}  // namespace

std::string verdicts_page(const json::object& result) {
    return page_start("Preflight" + from_and_to(result)) + "<p>" + count_of(result, "error") +
           " errors, " + count_of(result, "warn") + " warnings, " + count_of(result, "ok") +
           " ok, " + count_of(result, "off") + " off</p>\n" + checks_table(result) +
           std::string(page_end);
}

std::string report_page(const json::object& result) {
    std::string page = page_start("Cutover" + from_and_to(result)) + "<p><b>" +
                       escaped(text_in(result, "outcome")) +
                       "</b>: " + escaped(text_in(result, "text")) + "</p>\n";
    if (const std::string hint = text_in(result, "hint"); !hint.empty()) {
        page += "<p>What to do: " + escaped(hint) + "</p>\n";
    }
    if (const std::string back = text_in(result, "way_back"); !back.empty()) {
        page += "<p>Reverse replication: " + escaped(back) + "</p>\n";
    }
    page += "<p>The gate was closed for " + ms_text(number_of(result, "held_ms")) + ": " +
            ms_text(number_of(result, "drained_ms")) + " for the clients' own transactions, " +
            ms_text(number_of(result, "waited_ms")) + " for replication and promotion, " +
            ms_text(number_of(result, "added_ms")) + " for the rest.</p>\n";
    return page + stalls_table(result) + steps_table(result) +
           lines_of(result, "rows", "In question") +
           lines_of(result, "left_behind", "Ended because they could not be moved") +
           "<h2>What was checked</h2>\n" + checks_table(result) + std::string(page_end);
}

}  // namespace pgsluice::control
