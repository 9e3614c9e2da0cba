#include "proxy/statement_tap.hpp"

#include <algorithm>
#include <cstring>

namespace pgsluice::proxy {

void statement_tap::on_message(const message& m) {
    gather_remaining_ = 0;
    if (m.body_so_far.size() == m.body_bytes) {
        m.type == 'Q' ? take_query(m.body_so_far) : take_parse(m.body_so_far);
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
        gather_type_ == 'Q' ? take_query(gathered_) : take_parse(gathered_);
        gathered_ = {};
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
    const auto* text_end = static_cast<const std::uint8_t*>(
        std::memchr(text.data(), 0, text.size())
    );
    if (text_end != nullptr) {
        scan(
            {reinterpret_cast<const char*>(text.data()),
             static_cast<std::size_t>(text_end - text.data())}
        );
    }
}

void statement_tap::on_error() noexcept {
    if (!error_seen_) {
        error_seen_ = true;
        done_at_error_ = parses_done_;
    }
}

void statement_tap::on_quiet() noexcept {
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
