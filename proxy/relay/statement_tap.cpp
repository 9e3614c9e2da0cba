// Gathers the beginnings of statement texts, and what they tell of custom settings and prepared
// statements. Called for Query, Parse and a few answers, never for rows.

#include "proxy/relay/statement_tap.hpp"

#include "protocol/sql/sql_scan.hpp"
#include "protocol/wire/messages.hpp"

#include <algorithm>
#include <cstring>
#include <strings.h>

namespace pgsluice::proxy {

namespace {

bool begins_with_discard(std::string_view text) noexcept {
    static constexpr std::string_view word = "discard";
    const std::size_t start = text.find_first_not_of(" \t\r\n");
    return start != std::string_view::npos && text.size() - start > word.size() &&
           strncasecmp(text.data() + start, word.data(), word.size()) == 0;
}

}  // namespace

void statement_tap::on_message(const message& m) {
    gather_remaining_ = 0;
    if (m.body_so_far.size() == m.body_bytes) {
        take(m.type, m.body_so_far);
        return;
    }
    gather_type_ = m.type;
    gather_remaining_ = m.body_bytes - static_cast<std::uint32_t>(m.body_so_far.size());
    gathered_.assign(m.body_so_far.begin(), m.body_so_far.end());
}

void statement_tap::on_body(byte_view part) {
    gather_remaining_ -= static_cast<std::uint32_t>(part.size());
    const std::size_t room = body_bytes_max - std::min(body_bytes_max, gathered_.size());
    const byte_view kept = part.first(std::min(room, part.size()));
    gathered_.insert(gathered_.end(), kept.begin(), kept.end());
    if (gather_remaining_ == 0) {
        take(gather_type_, gathered_);
        gathered_ = {};
    }
}

void statement_tap::take(std::uint8_t type, byte_view body) {
    if (type == protocol::frontend::Query) {
        take_query(body);
    } else if (type == protocol::frontend::Parse) {
        take_parse(body);
    } else {
        take_bind(body);
    }
}

void statement_tap::take_query(byte_view body) {
    unnamed_.clear();  // a simple Query destroys the unnamed statement
    scan({reinterpret_cast<const char*>(body.data()), body.empty() ? 0 : body.size() - 1});
}

void statement_tap::take_parse(byte_view body) {
    ++parses_sent_;
    const auto name_end = std::find(body.begin(), body.end(), std::uint8_t{0});
    if (name_end == body.end()) {
        return;
    }
    if (name_end == body.begin()) {
        last_unnamed_ = parses_sent_;
        unnamed_doubt_ = body.size() >= body_bytes_max;
        if (unnamed_doubt_) {
            unnamed_ = {};
        } else {
            unnamed_.assign(reinterpret_cast<const char*>(body.data()), body.size());
        }
    }
    const auto text = body.subspan(static_cast<std::size_t>(name_end - body.begin()) + 1);
    const auto text_end = std::find(text.begin(), text.end(), std::uint8_t{0});
    const auto text_bytes = static_cast<std::size_t>(text_end - text.begin());
    const auto bound = scan({reinterpret_cast<const char*>(text.data()), text_bytes});
    const std::string name(body.begin(), name_end);
    if (!bound.empty() && name_arguments_.size() < name_statements_max) {
        name_arguments_[name] = bound;
    } else if (!bound.empty()) {
        names_incomplete_ = true;
    } else if (!name_arguments_.empty()) {
        name_arguments_.erase(name);
    }
}

/// Values that name a setting: set_config($1, $2, false).
void statement_tap::take_bind(byte_view body) {
    const auto bind = protocol::decode_bind(body);
    if (!bind) {
        return;
    }
    const auto found = name_arguments_.find(std::string(bind->statement));
    if (found == name_arguments_.end()) {
        return;
    }
    unsigned number = 0;
    for (const auto value : bind->parameters) {
        ++number;
        const auto& wanted = found->second;
        if (value && std::find(wanted.begin(), wanted.end(), number) != wanted.end()) {
            const std::string name = protocol::custom_name(protocol::as_text(*value));
            if (!name.empty()) {
                names_.learn(name);
            }
        }
    }
}

/// Learns what the text tells; returns the numbers of parameters whose values name settings.
std::vector<unsigned> statement_tap::scan(std::string_view text) {
    preview_size_ = static_cast<std::uint8_t>(std::min(text.size(), query_preview_bytes));
    std::copy_n(text.begin(), preview_size_, preview_.begin());
    protocol::sql_scan_result found;
    protocol::scan_sql(text, found);
    for (const std::string& name : found.names) {
        names_.learn(name);
    }
    names_incomplete_ = names_incomplete_ || found.names_incomplete;
    uses_currval_ = uses_currval_ || found.uses_currval;
    discard_seen_ = discard_seen_ || (uses_currval_ && begins_with_discard(text));
    return std::move(found.name_parameters);
}

void statement_tap::on_error() noexcept {
    if (!error_seen_) {
        error_seen_ = true;
        done_at_error_ = parses_done_;
    }
}

/// DISCARD SEQUENCES and DISCARD ALL forget what currval() and lastval() would tell.
void statement_tap::on_tag(std::string_view tag) noexcept {
    if (tag.starts_with("DISCARD SEQUENCES") || tag.starts_with("DISCARD ALL")) {
        uses_currval_ = false;
    }
}

void statement_tap::on_quiet() noexcept {
    discard_seen_ = false;
    // After the first error some Parse messages were skipped by the server. Those answered before
    // it were not.
    if (error_seen_ && last_unnamed_ != 0 && done_at_error_ < last_unnamed_) {
        unnamed_doubt_ = true;
    }
    error_seen_ = false;
    parses_sent_ = 0;
    parses_done_ = 0;
    last_unnamed_ = 0;
    done_at_error_ = 0;
}

}  // namespace pgsluice::proxy
