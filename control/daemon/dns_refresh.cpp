// When names of servers are looked up again, and what the answers change.
#include "control/daemon/dns_refresh.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <thread>

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

/// A thread that runs an io_context with one coroutine, which blocks it while names are looked up.
struct name_refresh::parts {
    explicit parts(surroundings of) : around(std::move(of)), failures(around.failures()) {}

    boost::asio::awaitable<void> watch();
    bool look_up_and_apply();

    surroundings around;
    std::uint64_t failures;  ///< that the last lookup knew of
    boost::asio::io_context io{1};
    boost::asio::steady_timer tick{io};
    bool is_stopping = false;
    std::thread thread;
};

name_refresh::name_refresh(surroundings around)
    : parts_(std::make_unique<parts>(std::move(around))) {
    boost::asio::co_spawn(parts_->io, parts_->watch(), [](const std::exception_ptr& error) {
        if (error) {
            std::rethrow_exception(error);
        }
    });
    parts_->thread = std::thread([this] { parts_->io.run(); });
}

name_refresh::~name_refresh() {
    boost::asio::post(parts_->io, [this] {
        parts_->is_stopping = true;
        parts_->tick.cancel();
    });
    parts_->thread.join();
}

boost::asio::awaitable<void> name_refresh::parts::watch() {
    using clock = std::chrono::steady_clock;
    clock::time_point looked_up = clock::now();
    for (;;) {
        tick.expires_after(around.interval);
        co_await tick.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
        co_await boost::asio::post(boost::asio::use_awaitable);  // behind a stop that waits
        if (is_stopping) {
            co_return;
        }
        const std::uint64_t failures_now = around.failures();
        const auto max_age = around.max_age();
        const bool is_old = max_age.count() > 0 && clock::now() - looked_up >= max_age;
        const bool is_due = is_old || failures_now != failures;
        if (is_due && look_up_and_apply()) {
            failures = failures_now;
            looked_up = clock::now();
        }
    }
}

/// True when there is nothing left to do.
bool name_refresh::parts::look_up_and_apply() {
    lookup_results found;
    for (const auto& [host, port] : around.names()) {
        found.emplace(server_name(host, port), around.look_up(host, port));
    }
    return found.empty() || around.apply(found);
}

}  // namespace pgsluice::control
