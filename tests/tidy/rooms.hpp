#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::tidy {

/// A folder below protocol/, proxy/ or control/, or a program at their top, and all that it sees.
/// Nothing is inherited: a room does not see what the rooms that it sees see.
struct room {
    std::string_view path;               ///< "control/cutover", or "control/main.cpp"
    std::vector<std::string_view> sees;  ///< rooms, or single headers where only those are open
    std::vector<std::string_view> libraries{};  ///< beginnings of headers, out of guarded_libraries
};

/// Every room, those that see least first within each top-level folder.
extern const std::vector<room> rooms;

/// Libraries that only the rooms which name them may include, by the beginnings of their headers.
extern const std::vector<std::string_view> guarded_libraries;

/// Headers at the top of a folder that every room of this folder and of those above it sees.
extern const std::vector<std::string_view> common_headers;

/// The room that a source belongs to; null when there is none.
const room* room_of(std::span<const room> table, std::string_view path);

/// Why a source of `from` may not include `header` (our own, named from the root); empty if it may.
std::string refuse_room(std::span<const room> table, const room& from, std::string_view header);

/// Why a source of `from` may not include `header` of a library; empty if it may.
std::string refuse_library(const room& from, std::string_view header);

/// What is wrong with a table: a room named twice, something seen that is no room, a circle.
std::vector<std::string> check_table(std::span<const room> table);

}  // namespace pgsluice::tidy
