"""The console: commands in the databases `pgsluice` and `pgbouncer`, by role, while paused too."""

import subprocess
import threading

import psycopg2
import pytest

from support.cluster import wait_until
from support.console import ROLES, TRUSTING, Console, begin, console_wire
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.login import log_in, request_code, users_file, verifier
from support.sluice import Sluice, program
from support.wire import (Closed, Wire, bind, describe_portal, errors_of, execute, frame, kinds,
                          parse, query, rows_of, startup, sync, terminate)


@pytest.fixture(scope="module")
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}, service=TRUSTING, workers=2) as running:
        yield running


@pytest.fixture
def console(proxy):
    with Console(proxy) as opened:
        yield opened


def gate(proxy):
    return proxy.status()["gate"]


# --- who gets in --------------------------------------------------------------------------------


def test_both_names_lead_to_the_console(proxy):
    for name in ("pgbouncer", "pgsluice"):
        with Console(proxy, "vera", name) as console:
            assert console.run("SHOW VERSION")[0]["version"].startswith("pgsluice ")
    assert proxy.status()["sessions"]["total"] == 0


def test_whoever_is_not_listed_is_refused(proxy):
    with console_wire(proxy, "eve") as wire:
        assert errors_of(wire.startup) == ["28000"]
        assert "may not use the console" in wire.startup[-1].fields()["M"]


def test_addresses_outside_are_refused_before_anybody_is_asked(blue):
    service = {"auth": {"method": "trust"}, "console": {**ROLES, "from": ["127.0.0.1"]}}
    with Sluice({"blue": blue}, service=service) as proxy:
        with console_wire(proxy, "ada") as inside:
            assert kinds(inside.startup).endswith("Z")
        with console_wire(proxy, "ada", source="127.0.0.2") as outside:
            assert errors_of(outside.startup) == ["28000"]
            assert kinds(outside.startup) == "E"


def test_without_users_the_names_are_ordinary(blue):
    with Sluice({"blue": blue}) as proxy, Wire(proxy.host, proxy.port, "postgres",
                                              dbname="pgbouncer") as wire:
        assert errors_of(wire.startup) == ["3D000"]


def test_passwords_are_asked_for_by_the_services_own_method(blue, tmp_path):
    listed = users_file(tmp_path / "users", {"ada": verifier("right"), "vera": "right"})
    for method in ("scram-sha-256", "md5"):
        service = {"auth": {"method": method, "users_file": listed}, "console": ROLES}
        with Sluice({"blue": blue}, service=service) as proxy:
            for user in ("ada", "vera"):
                with Console(proxy, user, password="right") as console:
                    assert console.run("SHOW STATE")[0] == {"key": "active", "value": "yes"}
                with pytest.raises(psycopg2.OperationalError, match="password authentication"):
                    Console(proxy, user, password="wrong")


def test_the_console_proves_that_it_knows_the_user(blue, tmp_path):
    """Some clients do not miss the end of the SCRAM exchange."""
    listed = users_file(tmp_path / "users", {"ada": verifier("right")})
    service = {"auth": {"method": "scram-sha-256", "users_file": listed}, "console": ROLES}
    with Sluice({"blue": blue}, service=service) as proxy, Wire(proxy.host, proxy.port) as wire:
        messages = log_in(wire, "ada", "right", dbname="pgbouncer")
    assert [request_code(m) for m in messages if m.kind == "R"] == [10, 11, 12, 0]
    assert messages[-1].kind == "Z"


def test_rules_decide_for_the_consoles_name_as_for_any_database(blue, tmp_path):
    rules = tmp_path / "hba"
    rules.write_text("host pgbouncer ada 127.0.0.1/32 trust\nhost all postgres all trust\n")
    service = {"auth": {"hba_file": str(rules)}, "console": ROLES}
    with Sluice({"blue": blue}, service=service) as proxy:
        with Console(proxy, "ada") as console:
            assert console.run("SHOW LISTS")
        with console_wire(proxy, "vera", dbname="pgbouncer") as refused:
            assert errors_of(refused.startup) == ["28000"]


def test_a_login_that_a_server_would_check_is_a_wrong_configuration(proxy):
    path = proxy.config_path + ".wrong"
    with open(proxy.config_path) as right, open(path, "w") as wrong:
        wrong.write(right.read().replace("method: trust", "method: passthrough"))
    done = subprocess.run([program("pgsluice"), "--check", "-c", path], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert "console.admin needs clients that pgsluice asks itself" in done.stderr
    assert done.stderr.startswith(path + ":")


def test_sessions_on_the_console_are_counted(proxy):
    opened = [console_wire(proxy, "vera") for _ in range(64)]
    with console_wire(proxy, "vera") as one_more:
        assert errors_of(one_more.startup) == ["53300"]
    opened.pop().close()
    wait_until(lambda: kinds(console_wire(proxy, "vera").startup).endswith("Z"), "a place", 10)
    for wire in opened:
        wire.close()


def test_roles_limit_what_is_done(proxy):
    refused = {"vera": ["PAUSE", "RESUME", "KILL_CLIENT 1", "RELOAD", "ADMIT ALL", "SHOW SESSIONS",
                        "CUTOVER TO green", "RETARGET green", "READONLY ON", "DRAIN", "ABORT"],
               "otto": ["RELOAD", "SHUTDOWN"]}
    for user, statements in refused.items():
        with Console(proxy, user) as console:
            for statement in statements:
                assert console.error(statement)[0] == "42501", (user, statement)
            assert console.run("SHOW STATE")[0]["value"] == "yes"


def test_what_is_done_is_logged_with_who_asked(proxy):
    with Console(proxy, "otto") as console:
        console.run("PAUSE")
        console.run("RESUME")
    assert "command name=pause by=otto@127.0.0.1:" in proxy.log_text(20000)
    assert "command name=resume by=otto@127.0.0.1:" in proxy.log_text(20000)


# --- PgBouncer's commands -----------------------------------------------------------------------


def test_pause_holds_and_resume_lets_go(proxy, connect, console):
    session = connect()
    console.run("PAUSE")
    assert console.tag == "PAUSE"
    assert gate(proxy) == "paused"
    session.send(query("SELECT 1"))
    assert session.silent()
    with Console(proxy, "vera") as other:  # it needs neither the gate nor a server
        assert [row["value"] for row in other.run("SHOW STATE")] == ["no", "yes", "no"]
        assert other.run("SHOW DATABASES")[0]["paused"] == 1
        assert other.run("SHOW POOLS")[0]["cl_waiting"] == 1
    console.run("RESUME app")
    assert console.tag == "RESUME"
    assert rows_of(session.read_ready()) == [("1",)]
    assert console.run("SHOW DATABASES")[0]["paused"] == 0


def test_a_failover_script_goes_unnoticed(proxy, blue):
    """What such scripts do: psql -c for each command, and a change of the file in between."""
    stop, errors, done = threading.Event(), [], []

    def work():
        connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                                      dbname="postgres")
        connection.autocommit = True
        while not stop.is_set() and not errors:
            try:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                done.append(1)
            except psycopg2.Error as error:
                errors.append(error)
        connection.close()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    proxy.service["hold"] = {"timeout": "90s"}
    proxy.write_config()
    at = ["-h", proxy.host, "-p", str(proxy.port), "-U", "ada", "pgbouncer"]
    try:
        for command in ("PAUSE;", "RELOAD;", "RESUME;"):
            script = subprocess.run(["psql", "-X", "-q", *at, "-c", command], text=True,
                                    capture_output=True, timeout=60, check=False)
            assert (script.returncode, script.stdout) == (0, ""), (command, script.stderr)
        before = len(done)
        wait_until(lambda: errors or len(done) > before, "work after the script", 20)
    finally:
        stop.set()
        worker.join()
    assert not errors
    with Console(proxy) as console:
        rows = {row["key"]: row["value"] for row in console.run("SHOW CONFIG")}
    assert rows["services.app.hold.timeout"] in ("90s", "1m30s", "90000ms")


def test_several_statements_in_one_query_run_in_order(proxy):
    with console_wire(proxy, "ada") as wire:
        assert kinds(wire.run("PAUSE; RELOAD; RESUME")) == "CCCZ"
        assert kinds(wire.run("PAUSE; PASUE; RESUME")) == "CEZ"
        assert gate(proxy) == "paused"
        assert kinds(wire.run("RESUME;;")) == "CZ"
        assert kinds(wire.run(" -- nothing")) == "IZ"


def test_a_pause_that_comes_too_late_names_who_was_in_the_way(proxy, connect, console):
    busy = connect("busy app")
    busy.run("BEGIN")
    code, message, detail, _ = console.error("PAUSE TIMEOUT 300ms")
    assert code == "57014"
    assert "1 session did not come to a boundary in time" in message
    assert "busy app" in detail and "in_transaction" in detail and "BEGIN" in detail
    assert gate(proxy) == "open"
    assert console.error("PAUSE app TIMEOUT 300ms ON TIMEOUT KEEP")[0] == "57014"
    assert gate(proxy) == "draining"
    console.run("RESUME")
    console.run("PAUSE TIMEOUT 300ms ON TIMEOUT TERMINATE")
    assert errors_of(busy.read_to_end()) == ["57P01"]


def test_resume_ends_a_pause_that_waits(proxy, connect, console):
    busy = connect()
    busy.run("BEGIN")
    with begin(proxy, "PAUSE TIMEOUT 60s") as waiting:
        proxy.wait_status(lambda s: s["gate"] == "draining", "the pause")
        assert console.error("RETARGET green")[0] == "55000"
        console.run("RESUME")
        assert errors_of(waiting.read_ready()) == ["40000"]
    assert rows_of(busy.run("SELECT 1")) == [("1",)]


def test_a_client_that_leaves_interrupts_nothing(proxy, connect):
    busy = connect()
    busy.run("BEGIN")
    with begin(proxy, "PAUSE TIMEOUT 60s"):
        proxy.wait_status(lambda s: s["gate"] == "draining", "the pause")
    busy.run("COMMIT")
    proxy.wait_status(lambda s: s["gate"] == "paused", "the end of the pause")


def test_kill_ends_what_works_and_holds_the_rest(proxy, connect, console):
    busy, idle = connect(), connect()
    busy.run("BEGIN")
    console.run("KILL app")
    assert console.tag == "KILL"
    assert errors_of(busy.read_to_end()) == ["57P01"]
    idle.send(query("SELECT 1"))
    assert idle.silent()
    console.run("RESUME")
    assert rows_of(idle.read_ready()) == [("1",)]


def test_kill_client_ends_the_one(proxy, connect, console):
    victim, other = connect("victim"), connect("other")
    row = next(r for r in console.run("SHOW CLIENTS") if r["application_name"] == "victim")
    console.run(f"KILL_CLIENT {row['id']}")
    assert console.tag == "KILL_CLIENT"
    assert errors_of(victim.read_to_end()) == ["57P01"]
    assert rows_of(other.run("SELECT 1")) == [("1",)]
    assert console.error("KILL_CLIENT 999999")[0] == "55000"
    assert console.error("KILL_CLIENT 0x1")[0] == "22023"


def test_sluicectl_ends_one_session_too(proxy, connect):
    victim = connect("victim")
    row = next(r for r in proxy.sessions() if r["application"] == "victim")
    proxy.ctl("kill", row["id"])
    assert errors_of(victim.read_to_end()) == ["57P01"]
    victim.close()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "the end of the session")
    assert proxy.ctl("kill", row["id"], check=False)[0] == 4
    assert proxy.ctl("kill", "victim", check=False)[0] == 2


def test_a_cancel_request_interrupts_nothing(proxy, connect):
    busy = connect()
    busy.run("BEGIN")
    with begin(proxy, "PAUSE TIMEOUT 60s") as waiting:
        proxy.wait_status(lambda s: s["gate"] == "draining", "the pause")
        waiting.cancel()
        assert gate(proxy) == "draining"
        busy.run("COMMIT")
        assert kinds(waiting.read_ready()) == "CZ"


def test_what_has_no_meaning_here_says_why(console):
    for statement in ("SUSPEND", "SHOW FDS", "SHUTDOWN WAIT_FOR_CLIENTS",
                      "SET default_pool_size = 5", "BEGIN", "COMMIT", "ROLLBACK"):
        code, message, _, _ = console.error(statement)
        assert code == "0A000" and len(message) > 20, statement
    for statement in ("PAUSE shop", "RESUME shop", "KILL shop", "PAUSE pgbouncer", "DISABLE shop"):
        assert console.error(statement)[0] == "3D000", statement


def test_mistakes_are_named_with_the_nearest_word(console):
    for statement, word in (("PASUE", "PAUSE"), ("SHOW CLIENT", "CLIENTS"),
                            ("PAUSE TIMOUT 5s", "TIMEOUT")):
        code, message, _, hint = console.error(statement)
        assert (code, hint) == ("42601", "SHOW HELP lists the commands."), message
        assert message.endswith(f'did you mean "{word}"?'), message
    assert console.error("PAUSE TIMEOUT soon")[0] == "22023"


def test_reload_says_what_is_wrong_and_applies_other_roles(proxy, console):
    proxy.service["console"] = {**ROLES, "viewer": []}
    proxy.write_config()
    code, message, _, _ = console.error("RELOAD")
    assert code == "22023" and "console.viewer is empty" in message
    proxy.service["console"] = {"admin": ["ada", "vera"]}
    proxy.write_config()
    with Console(proxy, "otto") as otto, Console(proxy, "vera") as vera:
        console.run("RELOAD")
        assert otto.error("SHOW STATE")[0] == "42501"
        proxy.service["console"] = ROLES
        proxy.write_config()
        vera.run("RELOAD")
        assert vera.error("RELOAD")[0] == "42501"


@pytest.mark.parametrize("statement", ["SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS"])
def test_shutdown_ends_the_daemon_well(blue, statement):
    with Sluice({"blue": blue}, service=TRUSTING) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as session, begin(proxy, statement,
                                                                        "ada") as wire:
            assert errors_of(session.read_to_end()) == ["57P01"]
            wire.read_to_end()
        assert proxy.process.wait(20) == 0
        proxy.process = None


# --- our own ------------------------------------------------------------------------------------


def test_retarget_moves_and_tells(proxy, connect, console):
    session = connect()
    where = "SELECT setting FROM pg_settings WHERE name = 'cluster_name'"
    assert rows_of(session.run(where)) == [("blue",)]
    console.run("RETARGET green")
    assert console.tag == "RETARGET" and "NOTICE" in console.notices()
    assert rows_of(session.run(where)) == [("green",)]
    last = console.run("SHOW CUTOVER")[0]
    assert (last["from"], last["to"], last["outcome"]) == ("blue", "green", "done")
    seen = {row["name"]: (row["route"], row["sessions"]) for row in console.run("SHOW BACKENDS")}
    assert seen == {"blue": ("no", 0), "green": ("yes", 1)}
    assert console.run("SHOW SESSIONS")[0]["moves"] == 1
    assert any(row["event"] == "route" for row in console.run("SHOW EVENTS"))
    assert console.error("RETARGET green")[0] == "55000"
    assert console.error("RETARGET gren")[0] == "22023"
    console.run("RETARGET blue")


def test_admit_and_drain(proxy, connect, console):
    session = connect()
    console.run("ADMIT 10.0.0.0/8, 192.168.0.0/16=50% REFUSE 'back at five'")
    row = console.run("SHOW GATE")[0]
    assert (row["gate"], row["admitted"]) == ("staged", "10.0.0.0/8 192.168.0.0/16=50%")
    with Wire(proxy.host, proxy.port, "postgres") as refused:
        assert refused.startup[-1].fields()["M"] == "back at five"
    console.run("ADMIT ALL")
    assert console.run("SHOW GATE")[0]["gate"] == "open"
    for word in ("PAUSE", "RESUME", "SKIP"):
        assert "admits nobody in stages" in console.error(f"ADMIT {word}")[1]
    console.run("DRAIN USER postgres TIMEOUT 10s")
    assert errors_of(session.read_to_end()) == ["57P01"]


def test_canary(connect, console):
    session = connect()
    console.run("CANARY 127.0.0.0/8 TO green ACCESS READ-WRITE")
    assert session.value("SHOW cluster_name") == "green"
    row = {"service": "app", "from": "127.0.0.0/8", "backend": "green", "access": "read-write",
           "sessions": 1, "elsewhere": 0}
    assert console.run("SHOW CANARY") == [row]
    assert console.error("CANARY 127.0.0.0/8")[0] == "22023"
    for word in ("PAUSE", "RESUME", "SKIP"):
        assert "no canary in stages" in console.error(f"CANARY {word}")[1]
    console.run("CANARY OFF")
    assert session.value("SHOW cluster_name") == "blue" and console.run("SHOW CANARY") == []


def test_readonly_on_and_off(connect, console):
    session = connect()
    console.run("READONLY ON FENCE NONE")
    assert errors_of(session.run("CREATE TABLE t (i int)")) == ["25006"]
    assert console.run("SHOW GATE")[0]["access"] == "read-only"
    console.run("READONLY OFF")
    assert errors_of(session.run("CREATE TEMP TABLE t (i int)")) == []
    console.error("PREFLIGHT TO nowhere")


def test_pins_and_a_dry_run(connect, console):
    session = connect()
    session.run("CREATE TEMP TABLE t (i int)")
    code, _, detail, _ = console.error("RETARGET green")
    assert code == "40000" and "temp" in detail
    assert [row["code"] for row in console.run("SHOW PINS")] in ([], ["temp"])
    code, message, _, _ = console.error("ABORT")
    assert code == "55000" and "nothing is running" in message
    assert console.error("CUTOVER TO green DRY RUN")[0] in ("40000", "55000", "22023")


# --- the protocol -------------------------------------------------------------------------------


def test_errors_skip_to_sync_and_the_session_goes_on(proxy):
    with console_wire(proxy, "vera") as wire:
        wire.send(parse("PASUE"), bind(), execute(), sync())
        assert errors_of(wire.read_ready()) == ["42601"]
        wire.send(parse("SHOW VERSION"), bind(), describe_portal(), execute(), sync())
        assert kinds(wire.read_ready()) == "12TDCZ"
        wire.send(parse("SHOW VERSION"), bind("x"), execute(), sync())
        assert errors_of(wire.read_ready()) == ["08P01"]
        wire.send(frame(b"F", b"\0" * 10))
        assert errors_of(wire.read_ready()) == ["0A000"]
        wire.send(query("SHOW STATE"), query("SHOW STATE"), terminate())
        assert kinds(wire.read_to_end()) == "TDDDCZTDDDCZ"


def test_messages_that_are_too_long_end_the_session(proxy):
    with console_wire(proxy, "vera") as wire:
        wire.send(query("SHOW STATE" + " " * (1 << 20)))
        assert errors_of(wire.read_to_end()) == ["08P01"]
    with console_wire(proxy, "vera") as wire:
        wire.send_bytewise(query("SHOW STATE"))
        assert kinds(wire.read_ready()) == "TDDDCZ"


def test_newer_protocols_are_negotiated(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("vera", "pgsluice", version=196608 + 99, **{"_pq_.new": "1"}))
        messages = wire.finish_startup()
        assert messages[0].kind == "v" and b"_pq_.new" in messages[0].body
        assert kinds(messages).endswith("Z")


def test_a_daemon_that_stops_ends_console_sessions(blue):
    proxy = Sluice({"blue": blue}, service=TRUSTING)
    with console_wire(proxy, "vera") as idle:
        proxy.stop()
        assert errors_of(idle.read_to_end()) == ["57P01"]
    with pytest.raises((Closed, OSError)):
        console_wire(proxy, "vera")
    proxy.destroy()
