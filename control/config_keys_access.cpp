// Keys about who gets in: limits of what clients get wrong.
#include "control/config_rows.hpp"

namespace pgsluice::control {

namespace {

using service = service_config;

const config_key<service> limit_rows[] = {
    number_key<service, 0, 1'000'000'000, &service::limits, &limits_config::failed_logins>(
        {.name = "limits.failed_logins",
         .unit = "logins a minute",
         .initial = "0",
         .is_reloadable = reloadable,
         .doc = "As many may fail from one address (or /64 of IPv6); then its clients are refused "
                "with 28000 until the minute is over. 0 is off: behind a load balancer without "
                "PROXY protocol, or with a pool that has an old password, one address is many."}
    ),
    number_key<service, 0, 1'000'000'000, &service::limits, &limits_config::unknown_cancels>(
        {.name = "limits.unknown_cancels",
         .unit = "requests a minute",
         .initial = "1000",
         .is_reloadable = reloadable,
         .doc = "As many CancelRequests with keys of no session may come from one address; then "
                "all of its are ignored until the minute is over. 0 is off."}
    ),
};

}  // namespace

std::vector<config_key<service_config>> limit_keys() {
    return {std::begin(limit_rows), std::end(limit_rows)};
}

}  // namespace pgsluice::control
