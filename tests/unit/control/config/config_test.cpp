#include "control/config/config.hpp"
#include "tests/unit/control/base/temp_directory.hpp"
#include "tests/unit/control/config/config_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsluice::control {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> errors_of(std::string_view yaml) {
    std::vector<std::string> lines;
    for (const config_problem& problem : parse_config(yaml).errors) {
        lines.push_back(format_problem("f", problem));
    }
    return lines;
}

/// `body` as the mapping of service `app`, indented by the caller by 4 blanks.
std::vector<std::string> errors_of_service(std::string_view body) {
    return errors_of(std::string(smallest) + std::string(body));
}

TEST(Config, SmallestFileTakesEveryDefault) {
    const config_outcome outcome = parse_config(smallest);
    ASSERT_TRUE(outcome.value.has_value());
    EXPECT_THAT(outcome.warnings, IsEmpty());
    const config& value = *outcome.value;
    EXPECT_EQ(value.control, control_config{});
    EXPECT_EQ(value.workers, 0u);
    ASSERT_THAT(value.services, SizeIs(1));
    const service_config& service = value.services[0];
    EXPECT_EQ(service.route, "blue") << "the only backend is the route";
    EXPECT_EQ(service.backends[0].address, (host_port{"localhost", 5432}));
    EXPECT_EQ(service.hold, hold_config{});
    EXPECT_EQ(service.max_connections, 10'000u);
}

TEST(Config, ExampleFileIsValidAndReadAsWritten) {
    const config_outcome outcome = parse_config(file_text("configs/pgsluice.yaml"));
    ASSERT_THAT(outcome.errors, IsEmpty());
    const service_config* service = outcome.value->find_service("app");
    ASSERT_NE(service, nullptr);
    EXPECT_THAT(service->listen, ElementsAre(listen_config{.address = {"127.0.0.1", 6432}}));
    EXPECT_EQ(service->find_backend("green")->address, (host_port{"127.0.0.1", 5433}));
    EXPECT_EQ(service->route, "blue");
    EXPECT_EQ(service->hold.timeout, milliseconds(120'000));
    EXPECT_EQ(service->admin.passfile, "/etc/pgsluice/pgpass");
    EXPECT_EQ(service->replication.kind, replication_kind::logical);
    EXPECT_EQ(service->replication.subscription, "app_sub");
    EXPECT_EQ(service->cutover.on_pinned, pinned_policy::abort);
    EXPECT_EQ(service->find_backend("red"), nullptr);
    EXPECT_EQ(outcome.value->find_service("none"), nullptr);
}

TEST(Config, EveryKeyOfTheContractIsRead) {
    const config_outcome outcome = parse_config(R"(
control: {socket: /tmp/s, state_dir: /tmp/d}
workers: 3
http: 127.0.0.1:6433
log: {level: debug, format: json}
services:
  app:
    listen: ["[::]:6432", /run/pg, "/run/pg:7000"]
    backends: {blue: {host: /run/postgresql, port: 5440}, green: {host: b}}
    route: green
    auth: {method: trust}
    hold: {timeout: 3m, notice_after: 250ms}
    admin: {user: u, dbname: d, passfile: p, service: s, conninfo: "sslmode=require"}
    replication: {kind: physical}
    cutover: {drain_timeout: 1s, catch_up_timeout: 2s, on_pinned: wait, promote_command: "a b"}
    max_connections: 7
    connect_timeout: 8s
    login_timeout: 9s
    moves_in_flight: 10
testing: {move_every: 12}
)");
    ASSERT_THAT(outcome.errors, IsEmpty());
    ASSERT_THAT(outcome.warnings, SizeIs(1));
    EXPECT_EQ(
        format_problem("f", outcome.warnings[0]),
        "f:4:7: http is accepted, but not served by this version"
    );
    const config& value = *outcome.value;
    EXPECT_EQ(value.workers, 3u);
    EXPECT_EQ(value.http, (host_port{"127.0.0.1", 6433}));
    EXPECT_EQ(value.log.level, log_level::debug);
    EXPECT_EQ(value.log.format, log_format::json);
    EXPECT_EQ(value.testing.move_every, 12u);
    const service_config& service = value.services[0];
    EXPECT_THAT(
        service.listen,
        ElementsAre(
            listen_config{.address = {"::", 6432}},
            listen_config{.address = {"/run/pg", 6432}},
            listen_config{.address = {"/run/pg", 7000}}
        )
    );
    EXPECT_EQ(service.find_backend("blue")->address, (host_port{"/run/postgresql", 5440}));
    EXPECT_EQ(service.auth, (auth_config{.method = auth_method::trust}));
    EXPECT_EQ(service.hold.notice_after, milliseconds(250));
    EXPECT_EQ(service.admin, (admin_config{"u", "d", "p", "s", "sslmode=require"}));
    EXPECT_EQ(service.replication.kind, replication_kind::physical);
    EXPECT_EQ(service.cutover.on_pinned, pinned_policy::wait);
    EXPECT_EQ(service.cutover.promote_command, "a b");
    EXPECT_EQ(service.max_connections, 7u);
    EXPECT_EQ(service.connect_timeout, milliseconds(8000));
    EXPECT_EQ(service.login_timeout, milliseconds(9000));
    EXPECT_EQ(service.moves_in_flight, 10u);
}

TEST(ConfigErrors, UnknownKeysNameTheNearestOne) {
    EXPECT_THAT(
        errors_of_service("    hodl: {timeout: 1s}\n"),
        ElementsAre(
            "f:6:5: unknown key \"hodl\" in services.app, expected listen, databases, route, "
            "access, auth, tls, hold, admin, replication, pins, max_connections, connect_timeout, "
            "login_timeout, moves_in_flight, canary, client_address, limits, console, cutover, "
            "checks or backends; did you mean \"hold\"?"
        )
    );
    EXPECT_THAT(
        errors_of_service("    hold: {timeuot: 1s}\n"),
        ElementsAre("f:6:12: unknown key \"timeuot\" in services.app.hold, expected timeout or "
                    "notice_after; did you mean \"timeout\"?")
    );
    EXPECT_THAT(
        errors_of_service("    drain_timeout: 1s\n"),
        ElementsAre(HasSubstr("did you mean \"services.app.cutover.drain_timeout\"?"))
    );
    EXPECT_THAT(
        errors_of(std::string(smallest) + "service: {}\n"),
        ElementsAre(HasSubstr("f:6:1: unknown key \"service\", expected control, workers"))
    );
    EXPECT_THAT(
        errors_of_service("      blue2: {host: a, prot: 1}\n"),
        testing::Contains(HasSubstr("did you mean \"port\"?"))
    );
}

TEST(ConfigErrors, AllOfAFileAreReportedInOrder) {
    const auto errors = errors_of(R"(workers: many
control: {sokcet: /tmp/x}
services:
  app:
    listen: [localhost, "127.0.0.1:99999", "127.0.0.1:1", "127.0.0.1:1"]
    backends:
      blue: {port: 70000}
      "b b": {host: x}
    hold: {timeout: 10}
    auth: {method: cert}
)");
    EXPECT_THAT(
        errors,
        ElementsAre(
            HasSubstr("f:1:10: workers: \"many\" is not valid, expected auto or a whole number"),
            HasSubstr("f:2:11: unknown key \"sokcet\" in control"),
            HasSubstr("f:5:14: services.app.listen: \"localhost\" has no port"),
            HasSubstr("f:5:25: services.app.listen: \"127.0.0.1:99999\" has no valid port"),
            HasSubstr("f:5:59: services.app.listen: \"127.0.0.1:1\" is listed twice"),
            HasSubstr("f:7:7: services.app.backends.blue has no \"host\", expected one"),
            HasSubstr("f:7:20: services.app.backends.blue.port: \"70000\" is not valid"),
            HasSubstr("f:8:7: \"b b\" is not a valid name of a backend"),
            HasSubstr("f:9:21: services.app.hold.timeout: \"10\" has no unit"),
            HasSubstr("f:10:20: services.app.auth.method: auth method \"cert\" is for some "
                      "connections only")
        )
    );
}

TEST(ConfigErrors, UsersAreReadWithTheConfiguration) {
    const temp_directory home;
    const std::string path = home.path() + "/users.txt";
    const auto with = [&](const std::string& method) {
        return "    auth: {method: " + method + ", users_file: " + path + "}\n";
    };
    EXPECT_THAT(
        errors_of_service(with("md5")),
        ElementsAre("f:6:37: services.app.auth.users_file: " + path + ": No such file or directory")
    );
    std::ofstream(path) << "\"alice\" \"secret\"\n\"bob\" secret\n";
    EXPECT_THAT(
        errors_of_service(with("md5")),
        ElementsAre(
            "f:6:37: services.app.auth.users_file: " + path +
            ":2:7: expected the password or its hash in double quotes"
        )
    );
    std::ofstream(path) << "\"alice\" \"secret\"\n";
    EXPECT_THAT(errors_of_service(with("md5")), IsEmpty());
    EXPECT_THAT(
        errors_of_service("    auth: {method: scram-sha-256}\n"),
        ElementsAre("f:6:20: services.app.auth.method asks clients for passwords, expected "
                    "\"users_file\" or \"query\" beside it")
    );
    const config_outcome trusting = parse_config(std::string(smallest) + with("trust"));
    ASSERT_THAT(trusting.warnings, SizeIs(1));
    EXPECT_THAT(trusting.warnings[0].text, HasSubstr("everybody is let in"));
}

TEST(ConfigErrors, SyntaxErrorsHaveAPositionToo) {
    EXPECT_THAT(errors_of("services:\n  app: [1, 2\n"), ElementsAre(HasSubstr("f:3:1: YAML: ")));
    EXPECT_THAT(errors_of("a: b: c\n"), ElementsAre(HasSubstr("f:1:5: YAML: ")));
    EXPECT_THAT(errors_of("services:\n\tapp: 1\n"), ElementsAre(HasSubstr("f:2:5: YAML: ")));
    EXPECT_THAT(errors_of("services: *nobody\n"), ElementsAre(HasSubstr("YAML: ")));
    EXPECT_THAT(
        errors_of(std::string(smallest) + "---\nservices: {}\n"),
        ElementsAre(HasSubstr("a second YAML document"))
    );
}

TEST(ConfigErrors, WrongShapesSayWhatWasExpected) {
    EXPECT_THAT(
        errors_of(""), ElementsAre(HasSubstr("the file holds nothing, expected a mapping"))
    );
    EXPECT_THAT(errors_of("[1]"), ElementsAre(HasSubstr("f:1:1: the file holds a list")));
    EXPECT_THAT(errors_of("workers: 1\n"), ElementsAre(HasSubstr("has no \"services\"")));
    EXPECT_THAT(errors_of("services:\n"), ElementsAre(HasSubstr("services is nothing")));
    EXPECT_THAT(errors_of("services: {}\n"), ElementsAre(HasSubstr("services is empty")));
    EXPECT_THAT(errors_of("services: {app: 1}\n"), ElementsAre(HasSubstr("services.app is \"1\"")));
    EXPECT_THAT(
        errors_of("services: {app: {listen: \"a:1\", backends: {b: {host: h}}}}\n"),
        ElementsAre(HasSubstr("services.app.listen is \"a:1\", expected a value of type: list"))
    );
    EXPECT_THAT(
        errors_of("services: {app: {listen: [], backends: {b: {host: h}}}}\n"),
        ElementsAre(HasSubstr("services.app.listen is empty"))
    );
    EXPECT_THAT(
        errors_of("services: {app: {listen: [[a]], backends: {b: h}}}\n"),
        ElementsAre(
            HasSubstr("services.app.listen holds a list"),
            HasSubstr("services.app.backends.b is \"h\"")
        )
    );
    EXPECT_THAT(
        errors_of_service("    hold: 10s\n"),
        ElementsAre(HasSubstr("services.app.hold is \"10s\", expected a mapping of timeout"))
    );
    EXPECT_THAT(
        errors_of_service("    route: {a: b}\n"),
        ElementsAre(
            HasSubstr("services.app.route is a mapping"), HasSubstr("route: \"\" is not a backend")
        )
    );
    EXPECT_THAT(errors_of_service("    [a]: b\n"), ElementsAre(HasSubstr("a key is a list")));
    EXPECT_THAT(
        errors_of_service("    route:\n"),
        testing::Contains(HasSubstr("services.app.route is nothing"))
    );
}

TEST(ConfigErrors, DuplicatesAreRefused) {
    EXPECT_THAT(
        errors_of_service("    listen: [\"a:2\"]\n"),
        ElementsAre(HasSubstr("f:6:5: key \"listen\" is given twice in services.app"))
    );
    EXPECT_THAT(
        errors_of("services:\n  a: {listen: [\"h:1\"], backends: {b: {host: h}, b: {host: i}}}\n"
                  "  a: {}\n"),
        ElementsAre(
            HasSubstr("backend \"b\" is given twice"), HasSubstr("service \"a\" is given twice")
        )
    );
    EXPECT_THAT(
        errors_of("services:\n  a: {listen: [\"h:1\"], backends: {b: {host: h}}}\n"
                  "  b: {listen: [\"h:1\"], backends: {b: {host: h}}}\n"),
        ElementsAre("f:3:15: services.b.listen: h:1 is taken by service \"a\", expected an address "
                    "of its own, or \"databases\" in both to tell them apart")
    );
}

TEST(ConfigErrors, RulesBetweenKeysAreChecked) {
    EXPECT_THAT(
        errors_of_service("      green: {host: h}\n"),
        ElementsAre(HasSubstr("f:2:3: services.app has no \"route\", expected the name of one"))
    );
    EXPECT_THAT(
        errors_of_service("    route: bleu\n"),
        ElementsAre("f:6:12: services.app.route: \"bleu\" is not a backend, expected blue; did you "
                    "mean \"blue\"?")
    );
    EXPECT_THAT(
        errors_of_service("    replication: {kind: logical}\n"),
        ElementsAre(HasSubstr("f:6:25: services.app.replication is logical, expected "))
    );
    EXPECT_THAT(
        errors_of_service("    replication: {kind: physical, reverse: \"on\"}\n"),
        ElementsAre(HasSubstr("services.app.replication.reverse is on, expected "))
    );
}

TEST(ConfigErrors, AdminConninfoIsJudgedByLibpq) {
    EXPECT_THAT(errors_of_service("    admin: {conninfo: \"sslmode=prefer\"}\n"), IsEmpty());
    EXPECT_THAT(
        errors_of_service("    admin: {conninfo: \"nonsense=1\"}\n"),
        ElementsAre(HasSubstr("invalid connection option \"nonsense\""))
    );
    EXPECT_THAT(
        errors_of_service("    admin: {conninfo: \"host=elsewhere\"}\n"),
        ElementsAre(HasSubstr("admin.conninfo sets host"))
    );
    EXPECT_THAT(
        errors_of_service("    admin: {conninfo: \"password=secret\"}\n"),
        ElementsAre(HasSubstr("expected admin.passfile"))
    );
}

TEST(ConfigErrors, UnreadableFileIsAnError) {
    const config_outcome missing = load_config("/nonexistent/pgsluice.yaml");
    ASSERT_THAT(missing.errors, SizeIs(1));
    EXPECT_EQ(
        format_problem("x", missing.errors[0]),
        "x:1:1: the file cannot be read, expected a YAML configuration"
    );
    EXPECT_FALSE(load_config("/").value.has_value());
}

TEST(ConfigErrors, HostileTextNeverThrows) {
    const std::string example = file_text("configs/pgsluice.yaml");
    for (std::size_t cut = 0; cut < example.size(); cut += 7) {
        parse_config(std::string_view(example).substr(0, cut));
        std::string changed = example;
        changed[cut] = static_cast<char>(cut % 256);
        parse_config(changed);
    }
    parse_config("a: &a [*a, *a]\nservices: &b {app: *b}\n");
    parse_config(std::string(5000, '['));
    parse_config(std::string("\0\xff\xfe", 3));
}

TEST(QuickConfig, BuildsOneServiceRoutedToTheFirstBackend) {
    const auto value = quick_config(
        {.listen = "127.0.0.1:6432",
         .backends = {"blue=127.0.0.1:5432", "green=/run/postgresql:5433"},
         .state_dir = "/tmp/s",
         .socket = "/tmp/s/control.sock",
         .workers = "2"}
    );
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(value->workers, 2u);
    EXPECT_EQ(value->control.state_dir, "/tmp/s");
    ASSERT_THAT(value->services, SizeIs(1));
    const service_config& service = value->services[0];
    EXPECT_EQ(service.name, "default");
    EXPECT_EQ(service.route, "blue");
    EXPECT_EQ(service.find_backend("green")->address, (host_port{"/run/postgresql", 5433}));
    EXPECT_EQ(parse_config(print_config(*value)).value, *value);
}

TEST(QuickConfig, SaysWhichArgumentIsWrong) {
    const quick_start good{
        .listen = "h:1", .backends = {"a=h:2"}, .state_dir = "s", .socket = "c", .workers = ""};
    const auto message = [&](auto change) {
        quick_start arguments = good;
        change(arguments);
        const auto value = quick_config(arguments);
        return value.has_error() ? value.error().message : "";
    };
    EXPECT_EQ(message([](quick_start&) {}), "");
    EXPECT_THAT(message([](auto& a) { a.listen = "x"; }), HasSubstr("--listen: \"x\" has no port"));
    EXPECT_THAT(message([](auto& a) { a.backends = {}; }), HasSubstr("--backend: none is given"));
    EXPECT_THAT(message([](auto& a) { a.backends = {"h:2"}; }), HasSubstr("NAME=HOST:PORT"));
    EXPECT_THAT(message([](auto& a) { a.backends = {"a=h"}; }), HasSubstr("has no port"));
    EXPECT_THAT(message([](auto& a) { a.backends = {"a=h:1", "a=h:2"}; }), HasSubstr("twice"));
    EXPECT_THAT(message([](auto& a) { a.workers = "0"; }), HasSubstr("--workers: "));
    EXPECT_THAT(message([](auto& a) { a.socket = ""; }), HasSubstr("--socket: "));
    EXPECT_THAT(message([](auto& a) { a.state_dir = ""; }), HasSubstr("--state-dir: "));
}

}  // namespace
}  // namespace pgsluice::control
