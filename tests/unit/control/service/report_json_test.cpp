#include "control/service/report_json.hpp"
#include "tests/unit/control/cutover/fake_world.hpp"

#include <boost/json/parse.hpp>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using proxy::session_phase;

boost::json::value parsed(const char* text) {
    return boost::json::parse(text);
}

proxy::session_info session(session_phase phase, std::string user, std::string address) {
    proxy::session_info info;
    info.id = 7;
    info.phase = phase;
    info.user = std::move(user);
    info.address = std::move(address);
    info.backend = "blue";
    info.backend_pid = 42;
    info.phase_age = std::chrono::milliseconds(5);
    return info;
}

TEST(ReportJson, CountsEachPhaseOnceAndPinsBeside) {
    std::vector<proxy::session_info> sessions;
    for (const session_phase phase :
         {session_phase::startup,
          session_phase::held,
          session_phase::login,
          session_phase::idle,
          session_phase::active,
          session_phase::in_transaction,
          session_phase::parked,
          session_phase::moving}) {
        sessions.push_back(session(phase, "u", "unix"));
    }
    sessions.back().pins = {{"temp", "a table"}, {"hold_cursor", "a cursor"}};
    EXPECT_EQ(
        boost::json::value(count_sessions(sessions)),
        parsed(R"({"total":8,"starting":2,"held":1,"idle":1,"active":1,"in_transaction":1,
                   "parked":1,"moving":1,"pinned":1,"outside":0})")
    );
}

TEST(ReportJson, ShowsTheClassesOfWaitsThatAnybodyFellInto) {
    cutover_report report;
    report.outcome = "done";
    report.stalls.add(std::chrono::microseconds(999));
    report.stalls.add(std::chrono::milliseconds(1));
    report.stalls.add(std::chrono::milliseconds(1));
    report.stalls.add(std::chrono::minutes(2));
    cutover_request asked;
    asked.from = "blue";
    asked.to = "green";
    const auto shown = report_outcome(asked, report);
    EXPECT_EQ(
        shown.result.at("stalls"),
        parsed(R"([{"from_ms":0,"to_ms":1,"waits":1},{"from_ms":1,"to_ms":2,"waits":2},
                   {"from_ms":30000,"to_ms":null,"waits":1}])")
    );
    EXPECT_EQ(shown.result.at("longest_stall_ms"), 120'000.0);
    EXPECT_TRUE(shown.result.at("way_back").as_string().starts_with("none was prepared"));
}

TEST(ReportJson, GroupsByEachField) {
    std::vector<proxy::session_info> sessions = {
        session(session_phase::idle, "a", "10.1.2.3:5"),
        session(session_phase::idle, "b", "10.1.2.9:6"),
        session(session_phase::active, "b", "[fe80::1:2:3:4]:7"),
    };
    sessions[2].backend = "green";
    sessions[2].pins = {{"temp", ""}, {"credentials", ""}};
    const auto keys = [&](std::string_view by) {
        std::string text;
        const auto result = sessions_json(sessions, by);
        for (const auto& group : result.at("groups").as_array()) {
            text += group.as_object().at(by).as_string();
            text += "=" + std::to_string(group.as_object().at("total").to_number<int>()) + " ";
        }
        return text;
    };
    EXPECT_EQ(keys("user"), "a=1 b=2 ");
    EXPECT_EQ(keys("state"), "active=1 idle=2 ");
    EXPECT_EQ(keys("backend"), "blue=2 green=1 ");
    EXPECT_EQ(keys("prefix"), "10.1.2.0/24=2 fe80::/64=1 ");
    EXPECT_EQ(keys("pin"), "=2 credentials=1 temp=1 ");
    EXPECT_EQ(sessions_json(sessions, "").at("sessions").as_array().size(), 3u);
}

TEST(ReportJson, TellsWhatEachSessionAndGroupHasDone) {
    std::vector<proxy::session_info> sessions = {
        session(session_phase::idle, "a", "10.1.2.3:5"),
        session(session_phase::idle, "b", "10.1.2.9:6"),
        session(session_phase::idle, "b", "10.1.3.9:6"),
    };
    sessions[0].counted = {
        .transactions = 1, .queries = 2, .received_bytes = 30, .sent_bytes = 400, .working = {}};
    sessions[1].counted = {
        .transactions = 5, .queries = 6, .received_bytes = 70, .sent_bytes = 800, .working = {}};
    const auto row = sessions_json(sessions, "").at("sessions").as_array().front().as_object();
    for (const auto& [name, value] :
         {std::pair("transactions", 1),
          std::pair("queries", 2),
          std::pair("received_bytes", 30),
          std::pair("sent_bytes", 400)}) {
        EXPECT_EQ(row.at(name).to_number<int>(), value) << name;
    }
    const auto groups = sessions_json(sessions, "prefix").at("groups").as_array();
    ASSERT_EQ(groups.size(), 2U);
    EXPECT_EQ(groups[0].at("prefix").as_string(), "10.1.2.0/24");
    EXPECT_EQ(groups[0].at("transactions").to_number<int>(), 6);
    EXPECT_EQ(groups[0].at("bytes").to_number<int>(), 1'300);
    EXPECT_EQ(groups[1].at("bytes").to_number<int>(), 0);
}

TEST(ReportJson, PrefixesOfOddAddressesAreHarmless) {
    EXPECT_EQ(address_prefix("unix"), "unix");
    EXPECT_EQ(address_prefix(""), "");
    EXPECT_EQ(address_prefix("host:1"), "host");
    EXPECT_EQ(address_prefix("[::1]:1"), "::/64");
    EXPECT_EQ(address_prefix("[fe80::1%eth0]:1"), "fe80::/64");
    EXPECT_EQ(address_prefix("[nonsense]:1"), "nonsense");
}

TEST(ReportJson, BlockersTellTheAgeOfATransactionOnly) {
    EXPECT_EQ(
        boost::json::value(blocker_json(session(session_phase::in_transaction, "u", "unix"))),
        parsed(R"({"pid":42,"user":"u","database":"","application":"","address":"unix",
                   "transaction_age_ms":5,"state":"in_transaction","query":""})")
    );
    EXPECT_TRUE(
        blocker_json(session(session_phase::active, "u", "unix")).at("transaction_age_ms").is_null()
    );
}

TEST(ReportJson, CutoverReportsKeepExitCodeWordsAndTimes) {
    const cutover_request asked{.id = "c1", .service = "app", .from = "blue", .to = "green"};
    cutover_report report;
    report.exit_code = 5;
    report.outcome = "aborted";
    report.text = "drain: too late; back on blue";
    report.hint = "wait";
    report.rows = {"session 1"};
    report.steps = {{"drain", std::chrono::microseconds(1500), "late"}};
    report.steps[0].in_pause = true;
    using std::chrono::microseconds;
    report.pause = {microseconds(2500), microseconds(1500), microseconds(750), microseconds(250)};
    const outcome ended = report_outcome(asked, report);
    EXPECT_EQ(ended.exit, exit_code::deadline);
    EXPECT_EQ(ended.error, report.text);
    EXPECT_EQ(
        boost::json::value(ended.result),
        parsed(R"({"id":"c1","from":"blue","to":"green","outcome":"aborted",
                   "text":"drain: too late; back on blue","hint":"wait","sessions":0,"switched":0,
                   "lost":0,"held_ms":2.5,"drained_ms":1.5,"waited_ms":0.75,"added_ms":0.25,
                   "longest_stall_ms":0.0,"stalls":[],"rows":["session 1"],"left_behind":[],"checks":[],
                   "steps":[{"step":"drain","took_ms":1.5,"in_pause":true,"text":"late"}]})")
    );
    report.exit_code = 0;
    EXPECT_TRUE(report_outcome(asked, report).error.empty());
}

TEST(ReportJson, RehearsalsShowPlanChecksAndReadings) {
    const cutover_request asked{.id = "c1", .service = "app", .from = "blue", .to = "green"};
    rehearsal found;
    found.text = "would be tried";
    found.checks = {{"login", check_level::warning, "slow", "hurry"}};
    found.plan = {
        {"drain", std::chrono::seconds(1), std::chrono::milliseconds(7), "close", "open"}};
    found.readings = {{"lag", "0 bytes"}};
    found.pinned = {"session 1"};
    EXPECT_EQ(
        boost::json::value(rehearsal_outcome(asked, found).result),
        parsed(R"({"from":"blue","to":"green","text":"would be tried",
                   "checks":[{"check":"login","level":"warn","text":"slow","hint":"hurry"}],
                   "plan":[{"step":"drain","expected_ms":7.0,"deadline_ms":1000,
                            "does":"close","undo":"open"}],
                   "readings":[{"reading":"lag","value":"0 bytes"}],"pinned":["session 1"]})")
    );
}

TEST(Preflight, FailsForErrorsAlone) {
    const cutover_request request = asked(replication_kind::logical);
    std::vector<check_row> rows{
        {"login", check_level::ok, "fine", ""},
        {"slot", check_level::warning, "odd", "look"},
        {"standby", check_level::off, "switched off", ""}};
    outcome ended = preflight_outcome(request, rows);
    EXPECT_EQ(ended.exit, exit_code::done);
    EXPECT_EQ(ended.result["warn"].as_uint64(), 1U);
    rows.push_back({"tables", check_level::error, "lost", "add"});
    ended = preflight_outcome(request, rows);
    EXPECT_EQ(ended.exit, exit_code::failed);
    EXPECT_EQ(ended.error, "1 error: a cutover to green would be refused");
    EXPECT_EQ(ended.result["checks"].as_array().size(), 4U);
}

}  // namespace
}  // namespace pgsluice::control
