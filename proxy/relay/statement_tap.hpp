#pragma once

#include "protocol/wire/frame.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::proxy {

/// Hears of setting names seen in statement text for the first time by a session's worker.
class name_listener {
public:
    virtual void learn(std::string_view custom_setting) = 0;

protected:
    ~name_listener() = default;
};

/// What can be known of a session only from the statement texts on its wire: the client's unnamed
/// prepared statement, names of custom settings, use of currval(). Looks at Query, Parse and Bind
/// bodies in place where they arrive whole, else gathers up to `body_bytes_max` of them.
class statement_tap {
public:
    using message = protocol::frame_cursor::message;
    using byte_view = protocol::frame_cursor::byte_view;

    static constexpr std::size_t body_bytes_max = 64 * 1024;
    static constexpr std::size_t query_preview_bytes = 160;

    explicit statement_tap(name_listener& names) noexcept : names_(names) {}

    /// A Query, Parse or (where wants_bind()) Bind message is being forwarded.
    void on_message(const message& m);
    bool wants_bind() const noexcept { return !name_arguments_.empty(); }
    /// A further part of it.
    void on_body(byte_view part);
    bool gathering() const noexcept { return gather_remaining_ != 0; }

    void on_parse_complete() noexcept { ++parses_done_; }
    /// A CommandComplete may end a DISCARD that was seen: look at its tag.
    bool wants_tag() const noexcept { return discard_seen_; }
    void on_tag(std::string_view tag) noexcept;
    void on_error() noexcept;
    /// Every request has been answered.
    void on_quiet() noexcept;

    /// The body of the last Parse message for the unnamed statement (name, text, types), if it is
    /// known which one the server has; empty when it is not or there was none.
    std::string_view unnamed_parse() const noexcept { return unnamed_; }
    /// A failed pipeline left it open which text the unnamed statement has, if there is one, or the
    /// text was too long to keep.
    bool unnamed_in_doubt() const noexcept { return unnamed_doubt_; }

    /// A custom setting's name was computed or bound, so that it cannot be known.
    bool names_incomplete() const noexcept { return names_incomplete_; }
    bool uses_currval() const noexcept { return uses_currval_; }

    /// The beginning of the last statement text.
    std::string_view last_text() const noexcept { return {preview_.data(), preview_size_}; }

private:
    static constexpr std::size_t name_statements_max = 100;

    void take(std::uint8_t type, byte_view body);
    void take_query(byte_view body);
    void take_parse(byte_view body);
    void take_bind(byte_view body);
    std::vector<unsigned> scan(std::string_view text);

    name_listener& names_;
    std::string unnamed_;
    std::map<std::string, std::vector<unsigned>> name_arguments_;  ///< by statement name
    std::vector<std::uint8_t> gathered_;
    std::uint32_t gather_remaining_ = 0;
    std::uint32_t parses_sent_ = 0;  ///< since everything was last answered
    std::uint32_t parses_done_ = 0;
    std::uint32_t last_unnamed_ = 0;  ///< which of them was the last unnamed one; 0 none
    std::uint32_t done_at_error_ = 0;
    std::uint8_t gather_type_ = 0;
    std::uint8_t preview_size_ = 0;
    bool error_seen_ = false;
    bool unnamed_doubt_ = false;
    bool names_incomplete_ = false;
    bool uses_currval_ = false;
    bool discard_seen_ = false;  ///< a statement that begins with DISCARD is not answered yet
    std::array<char, query_preview_bytes> preview_{};
};

}  // namespace pgsluice::proxy
