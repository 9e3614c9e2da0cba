#pragma once

#include "control/records/cutover.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace pgsluice::control {

/// The journal's kind for a cutover's record: `cutover_begun`, `cutover_committed`, ...
std::string journal_kind(record_kind kind);

/// A cutover's record as the payload of a journal record.
boost::json::object encode_cutover(const cutover_record& record);

/// Reads encode_cutover() back from a journal record of this kind and payload. Nothing when the
/// kind is none of a cutover's or a field is missing.
std::optional<cutover_record>
decode_cutover(std::string_view kind, const boost::json::object& payload);

/// A fence's undo information and back; nothing decodes to a server that had no setting of its own.
boost::json::object encode_fence(const fence_memory& memory);
fence_memory decode_fence(const boost::json::value& value);

}  // namespace pgsluice::control
