// The journal's bytes:
//
//   journal = { record }
//   record  = crc SP payload LF
//   crc     = 8 hexadecimal digits: CRC-32C (RFC 3720, appendix B.4) of payload
//   payload = JSON object without line breaks:
//             {"seq": N, "at": UNIX_MS, "service": TEXT, "kind": TEXT, "data": {...}}
//
// A record is acknowledged only after fdatasync(), and the next is written only then, so that at
// most the last one can be torn. Torn means: its end is missing, or sectors of it were never
// written and read as zeros. A complete line whose checksum is wrong is not torn but damaged.
#include "control/journal/format.hpp"

#include <boost/crc.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <cstdio>
#include <optional>

namespace pgsluice::control {
namespace {

namespace json = boost::json;

constexpr std::size_t crc_digits = 8;
constexpr std::size_t sector_bytes = 512;

std::uint32_t crc32c(std::string_view text) {
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
    crc.process_bytes(text.data(), text.size());
    return crc.checksum();
}

std::optional<journal_record> decode_payload(std::string_view payload) {
    boost::system::error_code error;
    json::value parsed = json::parse(payload, error);
    if (error || !parsed.is_object()) {
        return std::nullopt;
    }
    json::object& fields = parsed.get_object();
    const json::value* seq = fields.if_contains("seq");
    const json::value* at = fields.if_contains("at");
    const json::value* service = fields.if_contains("service");
    const json::value* kind = fields.if_contains("kind");
    json::value* data = fields.if_contains("data");
    if (seq == nullptr || !seq->is_int64() || at == nullptr || !at->is_int64() ||
        service == nullptr || !service->is_string() || kind == nullptr || !kind->is_string() ||
        data == nullptr || !data->is_object()) {
        return std::nullopt;
    }
    return journal_record{
        static_cast<std::uint64_t>(seq->get_int64()),
        at->get_int64(),
        std::string(service->get_string()),
        std::string(kind->get_string()),
        std::move(data->get_object())};
}

/// `line` is a record without its LF.
std::optional<journal_record> decode_line(std::string_view line) {
    if (line.size() <= crc_digits || line[crc_digits] != ' ') {
        return std::nullopt;
    }
    std::uint32_t crc = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + crc_digits, crc, 16);
    const std::string_view payload = line.substr(crc_digits + 1);
    if (error != std::errc{} || end != line.data() + crc_digits || crc != crc32c(payload)) {
        return std::nullopt;
    }
    return decode_payload(payload);
}

/// True when zeros from `from` on reach the end of a sector or of the file: what a write that never
/// got to the disk leaves behind. A damaged byte that happens to be zero is not one.
bool has_unwritten_sector(std::string_view text, std::size_t from) {
    std::size_t at = text.find('\0', from);
    while (at != std::string_view::npos) {
        const std::size_t end = std::min(text.find_first_not_of('\0', at), text.size());
        if (end == text.size() || end / sector_bytes > at / sector_bytes) {
            return true;
        }
        at = text.find('\0', end);
    }
    return false;
}

/// Whether what begins at `start`, an unreadable record, is that record half written.
bool is_torn(std::string_view text, std::size_t start) {
    const std::size_t end = text.find('\n', start);
    if (end != std::string_view::npos && end + 1 != text.size()) {
        return false;
    }
    if (has_unwritten_sector(text, start)) {
        return true;
    }
    // A complete record whose line feed turned into something else was acknowledged.
    return end == std::string_view::npos &&
           !decode_line(text.substr(start, text.size() - start - 1));
}

failure damaged(std::size_t offset, std::string_view how) {
    return failure{
        "XX001",
        "the journal is damaged at byte offset " + std::to_string(offset) + ": " + std::string(how),
        {},
        "find out which backend is the right one, then restore the file or move it away; without "
        "it the configuration's route counts"};
}

}  // namespace

std::string encode_record(const journal_record& record) {
    json::object fields;
    fields["seq"] = record.seq;
    fields["at"] = record.at_ms;
    fields["service"] = record.service;
    fields["kind"] = record.kind;
    fields["data"] = record.payload;
    const std::string payload = json::serialize(fields);
    char crc[crc_digits + 1];
    std::snprintf(crc, sizeof crc, "%08x", crc32c(payload));
    return std::string(crc) + " " + payload + "\n";
}

result<decoded_journal> decode_journal(std::string_view text) {
    decoded_journal decoded;
    while (decoded.valid_bytes < text.size()) {
        const std::size_t start = decoded.valid_bytes;
        const std::size_t end = text.find('\n', start);
        auto record = end == std::string_view::npos ? std::nullopt
                                                    : decode_line(text.substr(start, end - start));
        if (!record && is_torn(text, start)) {
            return decoded;
        }
        if (!record) {
            return damaged(start, "its checksum does not match its content");
        }
        if (!decoded.records.empty() && record->seq != decoded.records.back().seq + 1) {
            return damaged(
                start,
                "record " + std::to_string(record->seq) + " follows record " +
                    std::to_string(decoded.records.back().seq)
            );
        }
        decoded.records.push_back(std::move(*record));
        decoded.valid_bytes = end + 1;
    }
    return decoded;
}

}  // namespace pgsluice::control
