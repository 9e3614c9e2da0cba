// The verdicts of a preflight as a page.
#include "control/report_html.hpp"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include <string_view>

namespace pgsluice::control {

namespace {

namespace json = boost::json;

constexpr std::string_view head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>pgsluice preflight</title><style>
body { font: 15px/1.4 sans-serif; margin: 2em; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .3em .8em; border-top: 1px solid #ccc; }
code { white-space: pre-wrap; }
.error td:first-child { background: #d33; color: #fff; }
.warn td:first-child { background: #fc3; }
.ok td:first-child { background: #3a5; color: #fff; }
</style></head><body>
)";

std::string text_of(const json::object& from, std::string_view name) {
    const json::value* found = from.if_contains(name);
    const json::string* text = found == nullptr ? nullptr : found->if_string();
    return text == nullptr ? std::string() : std::string(*text);
}

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

}  // namespace

std::string verdicts_page(const json::object& result) {
    std::string page(head);
    page += "<h1>Preflight from " + escaped(text_of(result, "from")) + " to " +
            escaped(text_of(result, "to")) + "</h1>\n<p>" + count_of(result, "error") +
            " errors, " + count_of(result, "warn") + " warnings, " + count_of(result, "ok") +
            " ok, " + count_of(result, "off") + " off</p>\n" +
            "<table><tr><th></th><th>check</th><th>verdict</th><th>what mends it</th></tr>\n";
    const json::value* checks = result.if_contains("checks");
    const json::array* rows = checks == nullptr ? nullptr : checks->if_array();
    for (const json::value& each : rows == nullptr ? json::array() : *rows) {
        const json::object& row = each.as_object();
        const std::string level = escaped(text_of(row, "level"));
        page += "<tr class=\"" + level + "\"><td>" + level + "</td><td>" +
                escaped(text_of(row, "check")) + "</td><td>" + escaped(text_of(row, "text")) +
                "</td><td><code>" + escaped(text_of(row, "hint")) + "</code></td></tr>\n";
    }
    return page + "</table></body></html>\n";
}

}  // namespace pgsluice::control
