"""Several services at one address, told apart by the database that a client asks for."""

import subprocess
import threading

import psycopg2
import pytest

from support.cluster import wait_until
from support.console import TRUSTING, Console, console_wire
from support.login import connect as log_in
from support.login import login_error, users_file, verifier
from support.sluice import Sluice, program
from support.tls import TlsWire, authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import Wire, errors_of, kinds, query, rows_of, startup

WHERE = ("SELECT current_database() || ' on ' || setting FROM pg_settings"
         " WHERE name = 'cluster_name'")
RENAMED = (("blue", "shop_old"), ("green", "shop_new"))
DATABASES = ("app_db", "shop_old", "shop_new")


@pytest.fixture(scope="module", autouse=True)
def databases(blue, green):
    for server in (blue, green):
        for name in DATABASES:
            server.query(f"CREATE DATABASE {name}")


def backends(blue, green, dbnames=()):
    made = {name: {"host": server.host, "port": server.port}
            for name, server in (("blue", blue), ("green", green))}
    for name, dbname in dbnames:
        made[name]["dbname"] = dbname
    return made


def described(blue, green, proxy):
    """`app` and `shop` by name, `rest` for all others; all at the address of `app`."""
    common = {"listen": proxy.service["listen"], "route": "blue", "auth": {"method": "trust"},
              "admin": {"user": "postgres", "dbname": "postgres"}}
    return {"app": {**common, "databases": ["app_db"], "backends": backends(blue, green),
                    "console": {"admin": ["ada"], "viewer": ["vera"]}},
            "shop": {**common, "databases": ["shop", "mall"], "console": {
                         "admin": ["ada"], "operator": ["otto"], "viewer": ["vera"]},
                     "backends": backends(blue, green, RENAMED)},
            "rest": {**common, "databases": ["*"], "backends": backends(blue, green)}}


def running(blue, green, change=None):
    proxy = Sluice({"blue": blue, "green": green}, service=TRUSTING, workers=2, start=False)
    proxy.settings["services"] = described(blue, green, proxy)
    if change:
        change(proxy.settings["services"])
    proxy.write_config()
    return proxy.start()


@pytest.fixture(scope="module")
def proxy(blue, green):
    with running(blue, green) as made:
        yield made


@pytest.fixture(autouse=True)
def as_before(request):
    """Each test leaves all services open, empty and on blue."""
    yield
    if "proxy" not in request.fixturenames:
        return
    proxy = request.getfixturevalue("proxy")
    for service in ("app", "shop", "rest"):
        ctl(proxy, service, "resume", check=False)
        ctl(proxy, service, "retarget", "blue", check=False)
    wait_until(lambda: all(s["sessions"]["total"] == 0 for s in services(proxy)), "nobody", 20)


@pytest.fixture
def connect(proxy):
    opened = []

    def one(dbname, **options):
        opened.append(Wire(proxy.host, proxy.port, "postgres", dbname=dbname, **options))
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()


def ctl(proxy, service, *arguments, **options):
    return proxy.ctl("--service", service, *arguments, **options)[1]


def services(proxy):
    return proxy.ctl("status")[1]["services"]


def status(proxy, service):
    return next(s for s in services(proxy) if s["name"] == service)


def totals(proxy):
    return {s["name"]: s["sessions"]["total"] for s in services(proxy)}


# --- the way to a service -----------------------------------------------------------------------


def test_the_database_leads_to_its_service(proxy, connect):
    expected = {"app_db": "app_db on blue", "shop": "shop_old on blue", "mall": "shop_old on blue",
                "postgres": "postgres on blue"}
    for name, where in expected.items():
        assert connect(name).value(WHERE) == where
    assert totals(proxy) == {"app": 1, "shop": 2, "rest": 1}
    rows = ctl(proxy, "shop", "sessions")["sessions"]
    assert sorted(row["database"] for row in rows) == ["mall", "shop"], "as clients call them"


def test_other_names_are_no_databases(blue, green):
    def without_rest(settings):
        del settings["rest"]

    with running(blue, green, without_rest) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as nobody:
            assert errors_of(nobody.startup) == ["3D000"]
            assert kinds(nobody.startup) == "E"
        with Wire(proxy.host, proxy.port, "app_db", dbname="app_db") as no_role:
            assert errors_of(no_role.startup) == ["28000"], "the server's own answer"
        assert totals(proxy) == {"app": 0, "shop": 0}


def test_one_service_alone_refuses_other_names_too(blue):
    with Sluice({"blue": blue}, service={"databases": ["postgres"]}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as one, Wire(
                proxy.host, proxy.port, "postgres", dbname="template1") as other:
            assert errors_of(one.startup) == [] and errors_of(other.startup) == ["3D000"]


def test_bytes_behind_the_startup_go_along(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("postgres", "shop"), query("SELECT 1"), query("SELECT 2"))
        answers = wire.read_ready(3)
        assert rows_of(answers) == [("1",), ("2",)]
    with Wire(proxy.host, proxy.port) as slow:
        slow.send_bytewise(startup("postgres", "postgres"), query("SELECT 1"))
        assert rows_of(slow.read_ready(2)) == [("1",)]


def test_each_service_asks_in_its_own_way(blue, green, tmp_path):
    listed = users_file(tmp_path / "users", {"postgres": verifier("right")})

    def with_passwords(settings):
        settings["shop"]["auth"] = {"method": "scram-sha-256", "users_file": listed}
        del settings["shop"]["console"]

    with running(blue, green, with_passwords) as proxy:
        log_in(proxy, "postgres", dbname="app_db").close()
        log_in(proxy, "postgres", "right", dbname="shop").close()
        assert "password authentication failed" in login_error(proxy, "postgres", "wrong",
                                                               dbname="shop")


def test_through_tls_and_a_load_balancer(blue, green, identity, authority):
    def with_tls(settings):
        for service in settings.values():
            service["tls"] = {"mode": "require", "cert": identity.cert, "key": identity.key}
            service["listen"] = [{"address": service["listen"][0], "proxy_protocol": "required",
                                  "trusted": ["127.0.0.1"]}]

    proxy = Sluice({"blue": blue, "green": green}, service=TRUSTING, start=False)
    proxy.settings["services"] = described(blue, green, proxy)
    with_tls(proxy.settings["services"])
    proxy.write_config()
    proxy.start(wait=False)
    with proxy:
        wait_until(lambda: proxy.ctl("status", check=False)[0] == 0, "the start", 20)
        header = b"PROXY TCP4 10.9.8.7 127.0.0.1 5 6\r\n"
        with TlsWire(proxy.host, proxy.port, "postgres", dbname="shop", before=header) as wire:
            assert wire.value(WHERE) == "shop_old on blue"
            assert ctl(proxy, "shop", "sessions")["sessions"][0]["address"] == "10.9.8.7:5"
            ctl(proxy, "shop", "retarget", "green")
            assert wire.value(WHERE) == "shop_new on green"


# --- each by itself -----------------------------------------------------------------------------


def test_one_is_moved_and_the_others_notice_nothing(proxy, connect):
    app = connect("app_db")
    app.run("SET app.tenant = '7'")
    shop = connect("shop")
    shop.run("BEGIN")
    pid = shop.value("SELECT pg_backend_pid()")
    stop, failures, done = threading.Event(), [], []

    def work():
        try:
            with Wire(proxy.host, proxy.port, "postgres", dbname="mall") as wire:
                while not stop.is_set():
                    if wire.value("SELECT current_database()") != "shop_old":
                        failures.append("moved")
                    done.append(1)
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        wait_until(lambda: done or failures, "work", 20)
        before = status(proxy, "shop")
        for target in ("green", "blue", "green"):
            assert ctl(proxy, "app", "retarget", target)["outcome"] == "done"
            assert app.value(WHERE) == f"app_db on {target}"
        assert app.value("SHOW app.tenant") == "7"
        after = status(proxy, "shop")
    finally:
        stop.set()
        worker.join()
    assert failures == []
    assert shop.value("SELECT pg_backend_pid()") == pid
    assert errors_of(shop.run("COMMIT")) == []
    assert (before["route"], before["generation"]) == (after["route"], after["generation"])
    assert status(proxy, "app")["route"] == "green"
    moved = ctl(proxy, "app", "sessions")["sessions"]
    assert [row["moves"] for row in moved] == [3]
    events = ctl(proxy, "shop", "events", json=False)
    assert {line.split()[1] for line in events.splitlines()} == {"shop"}


def test_a_move_leads_to_a_database_of_another_name(proxy, connect):
    session = connect("shop")
    session.run("SET app.cart = 'full'")
    session.run("PREPARE where_am_i AS SELECT current_database()")
    assert session.value("EXECUTE where_am_i") == "shop_old"
    ctl(proxy, "shop", "retarget", "green")
    assert session.value("EXECUTE where_am_i") == "shop_new"
    assert session.value("SHOW app.cart") == "full"
    assert connect("mall").value(WHERE) == "shop_new on green"


def test_two_operations_at_once(proxy, connect):
    app, shop = connect("app_db"), connect("shop")
    app.run("BEGIN")
    shop.run("BEGIN")
    moves = [proxy.ctl_start("--service", service, "retarget", "green")
             for service in ("app", "shop")]
    for service in ("app", "shop"):
        wait_until(lambda s=service: status(proxy, s)["cutover"], f"the move of {service}", 20)
    shop.run("COMMIT")
    assert moves[1].finish()[0] == 0
    assert shop.value(WHERE) == "shop_new on green"
    assert moves[0].running()
    app.run("COMMIT")
    assert moves[0].finish()[0] == 0
    assert app.value(WHERE) == "app_db on green"


SLEEPING = """SELECT count(*) FROM pg_stat_activity
    WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'"""


def test_cancel_keys_lead_across_services(proxy, blue, connect):
    for name in ("app_db", "shop", "postgres"):
        session = connect(name)
        session.send(query("SELECT pg_sleep(60)"))
        # A server that has not begun with the statement would forget the cancel request.
        wait_until(lambda: blue.value(SLEEPING) == 1, "work", 20)
        session.cancel()
        assert errors_of(session.read_ready()) == ["57014"]


def test_limits_count_for_each(blue, green):
    def with_limits(settings):
        for name, clients in (("app", 5), ("shop", 1), ("rest", 5)):
            settings[name]["max_connections"] = clients

    with running(blue, green, with_limits) as proxy:
        held = [Wire(proxy.host, proxy.port, "postgres", dbname="shop")]
        with Wire(proxy.host, proxy.port, "postgres", dbname="mall") as one_more:
            assert errors_of(one_more.startup) == ["53300"]
            assert 'service "shop"' in one_more.startup[-1].fields()["M"]
        held += [Wire(proxy.host, proxy.port, "postgres", dbname="app_db") for _ in range(3)]
        for wire in held:
            assert rows_of(wire.run("SELECT 1")) == [("1",)]
            wire.close()
        # Who is passed on leaves nothing behind: not at the service that was asked first, whose
        # limit of strangers this would reach, nor at his own.
        for _ in range(1100):
            Wire(proxy.host, proxy.port, "postgres", dbname="nonsense").close()
        wait_until(lambda: set(totals(proxy).values()) == {0}, "nobody", 20)
        with Wire(proxy.host, proxy.port, "postgres", dbname="shop") as again:
            assert errors_of(again.startup) == []


def test_routes_and_pauses_are_remembered_for_each(blue, green):
    with running(blue, green) as proxy:
        ctl(proxy, "shop", "retarget", "green")
        ctl(proxy, "rest", "pause")
        ctl(proxy, "app", "disable")
        proxy.restart()
        seen = {s["name"]: (s["route"], s["gate"], s["new_clients"]) for s in services(proxy)}
        assert seen == {"app": ("blue", "open", "refused"), "shop": ("green", "open", "accepted"),
                        "rest": ("blue", "paused", "accepted")}
        with Wire(proxy.host, proxy.port, "postgres", dbname="shop") as shop:
            assert shop.value(WHERE) == "shop_new on green"
        with Wire(proxy.host, proxy.port, "postgres", dbname="app_db") as refused:
            assert errors_of(refused.startup) == ["57P03"]


# --- the console --------------------------------------------------------------------------------


def gates(console):
    return {row["service"]: row["gate"] for row in console.run("SHOW GATE")}


def test_the_console_names_services_or_means_all(proxy, connect):
    app, shop = connect("app_db"), connect("shop")
    with Console(proxy) as console:
        console.run("PAUSE shop")
        assert gates(console) == {"app": "open", "shop": "paused"}
        assert rows_of(app.run("SELECT 1")) == [("1",)]
        shop.send(query("SELECT 1"))
        assert shop.silent()
        console.run("RESUME shop")
        assert rows_of(shop.read_ready()) == [("1",)]
        console.run("PAUSE app_db")  # the only one of its service
        assert gates(console) == {"app": "paused", "shop": "open"}
        console.run("PAUSE")
        assert gates(console) == {"app": "paused", "shop": "paused"}
        console.run("RESUME")
        assert gates(console) == {"app": "open", "shop": "open"}
        assert console.error("PAUSE mall")[0] == "3D000", "one of two"
        assert console.error("PAUSE rest")[0] == "42501", "it has no console"
        code, message, _, _ = console.error("RETARGET green")
        assert code == "42601" and "expected SERVICE app" in message
        console.run("RETARGET green SERVICE shop")
        assert shop.value(WHERE) == "shop_new on green" and app.value(WHERE) == "app_db on blue"


def test_a_pause_of_all_that_fails_pauses_nobody(proxy, connect):
    busy = connect("shop")
    busy.run("BEGIN")
    with Console(proxy) as console:
        code, _, detail, _ = console.error("PAUSE TIMEOUT 300ms")
        assert code == "57014" and "in_transaction" in detail
        assert gates(console) == {"app": "open", "shop": "open"}


def test_the_console_shows_all_of_them(proxy, connect):
    opened = [connect("app_db"), connect("shop"), connect("mall")]
    for wire in opened:
        wire.run("SELECT 1")
    with Console(proxy, "vera") as console:
        shown = {row["name"]: row for row in console.run("SHOW DATABASES")}
        assert {name: row["database"] for name, row in shown.items()} == {"app": None,
                                                                          "shop": "shop_old"}
        assert shown["shop"]["current_connections"] == 2
        assert {(row["database"], row["cl_active"]) for row in console.run("SHOW POOLS")} == {
            ("app_db", 1), ("shop", 1), ("mall", 1)}
        assert {row["database"] for row in console.run("SHOW STATS")} == {"app", "shop"}
        assert len(console.run("SHOW CLIENTS")) == len(console.run("SHOW SERVERS")) == 3
        lists = {row["list"]: row["items"] for row in console.run("SHOW LISTS")}
        assert lists["databases"] == 2 and lists["used_clients"] == 3
        assert [row["name"] for row in console.run("SHOW BACKENDS SERVICE shop")] == ["blue",
                                                                                      "green"]


def test_roles_are_those_of_each_service(proxy, connect):
    victim, other = connect("shop"), connect("app_db")
    with Console(proxy, "otto") as console:  # listed by shop alone, which is not the first
        assert {row["name"] for row in console.run("SHOW DATABASES")} == {"shop"}
        console.run("PAUSE shop")
        console.run("RESUME shop")
        for statement in ("PAUSE app", "PAUSE", "RESUME"):
            assert console.error(statement)[0] == "42501", statement
        ids = {row["database"]: row["id"] for row in proxy_clients(proxy)}
        assert console.error(f"KILL_CLIENT {ids['app_db']}")[0] == "55000"
        console.run(f"KILL_CLIENT {ids['shop']}")
        assert errors_of(victim.read_to_end()) == ["57P01"]
        assert rows_of(other.run("SELECT 1")) == [("1",)]
    with console_wire(proxy, "eve") as nobody:
        assert errors_of(nobody.startup) == ["28000"]


def proxy_clients(proxy):
    with Console(proxy) as console:
        return console.run("SHOW CLIENTS")


# --- what the file may say ----------------------------------------------------------------------


def test_overlaps_are_told_with_their_place(proxy):
    path = proxy.config_path + ".wrong"
    with open(proxy.config_path) as right, open(path, "w") as wrong:
        wrong.write(right.read().replace("- mall\n", "- app_db\n"))
    done = subprocess.run([program("pgsluice"), "--check", "-c", path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(path + ":")
    assert 'services.shop.databases: "app_db" is of service "app"' in done.stderr


def test_drivers_reach_each(proxy):
    for name, where in (("app_db", "app_db on blue"), ("shop", "shop_old on blue")):
        with psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                              dbname=name) as session, session.cursor() as cursor:
            cursor.execute(WHERE)
            assert cursor.fetchone() == (where,)
        session.close()
