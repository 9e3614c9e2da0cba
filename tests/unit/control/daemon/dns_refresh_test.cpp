#include "control/daemon/dns_refresh.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

proxy::endpoint at(std::string text) {
    proxy::endpoint endpoint;
    endpoint.text = std::move(text);
    return endpoint;
}

failure no_answer() {
    return {"08001", "cannot resolve \"db.example\": no answer", {}, {}};
}

service_config service_with(std::vector<std::string> hosts) {
    service_config service;
    for (std::string& host : hosts) {
        backend_config backend;
        backend.name = "b" + std::to_string(service.backends.size());
        backend.address = {std::move(host), 5432};
        service.backends.push_back(std::move(backend));
    }
    return service;
}

TEST(Names, AreNeitherNumbersNorSockets) {
    const auto service = service_with({"10.0.0.1", "::1", "/run/postgresql", "db.example", "db1"});
    EXPECT_THAT(
        names_to_look_up(service), ElementsAre(Pair("db.example", 5432), Pair("db1", 5432))
    );
}

class Addresses : public testing::Test {
protected:
    Addresses() { now.backends = {{"b0", {at("10.0.0.1:5432")}}, {"b1", {at("10.0.0.2:5432")}}}; }
    new_addresses look(lookup_result found) {
        return addresses_of(service, now, {{{"db.example", 5432}, std::move(found)}});
    }

    service_config service = service_with({"10.0.0.1", "db.example"});
    proxy::service_settings now;
};

TEST_F(Addresses, ChangeOnlyWhereTheNameHasOtherOnes) {
    const auto news = look(std::vector{at("10.0.0.3:5432"), at("10.0.0.4:5432")});
    ASSERT_TRUE(news.settings);
    EXPECT_EQ(news.settings->backends[0].endpoints.size(), 1U);
    EXPECT_EQ(news.settings->backends[1].endpoints[0].text, "10.0.0.3:5432");
    EXPECT_THAT(news.changed, ElementsAre("b1: db.example is now 10.0.0.3:5432 10.0.0.4:5432"));
    EXPECT_THAT(news.unresolved, IsEmpty());
}

TEST_F(Addresses, StayWhenOnlyTheirOrderDiffers) {
    now.backends[1].endpoints = {at("10.0.0.3:5432"), at("10.0.0.4:5432")};
    const auto news = look(std::vector{at("10.0.0.4:5432"), at("10.0.0.3:5432")});
    EXPECT_FALSE(news.settings);
    EXPECT_THAT(news.changed, IsEmpty());
}

TEST_F(Addresses, KeepTheLastGoodAnswer) {
    const auto news = look(no_answer());
    EXPECT_FALSE(news.settings);
    EXPECT_THAT(news.unresolved, ElementsAre("b1: cannot resolve \"db.example\": no answer"));
    EXPECT_FALSE(look(std::vector<proxy::endpoint>()).settings) << "no address is no answer";
}

TEST_F(Addresses, ComeWhenANameIsResolvedForTheFirstTime) {
    now.backends[1].endpoints.clear();
    EXPECT_TRUE(look(std::vector{at("10.0.0.3:5432")}).settings);
}

/// A refresh whose every part the test holds in its hands.
class Refresh : public testing::Test {
protected:
    name_refresh::surroundings around() {
        return {
            .look_up = [this](const std::string&, std::uint16_t) -> lookup_result {
                ++lookups;
                return std::vector{at("10.0.0.3:5432")};
            },
            .names =
                [] {
                    return std::vector<server_name>{{"db.example", 5432}};
                },
            .failures = [this] { return failures.load(); },
            .max_age = [this] { return max_age.load(); },
            .apply =
                [this](const lookup_results& found) {
                    EXPECT_TRUE(found.at({"db.example", 5432}));
                    ++offers;
                    return !is_busy;
                },
            .interval = milliseconds(1)};
    }
    void expect_at_least(const std::atomic<int>& counter, int count) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (counter < count && std::chrono::steady_clock::now() < end) {
            std::this_thread::yield();
        }
        EXPECT_GE(counter, count);
    }

    std::atomic<int> lookups{0};
    std::atomic<int> offers{0};
    std::atomic<std::uint64_t> failures{0};
    std::atomic<milliseconds> max_age{milliseconds(3'600'000)};
    std::atomic<bool> is_busy{false};
};

TEST_F(Refresh, LooksUpWhenAddressesAreOld) {
    max_age = milliseconds(1);
    name_refresh refresh(around());
    expect_at_least(offers, 3);
}

TEST_F(Refresh, LooksUpOnceAfterAFailureAndNotWithoutReason) {
    name_refresh refresh(around());
    failures = 1;
    expect_at_least(offers, 1);
    failures = 5;
    expect_at_least(offers, 2);
    EXPECT_EQ(lookups, 2);
}

TEST_F(Refresh, ZeroMaxAgeStillLooksAfterFailures) {
    max_age = milliseconds(0);
    name_refresh refresh(around());
    failures = 1;
    expect_at_least(offers, 1);
}

TEST_F(Refresh, ComesAgainWhileItIsNotTheTime) {
    is_busy = true;
    name_refresh refresh(around());
    failures = 1;
    expect_at_least(offers, 3);
    is_busy = false;
}

}  // namespace
}  // namespace pgsluice::control
