#include "protocol/conversation/pending_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace pgsluice::protocol {
namespace {

using item = pending_queue::item;

constexpr item items[] = {item::sync, item::query, item::extended, item::copy_end};

/// A queue and what it should hold.
struct twin {
    pending_queue queue;
    std::deque<item> model;

    void push(item what) {
        queue.push(what);
        model.push_back(what);
    }
    void drop_front(std::size_t count) {
        queue.drop_front(count);
        model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(count));
    }
    void drop_behind_front(std::size_t count) {
        queue.drop_behind_front(count);
        model.erase(model.begin() + 1, model.begin() + 1 + static_cast<std::ptrdiff_t>(count));
    }
    void check() const {
        ASSERT_EQ(queue.size(), model.size());
        ASSERT_EQ(queue.empty(), model.empty());
        ASSERT_EQ(
            queue.requests(),
            static_cast<std::size_t>(
                std::ranges::count(model, item::sync) + std::ranges::count(model, item::query)
            )
        );
        for (std::size_t i = 0; i < model.size(); i += 1 + model.size() / 8)
            ASSERT_EQ(queue[i], model[i]) << i;
    }
};

TEST(PendingQueue, KeepsOrderAtAnyDepth) {
    for (const std::size_t depth : {1U, 31U, 32U, 33U, 64U, 1000U}) {
        twin pair;
        for (std::size_t round = 0; round < 3; ++round) {
            for (std::size_t i = 0; i < depth; ++i)
                pair.push(items[i * 7 % 4]);
            pair.check();
            pair.drop_front(pair.model.size() - round);
            pair.check();
        }
        pair.queue.clear();
        EXPECT_TRUE(pair.queue.empty());
        EXPECT_EQ(pair.queue.requests(), 0U);
    }
}

TEST(PendingQueue, BehavesLikeADequeUnderRandomUse) {
    for (std::uint32_t seed = 1; seed <= 200; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        twin pair;
        for (int step = 0; step < 1000; ++step) {
            const bool growing = (step / 100) % 2 == 0;
            const auto dice = random() % 10;
            if (dice < (growing ? 6U : 3U)) {
                pair.push(items[random() % 4]);
            } else if (dice < 9 && !pair.model.empty()) {
                pair.drop_front(random() % std::min<std::size_t>(pair.model.size() + 1, 4));
            } else if (!pair.model.empty()) {
                pair.drop_behind_front(random() % std::min<std::size_t>(pair.model.size(), 40));
            }
            pair.check();
            if (testing::Test::HasFatalFailure())
                return;
        }
    }
}

TEST(PendingQueueDeathTest, RefusesToGiveWhatItDoesNotHave) {
    pending_queue queue;
    EXPECT_DEATH(queue.drop_front(1), "broken invariant");
    EXPECT_DEATH(queue[0], "broken invariant");
    queue.push(item::sync);
    EXPECT_DEATH(queue.drop_behind_front(1), "broken invariant");
}

}  // namespace
}  // namespace pgsluice::protocol
