#pragma once

#include "control/config/config.hpp"

#include <string>
#include <vector>

namespace pgsluice::control {

/// What is wrong with two services that are reached at one address.
struct sharing_problem {
    std::string service;  ///< where: the later one of the file
    std::string key;      ///< of it; empty: the service itself
    std::string text;
};
std::vector<sharing_problem> check_sharing(const std::vector<service_config>& services);

/// The services that are reached at one of this one's addresses, itself included, in the order of
/// the configuration.
std::vector<std::size_t>
services_beside(const std::vector<service_config>& services, std::size_t service);

}  // namespace pgsluice::control
