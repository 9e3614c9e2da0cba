#include "control/config/resolve.hpp"
#include "control/service/service.hpp"
#include "tests/unit/control/base/temp_directory.hpp"

#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fcntl.h>
#include <fstream>

namespace pgsluice::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view two_backends = R"(
services:
  app:
    listen: [/nonexistent]
    backends: {blue: {host: 127.0.0.1, port: 1}, green: {host: 127.0.0.1, port: 2}}
    route: blue
)";

/// A service without sessions on a real engine and a real journal.
class Operations : public testing::Test {
protected:
    void SetUp() override { start({}); }

    void start(const service_state& found) {
        service.reset();
        log.reset();
        engine = std::make_unique<proxy::engine>();
        auto settings = std::make_shared<proxy::service_settings>(
            *resolve_service(*config_, testing_config{}, {})->settings
        );
        settings->listen.clear();
        ASSERT_TRUE(engine
                        ->start(
                            1,
                            {{.settings = settings,
                              .at = {0, 1},
                              .gate_open = initial_mode(found) == mode::serving}}
                        )
                        .has_value());
        log = std::move(*journal::open(directory.path()));
        if (log->replayed().empty()) {
            log->append("app", "route", {{"backend", "blue"}, {"generation", 1}}).value();
        }
        service = std::make_unique<control::service>(
            control::service::surroundings{*engine, *log, {}}, 0, config_, found
        );
    }
    void TearDown() override {
        service.reset();
        engine->stop();
    }

    static request given(
        std::string_view command, std::map<std::string, std::string, std::less<>> arguments = {}
    ) {
        return make_request(command, {}, std::move(arguments)).value();
    }
    outcome pause() { return service->pause().pause(given("pause"), nobody); }
    outcome retarget(const char* to) {
        return service->cutover().retarget(given("retarget", {{"BACKEND", to}}), nobody);
    }
    std::string status(const char* field) {
        return std::string(service->status().at(field).as_string());
    }
    std::vector<journal_record> decoded() {
        const unique_fd file(::open((directory.path() + "/journal").c_str(), O_RDONLY));
        return decode_journal(*read_all(file.get(), "journal")).value().records;
    }
    /// The kinds of the journal's records so far.
    std::vector<std::string> recorded() {
        std::vector<std::string> kinds;
        for (const journal_record& record : decoded()) {
            kinds.push_back(record.kind);
        }
        return kinds;
    }

    const progress_sink nobody = [](const boost::json::object&) {
    };
    const control::service::config_pointer config_ =
        std::make_shared<const service_config>(parse_config(two_backends).value->services[0]);
    temp_directory directory;
    std::unique_ptr<proxy::engine> engine;
    std::unique_ptr<journal> log;
    std::unique_ptr<control::service> service;
};

TEST_F(Operations, StatusHasTheAgreedShape) {
    const auto status = service->status();
    for (const char* name :
         {"name", "route", "generation", "gate", "access", "sessions", "backends", "cutover"}) {
        EXPECT_TRUE(status.contains(name)) << name;
    }
    for (const char* name :
         {"total", "idle", "active", "in_transaction", "parked", "moving", "pinned"}) {
        EXPECT_TRUE(status.at("sessions").as_object().contains(name)) << name;
    }
    EXPECT_EQ(status.at("backends").at("green").at("address").as_string(), "127.0.0.1:2");
    EXPECT_TRUE(status.at("cutover").is_null());
}

TEST_F(Operations, PauseStandsUntilResumed) {
    EXPECT_TRUE(pause().is_done());
    EXPECT_EQ(status("gate"), "paused");
    EXPECT_EQ(status("mode"), "held");
    EXPECT_TRUE(pause().result.contains("already"));
    EXPECT_TRUE(service->pause().resume({}).is_done());
    EXPECT_EQ(status("gate"), "open");
    EXPECT_EQ(status("mode"), "serving");
    EXPECT_TRUE(service->pause().resume({}).is_done()) << "an open gate may be opened";
    EXPECT_THAT(recorded(), ElementsAre("route", "pause", "paused", "resume"));
}

TEST_F(Operations, AdmitIsJournaledAndShown) {
    request asked = given("admit", {{"RANGES", "10.0.0.0/8 ::/0=25%"}, {"refuse", "later"}});
    asked.asked_by = "alice";
    const outcome ended = service->admit(asked);
    EXPECT_TRUE(ended.is_done()) << ended.error;
    EXPECT_EQ(ended.result.at("gate").as_string(), "staged");
    EXPECT_GT(ended.result.at("acknowledged_ms").as_double(), 0);
    EXPECT_EQ(status("gate"), "staged");
    const auto record = decoded().back();
    EXPECT_EQ(record.kind, "admit");
    EXPECT_EQ(record.payload.at("by").as_string(), "alice");
    EXPECT_EQ(record.payload.at("message").as_string(), "later");
    EXPECT_TRUE(service->admit(given("admit", {{"RANGES", "none"}})).is_done());
    EXPECT_EQ(status("gate"), "paused");
    EXPECT_EQ(service->pause().resume({}).result.at("gate").as_string(), "paused");
    EXPECT_TRUE(service->admit(given("admit", {{"RANGES", "all"}})).is_done());
    EXPECT_EQ(status("gate"), "open");
}

TEST_F(Operations, AdmitWorksBehindAStandingPause) {
    EXPECT_TRUE(pause().is_done());
    EXPECT_TRUE(service->admit(given("admit", {{"RANGES", "10.0.0.0/8"}})).is_done());
    EXPECT_EQ(status("gate"), "paused");
    EXPECT_EQ(service->pause().resume({}).result.at("gate").as_string(), "staged");
}

/// Stages of a canary on a service without sessions; its thread changes nothing for an hour.
class CanaryStages : public Operations {
protected:
    outcome canary(std::map<std::string, std::string, std::less<>> arguments) {
        return service->canary(given("canary", std::move(arguments)), nobody);
    }
    outcome begin(const char* to = "green", std::string_view more = "") {
        const std::string path = directory.path() + "/stages.yaml";
        std::ofstream(path) << "dwell: 60m\nstages: [{admit: [10.0.0.0/16]}, {admit: [all]}]\n"
                            << more;
        return canary({{"stages", path}, {"to", to}});
    }
    std::string set() {
        const auto now = service->status().at("canary");
        return now.is_null() ? "" : boost::json::serialize(now.at("set"));
    }
    std::string stages(const char* field) {
        return std::string(service->status().at("stages").at(field).as_string());
    }
};

TEST_F(CanaryStages, GoThereOneAfterTheOtherAndStay) {
    const outcome begun = begin();
    ASSERT_TRUE(begun.is_done()) << begun.error;
    EXPECT_EQ(begun.result.at("canary").at("backend").as_string(), "green");
    EXPECT_EQ(begun.result.at("canary").at("elsewhere").to_number<int>(), 0);
    EXPECT_EQ(stages("what"), "canary");
    EXPECT_EQ(set(), R"(["10.0.0.0/16"])");
    EXPECT_TRUE(canary({{"pause", "true"}}).is_done());
    EXPECT_TRUE(canary({{"resume", "true"}}).is_done());
    EXPECT_TRUE(canary({{"skip", "true"}}).is_done());
    EXPECT_EQ(set(), R"(["all"])");
    EXPECT_TRUE(canary({{"skip", "true"}}).is_done());
    EXPECT_EQ(stages("outcome"), "done");
    EXPECT_EQ(set(), R"(["all"])");
    EXPECT_THAT(
        recorded(), ElementsAre("route", "stages", "canary", "stages", "stages", "canary", "stages")
    );
    EXPECT_EQ(decoded()[2].payload.at("stage").to_number<int>(), 1);
    EXPECT_TRUE(canary({{"RANGES", "off"}}).is_done());
}

TEST_F(CanaryStages, BarWhatTheCanaryIsAboutAndNothingElse) {
    ASSERT_TRUE(begin().is_done());
    const auto is_barred = [](const outcome& ended) {
        return ended.exit == exit_code::refused &&
               ended.error ==
                   "service app has a canary in stages; abort ends that, and the canary stays";
    };
    EXPECT_TRUE(is_barred(begin()));
    EXPECT_TRUE(is_barred(canary({{"RANGES", "off"}})));
    EXPECT_TRUE(is_barred(retarget("green")));
    EXPECT_TRUE(is_barred(service->cutover().cutover(given("cutover", {{"to", "green"}}), nobody)));
    EXPECT_TRUE(is_barred(service->cutover().rollback(given("rollback"), nobody)));
    const std::string path = directory.path() + "/stages.yaml";
    EXPECT_TRUE(is_barred(service->admit(given("admit", {{"stages", path}})))) << "one run at once";
    EXPECT_EQ(service->admit(given("admit", {{"pause", "true"}})).exit, exit_code::refused);
    EXPECT_TRUE(service->admit(given("admit", {{"RANGES", "10.0.0.0/8"}})).is_done());
    EXPECT_TRUE(pause().is_done());
    EXPECT_TRUE(service->abort().is_done());
    EXPECT_EQ(set(), R"(["10.0.0.0/16"])") << "the canary stays";
    EXPECT_EQ(canary({{"skip", "true"}}).error, "service app has no canary in stages");
}

TEST_F(CanaryStages, AreRefusedWithoutAnEffect) {
    EXPECT_EQ(begin("gren").exit, exit_code::usage);
    EXPECT_EQ(begin("blue").error, "the route is blue already, a canary goes elsewhere");
    EXPECT_EQ(begin("green", "refuse: later\n").exit, exit_code::usage);
    EXPECT_THAT(recorded(), ElementsAre("route"));
    const std::string path = directory.path() + "/stages.yaml";
    std::ofstream(path) << "dwell: 60m\nstages: [{admit: [10.0.0.0/16]}, {admit: [all]}]\n";
    ASSERT_TRUE(service->admit(given("admit", {{"stages", path}})).is_done());
    EXPECT_THAT(begin().error, HasSubstr("admits its clients in stages; abort ends that"));
    EXPECT_TRUE(canary({{"RANGES", "all"}, {"to", "green"}}).is_done()) << "one at once may be";
}

TEST_F(Operations, RetargetFlipsTheRouteAndOpensAgain) {
    const outcome ended = retarget("green");
    EXPECT_TRUE(ended.is_done()) << ended.error;
    EXPECT_EQ(status("route"), "green");
    EXPECT_EQ(status("gate"), "open");
    EXPECT_EQ(status("mode"), "serving");
    EXPECT_EQ(service->status().at("generation").to_number<int>(), 2);
    EXPECT_EQ(service->status().at("cutover").at("outcome").as_string(), "done");
    EXPECT_THAT(
        recorded(), ElementsAre("route", "cutover_begun", "cutover_committed", "cutover_done")
    );
}

TEST_F(Operations, RetargetOfAPausedServiceLeavesItPaused) {
    EXPECT_TRUE(pause().is_done());
    EXPECT_TRUE(retarget("green").is_done());
    EXPECT_EQ(status("gate"), "paused");
    EXPECT_EQ(status("mode"), "held");
    EXPECT_TRUE(retarget("blue").is_done());
    EXPECT_TRUE(service->pause().resume({}).is_done());
    EXPECT_EQ(service->status().at("generation").to_number<int>(), 3);
}

TEST_F(Operations, WrongAndNeedlessTargetsChangeNothing) {
    const outcome unknown = retarget("grene");
    EXPECT_EQ(unknown.exit, exit_code::usage);
    EXPECT_THAT(unknown.error, HasSubstr("expected blue or green; did you mean \"green\"?"));
    EXPECT_EQ(retarget("blue").exit, exit_code::refused);
    EXPECT_EQ(
        service->cutover().cutover(given("cutover", {{"to", "green"}, {"plan", "p"}}), nobody).exit,
        exit_code::usage
    );
    EXPECT_THAT(recorded(), ElementsAre("route"));
}

TEST_F(Operations, AbortWithoutAnOperationIsRefused) {
    EXPECT_EQ(service->abort().exit, exit_code::refused);
    EXPECT_TRUE(pause().is_done());
    EXPECT_EQ(service->abort().exit, exit_code::refused) << "a pause that stands has ended";
}

TEST_F(Operations, FaultInTheJournalLeavesEverythingAsItWas) {
    ::setenv("PGSLUICE_FAULT", "journal_before:cutover_committed=error", 1);
    const outcome ended = retarget("green");
    ::setenv("PGSLUICE_FAULT", "journal_written:pause=error,journal_before:cutover_begun=error", 1);
    EXPECT_EQ(pause().exit, exit_code::failed);
    EXPECT_EQ(retarget("green").exit, exit_code::failed);
    ::unsetenv("PGSLUICE_FAULT");
    EXPECT_EQ(ended.exit, exit_code::failed);
    EXPECT_THAT(ended.error, HasSubstr("back on blue"));
    EXPECT_EQ(status("route"), "blue");
    EXPECT_EQ(status("gate"), "open");
    EXPECT_THAT(recorded(), ElementsAre("route", "cutover_begun", "cutover_aborted"));
    EXPECT_TRUE(replay(decoded()).has_value()) << "a start reads it";
}

TEST_F(Operations, StoppedServiceRefusesEverything) {
    service->stop();
    EXPECT_EQ(pause().exit, exit_code::refused);
    EXPECT_THAT(retarget("green").error, HasSubstr("shutting down"));
}

TEST_F(Operations, ReloadedSettingsCountFromTheNextOperationOn) {
    service_config changed = *config_;
    changed.backends.push_back({"red", {"127.0.0.1", 3}, {}});
    const auto resolved = resolve_service(changed, testing_config{}, {});
    ASSERT_TRUE(service->apply(std::make_shared<const service_config>(changed), resolved->settings)
                    .is_done());
    EXPECT_TRUE(retarget("red").is_done());
    EXPECT_EQ(status("route"), "red");
}

TEST_F(Operations, RecoveryOfAnUncommittedRetargetGoesBackAndOpens) {
    TearDown();
    service_state found{.backend = "blue", .generation = 1, .is_paused = true};
    found.unfinished =
        unfinished_cutover{.begun = {.id = "c1", .from = "blue", .to = "green", .retarget = true}};
    start(found);
    service->recover(found);
    EXPECT_EQ(status("gate"), "open");
    EXPECT_EQ(status("mode"), "serving");
    EXPECT_EQ(service->status().at("cutover").at("outcome").as_string(), "aborted");
    EXPECT_THAT(recorded(), ElementsAre("route", "resume", "cutover_aborted"));
}

TEST_F(Operations, RecoveryOfACommittedRetargetGoesForwardAndOpens) {
    TearDown();
    service_state found{.backend = "green", .generation = 2};
    found.unfinished = unfinished_cutover{
        .begun = {.id = "c1", .from = "blue", .to = "green", .retarget = true}, .committed = true};
    start(found);
    service->recover(found);
    EXPECT_EQ(status("gate"), "open");
    EXPECT_THAT(recorded(), ElementsAre("route", "cutover_done"));
}

}  // namespace
}  // namespace pgsluice::control
