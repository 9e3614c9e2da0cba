// Who may do what on the console, how commands end there, and what SHOW shows.
#include "control/config/keys.hpp"
#include "control/console/console.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <stdexcept>

namespace pgsluice::control {
namespace {

using protocol::console_answer;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view file = R"(
services:
  app:
    listen: ["127.0.0.1:1"]
    auth: {method: trust}
    admin: {user: postgres, conninfo: "sslpassword=hunter2"}
    cutover: {after_command: "notify --token hunter2"}
    backends:
      blue: {host: 10.0.0.1, port: 5433, replication_conninfo: "password=hunter2"}
      green: {host: green.example}
    route: blue
)";

proxy::session_info session(proxy::session_id id, proxy::session_phase phase) {
    proxy::session_info made;
    made.id = id;
    made.phase = phase;
    made.user = "u";
    made.database = "shop";
    made.address = "127.0.0.1:4711";
    if (phase != proxy::session_phase::held && phase != proxy::session_phase::startup) {
        made.backend = "blue";
        made.backend_pid = 99;
    }
    return made;
}

/// A console without a daemon: its commands end as `ended` says.
class Console : public testing::Test {
protected:
    Console() {
        threads.start();
        sessions.push_back(session(1, proxy::session_phase::idle));
        sessions.push_back(session(2, proxy::session_phase::in_transaction));
        sessions.push_back(session(3, proxy::session_phase::held));
        sessions.back().waits = true;
        sessions.back().phase_age = std::chrono::milliseconds(2'500);
        sessions.push_back(session(4, proxy::session_phase::startup));
    }

    console_sources sources() {
        return {
            .settings = [this] { return settings; },
            .service =
                [this] { return std::make_shared<const service_config>(settings.services[0]); },
            .status =
                [this] {
                    return boost::json::object{
                        {"name", "app"},
                        {"gate", gate},
                        {"route", "blue"},
                        {"generation", 3},
                        {"admission", {{"set", {"all"}}, {"inside", 2}}},
                        {"backends", {{"blue", {{"sessions", 2}, {"address", "10.0.0.1:5433"}}}}},
                        {"cutover", nullptr}};
                },
            .sessions = [this] { return sessions; },
            .traffic = [this] { return traffic; },
            .events = [] { return boost::json::array(); },
            .names =
                [] {
                    return std::vector<known_name>{{"green.example", {"10.0.0.2", "10.0.0.3"}}};
                }};
    }

    console_answer ask(const std::string& user, const std::string& statement) {
        return ask(console, user, statement);
    }

    static console_answer
    ask(service_console& of, const std::string& user, const std::string& statement) {
        const auto told = std::make_shared<std::promise<console_answer>>();
        const auto notices = std::make_shared<std::vector<failure>>();
        of.run(
            {user, "127.0.0.1:5"},
            statement,
            {.tell = [notices](failure notice) { notices->push_back(std::move(notice)); },
             .done =
                 [told, notices](console_answer given) {
                     given.notices.insert(given.notices.begin(), notices->begin(), notices->end());
                     told->set_value(std::move(given));
                 }}
        );
        return told->get_future().get();
    }

    /// The values of one row of a SHOW, by column.
    std::map<std::string, std::string> row_of(const std::string& statement, std::size_t row = 0) {
        const console_answer answer = ask("vera", statement);
        EXPECT_FALSE(answer.error.has_value()) << statement;
        std::map<std::string, std::string> values;
        for (std::size_t i = 0; i < answer.columns.size() && row < answer.rows.size(); ++i) {
            values[std::string(answer.columns[i].name)] = answer.rows[row][i].value_or("NULL");
        }
        return values;
    }

    config settings = *parse_config(file).value;
    shown_traffic traffic{
        .total =
            {.assignments = 7,
             .transactions = 11,
             .queries = 12,
             .received_bytes = 13,
             .sent_bytes = 14,
             .transaction_us = 15,
             .wait_us = 16,
             .waits = 17,
             .logins = 5},
        .average = {.transactions = 2, .received_bytes = 3}};
    std::string gate = "open";
    std::vector<proxy::session_info> sessions;
    outcome ended = outcome::done({{"gate", "paused"}});
    std::vector<std::string> asked;
    std::vector<boost::json::object> progress;
    command_threads threads;
    service_console console{
        {.service = {"app"},
         .threads = threads,
         .run =
             [this](const request& given, const progress_sink& tell) {
                 asked.push_back(given.asked_by + " " + format_request(given));
                 for (const boost::json::object& step : progress) {
                     tell(step);
                 }
                 return ended;
             },
         .sources = sources()},
        {.admins = {"ada"}, .operators = {"otto"}, .viewers = {"vera"}, .from = {}}};
};

TEST_F(Console, WelcomesThoseWhoAreListed) {
    EXPECT_TRUE(console.welcome({"vera", ""}).has_value());
    EXPECT_EQ(console.welcome({"eve", ""}).error().sqlstate, "28000");
    EXPECT_EQ(console.role_of("ada"), role::admin);
    EXPECT_EQ(console.role_of("otto"), role::operator_);
    console.apply({.admins = {}, .operators = {}, .viewers = {"otto"}, .from = {}});
    EXPECT_EQ(console.role_of("otto"), role::viewer);
    EXPECT_EQ(console.role_of("ada"), role::none);
}

TEST_F(Console, RunsWhatTheRoleIsEnoughForAndSaysWhoAsked) {
    EXPECT_EQ(ask("otto", "PAUSE TIMEOUT 5s").tag, "PAUSE");
    EXPECT_EQ(ask("ada", "RELOAD").tag, "RELOAD");
    EXPECT_THAT(
        asked,
        ElementsAre(
            R"(otto@127.0.0.1:5 {"command":"pause","service":"app","arguments":{"timeout":"5s"}})",
            R"(ada@127.0.0.1:5 {"command":"reload","arguments":{}})"
        )
    );
    for (const auto& [user, statement] :
         {std::pair("vera", "PAUSE"),
          std::pair("otto", "RELOAD"),
          std::pair("eve", "SHOW POOLS"),
          std::pair("vera", "SHOW SESSIONS"),
          std::pair("eve", "SET application_name = 'x'")}) {
        EXPECT_EQ(ask(user, statement).error->sqlstate, "42501") << user << " " << statement;
    }
    EXPECT_EQ(asked.size(), 2U);
}

TEST_F(Console, DescribesWhatItWillAnswer) {
    for (const show_table& table : show_tables()) {
        const std::string statement = "SHOW " + std::string(table.name);
        const auto columns = console.describe(statement);
        ASSERT_TRUE(columns.has_value()) << statement;
        const console_answer answer = ask("ada", statement);
        EXPECT_FALSE(answer.error.has_value()) << statement;
        EXPECT_EQ(answer.tag, "SHOW");
        EXPECT_TRUE(std::equal(
            columns->begin(), columns->end(), answer.columns.begin(), answer.columns.end()
        ));
        for (const auto& row : answer.rows) {
            EXPECT_EQ(row.size(), columns->size()) << statement;
        }
    }
    EXPECT_TRUE(console.describe("PAUSE")->empty());
    EXPECT_EQ(console.describe("PASUE").error().sqlstate, "42601");
}

TEST_F(Console, EndsOfCommandsAreErrorsOfTheirOwn) {
    const std::pair<exit_code, const char*> rows[] = {
        {exit_code::usage, "22023"},
        {exit_code::refused, "55000"},
        {exit_code::deadline, "57014"},
        {exit_code::failed, "40000"},
        {exit_code::needs_operator, "58000"},
    };
    for (const auto& [exit, expected] : rows) {
        ended = outcome::of(exit, "no");
        EXPECT_EQ(ask("otto", "PAUSE").error->sqlstate, expected);
    }
}

TEST_F(Console, DeadlineNamesThoseWhoWereInTheWay) {
    const boost::json::object blocker{
        {"pid", 7},
        {"user", "u"},
        {"database", "d"},
        {"application", ""},
        {"address", "10.0.0.1"},
        {"transaction_age_ms", 5},
        {"state", "active"},
        {"query", "SELECT 1"}};
    boost::json::array blockers;
    for (int i = 0; i < 25; ++i) {
        blockers.push_back(blocker);
    }
    ended = outcome::of(exit_code::deadline, "late", {{"blockers", blockers}});
    const failure why = *ask("otto", "PAUSE").error;
    EXPECT_EQ(why.message, "late");
    EXPECT_THAT(
        why.detail,
        HasSubstr("pid 7, user u, database d, application \"\", from 10.0.0.1, "
                  "active for 5 ms: SELECT 1")
    );
    EXPECT_THAT(why.detail, HasSubstr("and 5 more"));
}

TEST_F(Console, OurVerbsTellWhatTheyDidAndPgBouncersDoNot) {
    EXPECT_TRUE(ask("otto", "RESUME").notices.empty());
    ended = outcome::done({{"text", "moved"}, {"rows", {"one", "two"}}});
    const console_answer answer = ask("otto", "RETARGET green");
    ASSERT_EQ(answer.notices.size(), 1U);
    EXPECT_EQ(answer.notices[0].message, "moved");
    EXPECT_EQ(answer.notices[0].detail, "one\ntwo");
    EXPECT_EQ(answer.tag, "RETARGET");
}

TEST_F(Console, TellsEachStepOnceWhileItWorks) {
    progress = {
        {{"step", "drain"}, {"text", "2 left"}, {"elapsed_ms", 200}},
        {{"step", "drain"}, {"text", "1 left"}, {"elapsed_ms", 400}},
        {{"step", "fence"}, {"text", ""}, {"elapsed_ms", 600}}};
    ended = outcome::done({{"text", "moved"}});
    const console_answer answer = ask("otto", "RETARGET green");
    ASSERT_EQ(answer.notices.size(), 3U);
    EXPECT_EQ(answer.notices[0].message, "drain: 2 left (200ms)");
    EXPECT_EQ(answer.notices[1].message, "fence (600ms)");
    EXPECT_EQ(answer.notices[2].message, "moved");
    EXPECT_TRUE(ask("otto", "PAUSE").notices.empty()) << "not within the first second";
}

TEST_F(Console, ExceptionsAreAnswersToo) {
    sessions.clear();
    settings.services[0].name = "other";
    console_sources broken = sources();
    broken.sessions = []() -> std::vector<proxy::session_info> {
        throw std::runtime_error("broken");
    };
    service_console other(
        {.service = {"app"}, .threads = threads, .run = {}, .sources = broken},
        {.admins = {"ada"}, .operators = {}, .viewers = {}, .from = {}}
    );
    EXPECT_EQ(ask(other, "ada", "SHOW POOLS").error->sqlstate, "XX000");
}

TEST_F(Console, ShowsTheServiceAsPgBouncerShowsADatabase) {
    auto row = row_of("SHOW DATABASES");
    EXPECT_EQ(row["name"], "app");
    EXPECT_EQ(row["host"], "10.0.0.1");
    EXPECT_EQ(row["port"], "5433");
    EXPECT_EQ(row["current_connections"], "2");
    EXPECT_EQ(row["current_client_connections"], "4");
    EXPECT_EQ(row["paused"], "0");
    EXPECT_EQ(row_of("SHOW STATE")["value"], "yes");
    gate = "paused";
    EXPECT_EQ(row_of("SHOW DATABASES")["paused"], "1");
    EXPECT_EQ(row_of("SHOW STATE")["value"], "no");
}

TEST_F(Console, CountsPoolsByDatabaseAndUser) {
    auto row = row_of("SHOW POOLS");
    EXPECT_EQ(row["database"], "shop");
    EXPECT_EQ(row["user"], "u");
    EXPECT_EQ(row["cl_active"], "2");
    EXPECT_EQ(row["cl_waiting"], "1");
    EXPECT_EQ(row["sv_active"], "2");
    EXPECT_EQ(row["maxwait"], "2");
    EXPECT_EQ(row["maxwait_us"], "500000");
    EXPECT_EQ(row_of("SHOW USERS")["current_client_connections"], "3");
}

TEST_F(Console, ShowsBothEndsOfASession) {
    auto client = row_of("SHOW CLIENTS", 1);
    EXPECT_EQ(client["type"], "C");
    EXPECT_EQ(client["state"], "active");
    EXPECT_EQ(client["addr"], "127.0.0.1");
    EXPECT_EQ(client["port"], "4711");
    EXPECT_EQ(client["id"], "2");
    EXPECT_EQ(row_of("SHOW CLIENTS", 0)["state"], "idle");
    EXPECT_EQ(row_of("SHOW CLIENTS", 2)["state"], "waiting");
    EXPECT_EQ(row_of("SHOW CLIENTS", 2)["wait_us"], "500000");
    EXPECT_TRUE(row_of("SHOW CLIENTS", 3).empty());
    auto server = row_of("SHOW SERVERS", 1);
    EXPECT_EQ(server["type"], "S");
    EXPECT_EQ(server["addr"], "10.0.0.1");
    EXPECT_EQ(server["port"], "5433");
    EXPECT_EQ(server["remote_pid"], "99");
    EXPECT_EQ(server["link"], client["ptr"]);
    EXPECT_EQ(ask("vera", "SHOW SOCKETS").rows.size(), 5U);
    EXPECT_EQ(ask("vera", "SHOW ACTIVE_SOCKETS").rows.size(), 2U);
}

TEST_F(Console, CountsLoginsAndMoves) {
    EXPECT_EQ(row_of("SHOW STATS")["total_client_login_count"], "5");
    EXPECT_EQ(row_of("SHOW STATS")["total_server_assignment_count"], "7");
    EXPECT_EQ(row_of("SHOW STATS_TOTALS")["client_login_count"], "5");
    EXPECT_EQ(row_of("SHOW TOTALS")["name"], "total_server_assignment_count");
    EXPECT_EQ(row_of("SHOW TOTALS")["value"], "7");
    EXPECT_EQ(row_of("SHOW DNS_HOSTS")["addrs"], "10.0.0.2,10.0.0.3");
    EXPECT_EQ(row_of("SHOW LISTS", 6)["items"], "3");
}

TEST_F(Console, CountsTrafficInPgBouncersColumns) {
    auto stats = row_of("SHOW STATS");
    auto totals = row_of("SHOW STATS_TOTALS");
    const std::pair<std::string, std::string> columns[] = {
        {"xact_count", "11"},
        {"query_count", "12"},
        {"received", "13"},
        {"sent", "14"},
        {"xact_time", "15"},
        {"query_time", "0"},
        {"wait_time", "16"},
        {"bind_count", "0"}};
    for (const auto& [name, value] : columns) {
        const bool is_bytes = name == "received" || name == "sent";
        EXPECT_EQ(stats["total_" + name], value) << name;
        EXPECT_EQ(totals[(is_bytes ? "bytes_" : "") + name], value) << name;
    }
    EXPECT_EQ(stats["avg_xact_count"], "2");
    EXPECT_EQ(stats["avg_recv"], "3");
    EXPECT_EQ(row_of("SHOW STATS_AVERAGES")["xact_count"], "2");
    EXPECT_EQ(row_of("SHOW STATS_AVERAGES")["database"], "app");
    EXPECT_EQ(row_of("SHOW TOTALS", 1)["value"], "11");
    EXPECT_EQ(row_of("SHOW TOTALS", 13)["name"], "avg_xact_count");
    EXPECT_EQ(row_of("SHOW TOTALS", 13)["value"], "2");
}

TEST_F(Console, HidesSecretsOfTheConfiguration) {
    const console_answer answer = ask("vera", "SHOW CONFIG");
    std::map<std::string, std::string> values;
    for (const auto& row : answer.rows) {
        values[*row[0]] = row[1].value_or("NULL");
        EXPECT_THAT(row[1].value_or(""), Not(HasSubstr("hunter2"))) << *row[0];
    }
    EXPECT_EQ(values["services.app.admin.conninfo"], "********");
    EXPECT_EQ(values["services.app.cutover.after_command"], "********");
    EXPECT_EQ(values["services.app.cutover.before_command"], "NULL");
    EXPECT_EQ(values["services.app.backends.blue.replication_conninfo"], "********");
    EXPECT_EQ(values["services.app.admin.user"], "postgres");
    EXPECT_EQ(values["max_client_conn"], "10000");
    for (const auto& key : service_keys()) {
        EXPECT_TRUE(values.contains("services.app." + std::string(key.name))) << key.name;
        if (key.name.find("command") != key.name.npos || key.name.ends_with("conninfo")) {
            EXPECT_TRUE(key.is_secret) << key.name;
        }
    }
}

TEST_F(Console, HelpIsANoticeAsPgBouncers) {
    const console_answer answer = ask("vera", "SHOW HELP");
    ASSERT_EQ(answer.notices.size(), 1U);
    EXPECT_THAT(answer.notices[0].detail, HasSubstr("SHOW HELP|DATABASES|"));
    EXPECT_THAT(answer.notices[0].detail, HasSubstr("KILL_CLIENT ID"));
}

TEST(CommandThreads, NothingRunsBeforeTheStartNorAfterTheStop) {
    std::promise<void> ran;
    command_threads threads;
    EXPECT_TRUE(threads.run([&ran] { ran.set_value(); }));
    auto done = ran.get_future();
    EXPECT_EQ(done.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
    threads.start();
    done.get();
    threads.stop();
    EXPECT_FALSE(threads.run([] {}));
}

TEST(CommandThreads, RefuseWhatIsTooMuch) {
    command_threads threads;
    std::promise<void> go;
    const std::shared_future<void> gone = go.get_future().share();
    threads.start();
    for (std::size_t i = 0; i < command_threads::threads_max; ++i) {
        EXPECT_TRUE(threads.run([gone] { gone.wait(); }));
    }
    EXPECT_FALSE(threads.run([] {}));
    go.set_value();
}

}  // namespace
}  // namespace pgsluice::control
