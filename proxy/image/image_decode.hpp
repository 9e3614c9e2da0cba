#pragma once

#include "protocol/errors.hpp"
#include "proxy/image/session_image.hpp"

#include <string>
#include <string_view>

namespace pgsluice::proxy {

/// What the answers of one capture have told so far.
struct decoded_capture {
    session_image image;
    /// The client's statement_timeout in milliseconds, if the capture had it lifted: the image
    /// shows the value it ran under.
    std::string lifted_timeout;
};

/// Adds one JSON object that a capture answered (see capture_sql.hpp). The text is in
/// the database's encoding: any ASCII-compatible bytes are let through unchanged. Fails with XX000
/// for anything that a capture does not answer; `capture` is then half filled.
result<void> decode_capture(std::string_view json, decoded_capture& capture);

}  // namespace pgsluice::proxy
