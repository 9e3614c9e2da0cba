#pragma once

#include "control/journal/format.hpp"
#include "control/records/cutover.hpp"

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <optional>
#include <string>

namespace pgsluice::control {

/// The journal's kind for a cutover's record: `cutover_begun`, `cutover_committed`, ...
std::string journal_kind(record_kind kind);

/// A cutover's record as the payload of a journal record.
boost::json::object encode_cutover(const cutover_record& record);

/// Reads encode_cutover() back. Nothing when `record` is of another kind or lacks a field.
std::optional<cutover_record> decode_cutover(const journal_record& record);

/// A fence's undo information and back; nothing decodes to a server that had no setting of its own.
boost::json::object encode_fence(const fence_memory& memory);
fence_memory decode_fence(const boost::json::value& value);

}  // namespace pgsluice::control
