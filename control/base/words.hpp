#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// The candidate that `word` was most likely meant to be: the smallest edit distance (insertion,
/// deletion, substitution, swap of neighbours), at most a third of the word's length and at least 1
/// edit tolerated. Empty when nothing is near. The view is the candidate's own.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// `; did you mean "NEAREST"?` or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

/// `a, b or c`, for "expected ..." texts.
std::string one_of(std::span<const std::string_view> words);

/// What blanks separate.
std::vector<std::string> words(std::string_view text);

/// "1 session", "2 sessions".
std::string counted(std::size_t n, std::string_view noun);

}  // namespace pgsluice::control
