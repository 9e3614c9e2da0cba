// The table of rooms: what each may see of the others and of the libraries. The link lines in the
// CMakeLists.txt files say the same to the linker.
#include "tests/tidy/rooms.hpp"

#include <algorithm>
#include <map>

namespace pgsluice::tidy {

namespace {

using names = std::vector<std::string_view>;

/// Everything of these lists, one behind the other.
names all_of(std::initializer_list<names> lists) {
    names out;
    for (const names& list : lists) {
        out.insert(out.end(), list.begin(), list.end());
    }
    return out;
}

const names protocol_rooms{
    "protocol/wire",
    "protocol/auth",
    "protocol/sql",
    "protocol/conversation",
    "protocol/guard",
    "protocol/console",
};

const names proxy_values{"proxy/model", "proxy/access"};

/// What the control plane may know of the data plane.
const names proxy_faces{
    "proxy/model",
    "proxy/access",
    "proxy/net/endpoint.hpp",
    "proxy/net/resolve.hpp",
    "proxy/net/tls_context.hpp",
};

const names preflight_values{
    "control/preflight/check_row.hpp",
    "control/preflight/expectations.hpp",
};

names with_protocol(std::initializer_list<names> lists) {
    return all_of({protocol_rooms, all_of(lists)});
}

}  // namespace

const std::vector<std::string_view> guarded_libraries{
    "libpq-fe.h",
    "yaml-cpp/",
    "CLI/",
    "spdlog/",
    "boost/json",
    "boost/asio",
    "openssl/",
    "pg_query.h",
};

const std::vector<std::string_view> common_headers{"protocol/errors.hpp"};

const std::vector<room> rooms{
    {"protocol/wire", {}, {}},
    {"protocol/auth", {"protocol/wire"}, {"openssl/"}},
    {"protocol/sql", {}, {}},
    {"protocol/conversation", {"protocol/wire"}, {}},
    {"protocol/guard", {"protocol/wire", "protocol/sql"}, {}},
    {"protocol/console", {"protocol/wire", "protocol/sql"}, {}},

    {"proxy/net", protocol_rooms, {"boost/asio", "openssl/"}},
    {"proxy/access", with_protocol({{"proxy/net/endpoint.hpp"}}), {}},
    {"proxy/image", protocol_rooms, {"boost/json", "pg_query.h"}},
    {"proxy/model", with_protocol({{"proxy/net", "proxy/access", "proxy/image/pins.hpp"}}), {}},
    {"proxy/leg", with_protocol({{"proxy/net", "proxy/image", "proxy/model"}}), {"openssl/"}},
    {"proxy/relay", with_protocol({{"proxy/net", "proxy/model"}}), {}},
    {"proxy/session",
     with_protocol({
         {"proxy/net", "proxy/access", "proxy/image", "proxy/model", "proxy/leg", "proxy/relay"},
     }),
     {"boost/asio", "openssl/", "spdlog/"}},
    {"proxy/engine",
     with_protocol({
         {"proxy/net", "proxy/access", "proxy/image", "proxy/model"},
         {"proxy/leg", "proxy/relay", "proxy/session"},
     }),
     {"boost/asio", "spdlog/"}},

    {"control/base", protocol_rooms, {"boost/json"}},
    {"control/config",
     with_protocol({{"control/base"}, proxy_faces}),
     {"boost/json", "libpq-fe.h", "yaml-cpp/"}},
    {"control/records",
     with_protocol({{"control/base", "control/config"}, proxy_values}),
     {"boost/json"}},
    {"control/commands", with_protocol({{"control/base", "proxy/access"}}), {"boost/json"}},
    {"control/journal",
     with_protocol({{"control/base", "control/records"}, proxy_values}),
     {"boost/json"}},
    {"control/postgres",
     with_protocol({{"control/base", "control/config", "control/records"}, proxy_values}),
     {"libpq-fe.h", "spdlog/"}},
    {"control/preflight",
     with_protocol({
         {"control/base", "control/config", "control/records", "control/postgres"},
         proxy_values,
     }),
     {}},
    {"control/cutover",
     with_protocol({
         {"control/base", "control/config", "control/records"},
         preflight_values,
         proxy_values,
     }),
     {}},
    {"control/servers",
     with_protocol({
         {"control/base", "control/config", "control/records"},
         {"control/postgres", "control/preflight", "control/cutover"},
         proxy_values,
     }),
     {"spdlog/"}},
    {"control/stages",
     with_protocol({
         {"control/base", "control/config", "control/records", "control/commands/outcome.hpp"},
         proxy_values,
     }),
     {"boost/json", "spdlog/"}},
    {"control/metrics", with_protocol({{"control/base", "proxy/model"}}), {}},
    {"control/render", {"control/base"}, {"boost/json"}},
    {"control/service",
     with_protocol({
         {"control/base", "control/config", "control/records", "control/commands"},
         {"control/journal", "control/postgres", "control/cutover", "control/stages"},
         preflight_values,
         proxy_values,
         {"proxy/engine/engine.hpp"},
     }),
     {"boost/json", "spdlog/"}},
    {"control/console",
     with_protocol({
         {"control/base", "control/config", "control/commands", "control/render"},
         {"control/metrics", "proxy/model"},
     }),
     {"boost/json", "spdlog/"}},
    {"control/socket",
     {"control/base", "control/commands"},
     {"boost/asio", "boost/json", "spdlog/"}},
    {"control/daemon",
     with_protocol({
         {"control/base", "control/config", "control/records", "control/commands"},
         {"control/journal", "control/postgres", "control/preflight", "control/stages"},
         {"control/metrics", "control/render", "control/service", "control/console"},
         {"control/socket", "control/cutover/world.hpp"},
         proxy_faces,
         {"proxy/engine/engine.hpp"},
     }),
     {"boost/asio", "boost/json", "spdlog/"}},
    {"control/main.cpp",
     {"control/base", "control/config", "control/servers", "control/daemon"},
     {"CLI/", "boost/asio", "spdlog/"}},
    {"control/cli.cpp",
     {"control/base", "control/commands", "control/socket", "control/render"},
     {"CLI/", "boost/json"}},
};

const room* room_of(std::span<const room> table, std::string_view path) {
    for (const room& each : table) {
        const bool is_inside = path.starts_with(each.path) && path.size() > each.path.size() &&
                               path[each.path.size()] == '/';
        if (path == each.path || is_inside) {
            return &each;
        }
    }
    return nullptr;
}

std::string refuse_room(std::span<const room> table, const room& from, std::string_view header) {
    const room* const target = room_of(table, header);
    if (target == &from || std::ranges::find(common_headers, header) != common_headers.end()) {
        return "";
    }
    if (target == nullptr) {
        return "it is in no room";
    }
    const bool is_seen = std::ranges::any_of(from.sees, [&](std::string_view seen) {
        return seen == target->path || seen == header;
    });
    if (is_seen) {
        return "";
    }
    return std::string(from.path) + " does not see it; the table is in tests/tidy/rooms.cpp";
}

std::string refuse_library(const room& from, std::string_view header) {
    for (const std::string_view guarded : guarded_libraries) {
        if (header.starts_with(guarded) &&
            std::ranges::find(from.libraries, guarded) == from.libraries.end()) {
            return std::string(from.path) + " does not use this library";
        }
    }
    return "";
}

namespace {

/// Visits rooms depth first; a room that is met again while it is being visited closes a circle.
class circle_finder {
public:
    circle_finder(std::span<const room> table, std::vector<std::string>& out)
        : table_(table), out_(out) {}

    void visit(const room& at) {
        state& mine = states_[at.path];
        if (mine == state::open) {
            out_.push_back("circle of rooms through " + std::string(at.path));
        }
        if (mine != state::fresh) {
            return;
        }
        mine = state::open;
        for (const std::string_view seen : at.sees) {
            if (const room* const next = room_of(table_, seen)) {
                visit(*next);
            }
        }
        states_[at.path] = state::closed;
    }

private:
    enum class state { fresh, open, closed };
    std::span<const room> table_;
    std::vector<std::string>& out_;
    std::map<std::string_view, state> states_;
};

}  // namespace

std::vector<std::string> check_table(std::span<const room> table) {
    std::vector<std::string> out;
    std::map<std::string_view, int> named;
    circle_finder circles(table, out);
    for (const room& each : table) {
        if (++named[each.path] == 2) {
            out.push_back("room " + std::string(each.path) + " is named twice");
        }
        for (const std::string_view seen : each.sees) {
            if (room_of(table, seen) == nullptr) {
                out.push_back(std::string(each.path) + " sees no room: " + std::string(seen));
            }
        }
        for (const std::string_view library : each.libraries) {
            if (std::ranges::find(guarded_libraries, library) == guarded_libraries.end()) {
                out.push_back(
                    std::string(each.path) + " lists no guarded library: " + std::string(library)
                );
            }
        }
        circles.visit(each);
    }
    return out;
}

}  // namespace pgsluice::tidy
