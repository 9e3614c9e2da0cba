#pragma once

#include "proxy/image/script.hpp"
#include "proxy/image/session_image.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace pgsluice::proxy {

/// How to ask a backend for the state of its session.
struct capture_options {
    /// Candidate names of custom GUCs, learned from the wire. Names without a dot and names that
    /// are not plain ASCII are left out (their bytes have no encoding that both sides agree on).
    std::span<const std::string> custom_names = {};
    /// Types to be named besides those of the named statements' parameters (of the unnamed one).
    std::span<const std::uint32_t> type_oids = {};
    /// The private statements of an earlier capture are still on this leg.
    bool is_prepared = false;
    /// Also ask whether the client's unnamed statement exists.
    bool asks_unnamed = true;
    /// Also ask whether lastval() has something to tell. Needs the language plpgsql.
    bool asks_currval = false;
    /// Run under statement_timeout 0, after a capture failed with 57014. The value captured is the
    /// client's all the same.
    bool lifts_timeout = false;
};

/// One pipeline that reads everything: BEGIN ISOLATION LEVEL READ COMMITTED (a serializable
/// deferrable default would wait for a safe snapshot), the state, COMMIT; in a Sync group of its
/// own the unnamed statement. Everything runs as private named statements, so the client's unnamed
/// statement survives; they stay prepared for the next capture of this leg. Leg at a boundary only.
script capture_request(const capture_options& options);

/// Closes the private statements; send it when a leg stays in use after the last capture.
script close_request();

/// ROLLBACK without touching the client's statements, for outcomes that need it.
script rollback_request();

/// The private statements are gone (the client's DEALLOCATE ALL or DISCARD ALL): roll back if the
/// outcome needs it, then capture again with is_prepared = false.
bool capture_needs_parse(const script_outcome& outcome) noexcept;

/// The client's statement_timeout ended the capture (57014): roll back, again with lifts_timeout.
bool capture_timed_out(const script_outcome& outcome) noexcept;

/// The image, or why there is none: the server's own error, 54000 over 64 MiB, XX000 if the answer
/// is not what capture_request() asks for.
result<session_image> captured_image(const script_outcome& outcome);

}  // namespace pgsluice::proxy
