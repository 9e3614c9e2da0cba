#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgsluice::protocol {

/// The settings in an `options` parameter, in order: `-c name=value` and `--name=value`, with
/// backslash-escaped blanks resolved and dashes in names turned into underscores, as
/// postgres(1) and the server's pg_split_opts() define it. Other switches are passed over.
std::vector<std::pair<std::string, std::string>> settings_in_options(std::string_view options);

}  // namespace pgsluice::protocol
