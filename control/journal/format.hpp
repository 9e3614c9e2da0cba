#pragma once

#include "protocol/errors.hpp"

#include <boost/json/object.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pgsluice::control {

/// One durable statement of intent or fact.
struct journal_record {
    std::uint64_t seq = 0;   ///< 1, 2, 3, ... without gaps within a file
    std::int64_t at_ms = 0;  ///< wall clock, unix time; for people, nothing is decided by it
    std::string service;     ///< empty for the daemon itself
    std::string kind;
    boost::json::object payload;
    bool operator==(const journal_record&) const = default;
};

/// The record as one line of the journal.
std::string encode_record(const journal_record& record);

/// What a journal file holds.
struct decoded_journal {
    std::vector<journal_record> records;
    std::size_t valid_bytes = 0;  ///< everything after is a torn tail, never acknowledged
};

/// Reads a whole journal. A last record that was being written when the power failed is cut off
/// (valid_bytes < text.size()). Any other damage is a failure that names the byte offset: such a
/// record may have been acknowledged, so guessing could serve the wrong side.
result<decoded_journal> decode_journal(std::string_view text);

}  // namespace pgsluice::control
