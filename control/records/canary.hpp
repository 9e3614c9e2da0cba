#pragma once

#include "control/config/config.hpp"
#include "protocol/errors.hpp"
#include "proxy/access/address_set.hpp"
#include "proxy/model/canary_route.hpp"

#include <boost/json/object.hpp>

#include <memory>
#include <string>

namespace pgsluice::control {

/// Clients of one service that go to another backend than the route.
struct canary_record {
    std::string backend{};  ///< empty: nobody does
    proxy::address_set from{};
    bool is_read_only = true;

    bool is_on() const { return !backend.empty(); }
    /// As the engine has it; null when it is off. The backend has to be one of the service's.
    std::shared_ptr<const proxy::canary_route> route_in(const service_config& service) const;

    friend bool operator==(const canary_record&, const canary_record&) = default;
};

/// What the configuration begins with, or off; it was checked.
canary_record configured_canary(const canary_config& configured);

/// As the journal has it: {"state": "on", "set": [RANGE...], "backend": NAME, "access": "read-only"
/// | "read-write"}, or {"state": "off"}.
boost::json::object encode_canary(const canary_record& record);

/// Fails on what encode_canary() cannot have made.
result<canary_record> decode_canary(const boost::json::object& fields);

}  // namespace pgsluice::control
