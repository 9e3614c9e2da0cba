#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::tidy {

/// What a character of a source file belongs to.
enum class part : char { code, comment, text, raw_text, directive };

/// A function body with its signature, in lines counted from 1, both included.
struct function_extent {
    std::size_t first_line;
    std::size_t last_line;
    std::string signature;  ///< on one line, for messages
};

/// One C++ file, told apart into code, comments, literals and preprocessor directives. A scanner,
/// not a compiler: it knows raw strings, digit separators and continued lines, and no trigraphs.
class source_text {
public:
    /// `path` is relative to the repository, with forward slashes.
    source_text(std::string path, std::string text);

    const std::string& path() const noexcept { return path_; }

    /// "protocol", "proxy", "control", "tests": the first component of the path.
    std::string_view folder() const noexcept;

    bool is_header() const noexcept { return path_.ends_with(".hpp"); }

    /// The lines as they stand, without their ends. Views into this object.
    const std::vector<std::string_view>& lines() const noexcept { return lines_; }

    /// The file with everything blanked that is not of this part; line ends stay. Line N of the
    /// answer is line N of the file.
    std::string only(part wanted) const;

    /// Whether a character of line `index` (from 0) is inside a raw string literal.
    bool touches_raw_text(std::size_t index) const;

    /// Every function with a body, lambdas counted into the function around them. Namespaces and
    /// classes are looked into; initialisers and enumerations are not functions.
    std::vector<function_extent> functions() const;

private:
    void classify();
    std::size_t skip_literal(std::size_t at);
    std::size_t mark_until(std::size_t from, std::size_t end, part as);

    std::string path_;
    std::string text_;
    std::vector<part> parts_;  ///< one a character of text_
    std::vector<std::string_view> lines_;
};

/// The lines of a text, without their ends; a last line without an end counts.
std::vector<std::string_view> split_lines(std::string_view text);

}  // namespace pgsluice::tidy
