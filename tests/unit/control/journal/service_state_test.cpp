#include "control/journal/service_state.hpp"
#include "control/records/cutover_json.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

std::optional<cutover_record> decoded(const journal_record& record) {
    return decode_cutover(record.kind, record.payload);
}

using testing::HasSubstr;

/// Builds a journal's records in order.
class script {
public:
    script& add(std::string_view kind, boost::json::object payload = {}) {
        records_.push_back({records_.size() + 1, 1000, "app", std::string(kind), std::move(payload)}
        );
        return *this;
    }
    script& cutover(cutover_record record) {
        if (record.id.empty()) {
            record.id = "c1";
        }
        record.from = record.from.empty() ? "blue" : record.from;
        record.to = record.to.empty() ? "green" : record.to;
        return add(journal_kind(record.kind), encode_cutover(record));
    }
    std::span<const journal_record> records() const { return records_; }

private:
    std::vector<journal_record> records_;
};

script first_start() {
    return script().add("route", {{"backend", "blue"}, {"generation", 1}});
}

script full_cutover() {
    script s = first_start();
    s.cutover({.kind = record_kind::begun, .fence = fence_memory{"off"}});
    s.cutover({.kind = record_kind::promoting});
    s.cutover({.kind = record_kind::committed, .generation = 2});
    using std::chrono::microseconds;
    s.cutover(
        {.kind = record_kind::done,
         .steps = {{"fence", microseconds(5), "x", true}},
         .pause = {microseconds(4), microseconds(3), microseconds(2), microseconds(1)}}
    );
    return s;
}

service_state state_of(std::span<const journal_record> records) {
    const auto states = replay(records);
    EXPECT_TRUE(states.has_value()) << states.error().message;
    const auto found = states->find("app");
    return found == states->end() ? service_state{} : found->second;
}

std::string error_of(const script& s) {
    const auto states = replay(s.records());
    return states.has_error() ? states.error().message : "";
}

TEST(CutoverRecords, ReadBackAsWritten) {
    const script s = full_cutover();
    const auto begun = decoded(s.records()[1]);
    ASSERT_TRUE(begun.has_value());
    EXPECT_EQ(begun->kind, record_kind::begun);
    EXPECT_EQ(begun->from, "blue");
    EXPECT_EQ(begun->fence, fence_memory{"off"});
    EXPECT_FALSE(begun->retarget);
    const auto done = decoded(s.records()[4]);
    ASSERT_EQ(done->steps.size(), 1u);
    EXPECT_EQ(done->steps[0].took, std::chrono::microseconds(5));
    EXPECT_TRUE(done->steps[0].in_pause);
    EXPECT_EQ(done->pause.held, std::chrono::microseconds(4));
    EXPECT_EQ(done->pause.added, std::chrono::microseconds(1));
    const script none = script().cutover({.retarget = true, .fence = fence_memory{}});
    EXPECT_EQ(decoded(none.records()[0])->fence, fence_memory{});
    EXPECT_TRUE(decoded(none.records()[0])->retarget);
    EXPECT_EQ(decoded(first_start().records()[0]), std::nullopt);
    EXPECT_EQ(decoded(script().add("cutover_begun").records()[0]), std::nullopt);
}

TEST(ServiceState, EveryPrefixOfACutoverIsOnOneSide) {
    const script s = full_cutover();
    struct row {
        const char* backend;
        std::uint64_t generation;
        bool is_unfinished, is_promoting, is_committed;
    };
    const row rows[] = {
        {"", 0, false, false, false},
        {"blue", 1, false, false, false},
        {"blue", 1, true, false, false},
        {"blue", 1, true, true, false},
        {"green", 2, true, true, true},
        {"green", 2, false, false, false},
    };
    for (std::size_t n = 0; n <= s.records().size(); ++n) {
        const service_state state = state_of(s.records().first(n));
        EXPECT_EQ(state.backend, rows[n].backend) << n;
        EXPECT_EQ(state.generation, rows[n].generation) << n;
        ASSERT_EQ(state.unfinished.has_value(), rows[n].is_unfinished) << n;
        if (state.unfinished) {
            EXPECT_EQ(state.unfinished->promoting, rows[n].is_promoting) << n;
            EXPECT_EQ(state.unfinished->committed, rows[n].is_committed) << n;
            EXPECT_EQ(state.unfinished->begun.fence, fence_memory{"off"}) << n;
        }
    }
}

TEST(ServiceState, KnowsTheFencesThatCutoversLeft) {
    script s = full_cutover();
    EXPECT_EQ(state_of(s.records()).fences, (fence_memories{{"blue", fence_memory{"off"}}}));
    EXPECT_EQ(state_of(s.records()).previous, "blue");
    const cutover_record begun{
        .id = "c2",
        .from = "green",
        .to = "blue",
        .way_back = true,
        .fence = fence_memory{},
        .to_fence = fence_memory{"off"}};
    s.cutover(begun);
    EXPECT_EQ(state_of(s.records()).fences.size(), 1u) << "until the commit it stays blue's";
    s.cutover(
        {.kind = record_kind::committed, .id = "c2", .from = "green", .to = "blue", .generation = 3}
    );
    EXPECT_EQ(state_of(s.records()).fences, (fence_memories{{"green", fence_memory{}}}));
    EXPECT_EQ(decoded(s.records()[5])->to_fence, fence_memory{"off"});
    EXPECT_TRUE(decoded(s.records()[5])->way_back);
    EXPECT_FALSE(decoded(s.records()[6])->way_back);
    EXPECT_EQ(state_of(s.records()).previous, "green");
}

TEST(ServiceState, AbortedCutoverLeavesTheOldRoute) {
    script s = first_start();
    s.cutover({.kind = record_kind::begun}).cutover({.kind = record_kind::aborted, .text = "why"});
    const service_state state = state_of(s.records());
    EXPECT_EQ(state.backend, "blue");
    EXPECT_FALSE(state.unfinished.has_value());
}

TEST(ServiceState, AnotherBeginEndsACutoverWhoseLastRecordIsMissing) {
    script s = first_start();
    s.cutover({.kind = record_kind::begun}).cutover({.kind = record_kind::begun, .id = "c2"});
    EXPECT_EQ(state_of(s.records()).unfinished->begun.id, "c2");
}

TEST(ServiceState, AbortOfACutoverThatNeverBeganIsNothing) {
    script s = first_start();
    s.cutover({.kind = record_kind::aborted, .text = "the disk was full"});
    EXPECT_EQ(state_of(s.records()).backend, "blue");
}

TEST(ServiceState, AbortOfACutoverThatNeverBeganEndsNoOther) {
    script s = first_start();
    s.cutover({.kind = record_kind::begun});  // the disk was full when it was to be aborted
    s.cutover({.kind = record_kind::aborted, .id = "c2"});
    EXPECT_EQ(state_of(s.records()).unfinished->begun.id, "c1");
}

TEST(ServiceState, OnlyAStandingPauseSurvives) {
    EXPECT_FALSE(state_of(first_start().add("pause").records()).is_paused);
    EXPECT_TRUE(state_of(first_start().add("pause").add("paused").records()).is_paused);
    EXPECT_FALSE(
        state_of(first_start().add("pause").add("paused").add("resume").records()).is_paused
    );
}

boost::json::object admit_record(std::vector<std::string> set) {
    return {{"set", boost::json::array(set.begin(), set.end())}, {"unadmitted", "hold"}};
}

TEST(ServiceState, TheLastAdmittedSetCounts) {
    script s = first_start();
    EXPECT_EQ(state_of(s.records()).admitted, proxy::admission{});
    s.add("admit", admit_record({"none"}));
    EXPECT_TRUE(state_of(s.records()).admitted.set.is_empty());
    auto refusing = admit_record({"10.0.0.0/8", "local"});
    refusing["unadmitted"] = "refuse";
    refusing["message"] = "later";
    refusing["by"] = "root";
    s.add("admit", refusing);
    const proxy::admission who = state_of(s.records()).admitted;
    EXPECT_THAT(who.set.tokens(), testing::ElementsAre("local", "10.0.0.0/8"));
    EXPECT_TRUE(who.refuses);
    EXPECT_EQ(who.message, "later");
}

boost::json::object read_only_payload(std::string_view state) {
    return {
        {"state", state},
        {"fence", "default"},
        {"backend", "blue"},
        {"memory", {{"auto_conf", nullptr}}},
        {"revoked", {{"app", {"lo_creat(integer)"}}}},
        {"by", "root"}};
}

TEST(ServiceState, TheLastWordOnReadOnlyCounts) {
    script s = first_start();
    EXPECT_EQ(state_of(s.records()).read_only, read_only_record{});
    s.add("readonly", read_only_payload("entering"));
    EXPECT_EQ(state_of(s.records()).read_only.state, read_only_state::entering);
    s.add("readonly", read_only_payload("on"));
    const read_only_record found = state_of(s.records()).read_only;
    EXPECT_EQ(found.state, read_only_state::on);
    EXPECT_EQ(found.fence, read_only_fence::settings);
    EXPECT_EQ(found.backend, "blue");
    EXPECT_THAT(found.revoked.at("app"), testing::ElementsAre("lo_creat(integer)"));
    EXPECT_EQ(found.access(), proxy::forced_access::guarded);
    EXPECT_EQ(decode_read_only(encode_read_only(found)).value(), found);
    read_only_record by_user = found;
    by_user.means = read_only_means::user;
    EXPECT_EQ(by_user.access(), proxy::forced_access::restricted);
    EXPECT_EQ(decode_read_only(encode_read_only(by_user)).value(), by_user);
    boost::json::object unknown = encode_read_only(by_user);
    unknown["means"] = "prayer";
    EXPECT_THAT(decode_read_only(unknown).error().message, HasSubstr("no means"));
    s.add("readonly", {{"state", "off"}, {"fence", "none"}});
    EXPECT_EQ(state_of(s.records()).read_only, read_only_record{});
    EXPECT_THAT(error_of(first_start().add("readonly")), HasSubstr("no state or fence"));
}

TEST(ServiceState, AdmittedSetsThatNobodyCouldHaveWrittenAreContradictions) {
    EXPECT_THAT(error_of(first_start().add("admit")), HasSubstr("no set"));
    EXPECT_THAT(error_of(first_start().add("admit", {{"set", "all"}})), HasSubstr("no set"));
    EXPECT_THAT(
        error_of(first_start().add("admit", {{"set", {"all"}}})),
        HasSubstr("nothing said about others")
    );
    EXPECT_THAT(
        error_of(first_start().add("admit", admit_record({"10.0.0.1/8"}))),
        HasSubstr("\"10.0.0.1/8\" has bits set")
    );
    EXPECT_THAT(error_of(first_start().add("admit", admit_record({}))), HasSubstr("no range"));
}

TEST(ServiceState, ServicesAreApart) {
    const script s = first_start();
    std::vector<journal_record> records(s.records().begin(), s.records().end());
    records.push_back(records[0]);
    records[1].service = "other";
    records[1].payload["backend"] = "red";
    const auto states = replay(records);
    EXPECT_EQ(states->at("app").backend, "blue");
    EXPECT_EQ(states->at("other").backend, "red");
}

TEST(ServiceState, ContradictionsAreErrorsThatNameTheRecord) {
    EXPECT_THAT(error_of(first_start().add("nonsense")), HasSubstr("at record 2 (nonsense of "));
    EXPECT_THAT(error_of(script().add("route")), HasSubstr("no backend and generation"));
    EXPECT_THAT(
        error_of(first_start().cutover({.kind = record_kind::committed, .generation = 2})),
        HasSubstr("cutover c1 has not begun")
    );
    EXPECT_THAT(
        error_of(first_start().cutover({.kind = record_kind::begun, .from = "green"})),
        HasSubstr("it leaves green, the route is blue")
    );
    EXPECT_THAT(
        error_of(
            first_start().cutover({.kind = record_kind::begun}).cutover({.kind = record_kind::done})
        ),
        HasSubstr("it was not committed before")
    );
    EXPECT_THAT(
        error_of(first_start()
                     .cutover({.kind = record_kind::begun})
                     .cutover({.kind = record_kind::committed, .generation = 2})
                     .cutover({.kind = record_kind::aborted})),
        HasSubstr("it was committed before")
    );
}

TEST(Compact, ReplaysToTheSameStatesForEveryCut) {
    script s = full_cutover();
    s.add("readonly", read_only_payload("on"));
    s.add("admit", admit_record({"10.0.0.0/8=25%"})).add("pause").add("paused");
    s.cutover({.kind = record_kind::begun, .id = "c2", .from = "green", .to = "blue"});
    for (std::size_t n = 0; n <= s.records().size(); ++n) {
        const auto records = s.records().first(n);
        for (std::size_t recent = 0; recent <= n + 1; ++recent) {
            const auto kept = compact(records, recent);
            ASSERT_TRUE(kept.has_value()) << n << " " << recent;
            const service_state before = state_of(records);
            const service_state after = state_of(*kept);
            EXPECT_EQ(after.backend, before.backend) << n << " " << recent;
            EXPECT_EQ(after.generation, before.generation) << n << " " << recent;
            EXPECT_EQ(after.fences, before.fences) << n << " " << recent;
            EXPECT_EQ(after.previous, before.previous) << n << " " << recent;
            EXPECT_EQ(after.times, before.times) << n << " " << recent;
            EXPECT_EQ(after.is_paused, before.is_paused) << n << " " << recent;
            EXPECT_EQ(after.read_only, before.read_only) << n << " " << recent;
            EXPECT_EQ(after.unfinished.has_value(), before.unfinished.has_value())
                << n << " " << recent;
        }
    }
    EXPECT_EQ(compact(s.records(), 0)->size(), 5u)
        << "route, paused, readonly, admit and the unfinished cutover";
}

TEST(ServiceState, RemembersWhetherNewClientsAreTaken) {
    script s = first_start();
    EXPECT_TRUE(state_of(s.records()).takes_clients);
    s.add("clients", {{"taken", false}, {"by", "otto"}});
    EXPECT_FALSE(state_of(s.records()).takes_clients);
    const auto kept = compact(s.records(), 0);
    ASSERT_TRUE(kept.has_value());
    EXPECT_FALSE(state_of(*kept).takes_clients);
    s.add("clients", {{"taken", true}});
    EXPECT_TRUE(state_of(s.records()).takes_clients);
    EXPECT_THAT(error_of(first_start().add("clients")), HasSubstr("whether clients are taken"));
}

TEST(ServiceState, TheLastWordOnTheCanaryCounts) {
    const std::vector<std::string> tokens{"local", "10.0.0.0/8=5%"};
    const canary_record on{"green", proxy::address_set::parse(tokens).value(), false};
    script s = first_start();
    EXPECT_FALSE(state_of(s.records()).canary.is_on());
    s.add("canary", encode_canary(on));
    EXPECT_EQ(state_of(s.records()).canary, on);
    const auto kept = compact(s.records(), 0);
    ASSERT_TRUE(kept.has_value());
    EXPECT_EQ(state_of(*kept).canary, on);
    s.add("canary", encode_canary({}));
    EXPECT_EQ(state_of(s.records()).canary, canary_record{});
    EXPECT_EQ(compact(s.records(), 0)->size(), 1U);
    for (const char* field : {"state", "set", "backend", "access"}) {
        auto broken = encode_canary(on);
        broken[field] = 1;
        EXPECT_THAT(error_of(first_start().add("canary", broken)), HasSubstr("canary of service"));
    }
}

TEST(ServiceState, ARunOfStagesThatWasCutIsKnownWithItsKind) {
    const std::vector<std::string> tokens{"10.0.0.0/8"};
    auto stage = encode_canary({"green", proxy::address_set::parse(tokens).value(), true});
    stage["stage"] = 2;
    script s = first_start();
    s.add("stages", {{"state", "begun"}, {"what", "canary"}, {"of", 3}, {"by", "alice"}});
    s.add("canary", stage);
    const stages_record cut{.stage = 2, .of = 3, .by = "alice", .what = stages_of::canary};
    EXPECT_EQ(state_of(s.records()).stages, cut);
    EXPECT_EQ(state_of(*compact(s.records(), 0)).stages, cut);
    s.add("stages", {{"state", "over"}, {"outcome", "done"}});
    EXPECT_EQ(state_of(s.records()).stages, std::nullopt);
    s.add("stages", {{"state", "begun"}, {"of", 3}, {"by", "alice"}});
    EXPECT_EQ(state_of(s.records()).stages->what, stages_of::admission)
        << "as earlier versions wrote it";
}

}  // namespace
}  // namespace pgsluice::control
