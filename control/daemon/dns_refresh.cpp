#include "control/daemon/dns_refresh.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>

namespace pgsluice::control {

namespace {

bool is_name(const std::string& host) {
    std::array<std::uint8_t, sizeof(in6_addr)> number{};
    return !host.empty() && host.front() != '/' &&
           ::inet_pton(AF_INET, host.c_str(), number.data()) != 1 &&
           ::inet_pton(AF_INET6, host.c_str(), number.data()) != 1;
}

std::vector<std::string> texts_of(const std::vector<proxy::endpoint>& endpoints) {
    std::vector<std::string> texts;
    for (const proxy::endpoint& each : endpoints) {
        texts.push_back(each.text);
    }
    std::sort(texts.begin(), texts.end());
    return texts;
}

std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) {
        all += (all.empty() ? "" : " ") + text;
    }
    return all;
}

}  // namespace

std::vector<server_name> names_to_look_up(const service_config& service) {
    std::vector<server_name> names;
    for (const backend_config& backend : service.backends) {
        if (is_name(backend.address.host)) {
            names.emplace_back(backend.address.host, backend.address.port);
        }
    }
    return names;
}

new_addresses addresses_of(
    const service_config& service, const proxy::service_settings& now, const lookup_results& found
) {
    new_addresses news;
    auto settings = std::make_shared<proxy::service_settings>(now);
    for (std::size_t i = 0; i < service.backends.size(); ++i) {
        const backend_config& backend = service.backends[i];
        const auto answer = found.find({backend.address.host, backend.address.port});
        if (answer == found.end()) {
            continue;
        }
        const lookup_result& looked_up = answer->second;
        if (!looked_up) {
            news.unresolved.push_back(backend.name + ": " + looked_up.error().message);
            continue;
        }
        const auto texts = texts_of(*looked_up);
        if (texts.empty() || texts == texts_of(now.backends[i].endpoints)) {
            continue;
        }
        settings->backends[i].endpoints = *looked_up;
        news.changed.push_back(
            backend.name + ": " + backend.address.host + " is now " + joined(texts)
        );
        news.settings = settings;
    }
    return news;
}

name_refresh::name_refresh(surroundings around)
    : around_(std::move(around)), failures_(around_.failures()) {
    thread_ = std::thread([this] { run(); });
}

name_refresh::~name_refresh() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    stop_.notify_all();
    thread_.join();
}

/// False when this object is about to go.
bool name_refresh::wait(std::chrono::milliseconds how_long) {
    std::unique_lock lock(mutex_);
    return !stop_.wait_for(lock, how_long, [this] { return stopping_; });
}

void name_refresh::run() {
    using clock = std::chrono::steady_clock;
    clock::time_point looked_up = clock::now();
    while (wait(around_.interval)) {
        const std::uint64_t failures_now = around_.failures();
        const auto max_age = around_.max_age();
        const bool is_old = max_age.count() > 0 && clock::now() - looked_up >= max_age;
        if ((is_old || failures_now != failures_) && look_up_and_apply()) {
            failures_ = failures_now;
            looked_up = clock::now();
        }
    }
}

/// True when there is nothing left to do.
bool name_refresh::look_up_and_apply() {
    lookup_results found;
    for (const auto& [host, port] : around_.names()) {
        found.emplace(server_name(host, port), around_.look_up(host, port));
    }
    return found.empty() || around_.apply(found);
}

}  // namespace pgsluice::control
