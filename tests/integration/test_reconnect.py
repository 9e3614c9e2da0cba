"""RECONNECT and WAIT_CLOSE, DISABLE and ENABLE, and what the console tells while it works."""

import pytest

from support.cluster import wait_until
from support.console import TRUSTING, Console, begin
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice
from support.wire import Wire, errors_of, kinds, parse, query, rows_of, sync


@pytest.fixture(scope="module")
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}, service=TRUSTING, workers=2) as running:
        yield running


@pytest.fixture
def console(proxy):
    with Console(proxy) as opened:
        yield opened


def pid_of(wire):
    return wire.value("SELECT pg_backend_pid()")


def to_close(console):
    return sum(row["close_needed"] for row in console.run("SHOW SERVERS"))


def test_every_session_gets_a_fresh_connection_and_keeps_its_state(connect, console):
    sessions = [connect(f"app {i}") for i in range(40)]
    for i, session in enumerate(sessions):
        session.run(f"SET app.number = {i}")
        session.run(f"PREPARE mine AS SELECT {i}")
    before = [pid_of(session) for session in sessions]
    console.run("RECONNECT")
    assert console.tag == "RECONNECT"
    console.run("WAIT_CLOSE")
    assert console.tag == "WAIT_CLOSE"
    after = [pid_of(session) for session in sessions]
    assert not set(before) & set(after)
    for i, session in enumerate(sessions):
        assert session.value("SHOW app.number") == session.value("EXECUTE mine") == str(i)
    assert {row["moves"] for row in console.run("SHOW SESSIONS")} == {1}
    assert to_close(console) == 0


def test_work_goes_on_until_its_boundary(connect, console):
    busy = connect()
    before = pid_of(busy)
    busy.run("BEGIN")
    console.run("RECONNECT app")
    assert to_close(console) == 1
    with_deadline = console.error("WAIT_CLOSE TIMEOUT 300ms")
    assert with_deadline[0] == "57014" and "in a transaction" in with_deadline[2]
    assert pid_of(busy) == before
    busy.run("COMMIT")
    console.run("WAIT_CLOSE")
    assert pid_of(busy) != before


def test_wait_close_names_who_keeps_a_connection(connect, console):
    pinned, free = connect("pinned"), connect("free")
    pinned.run("CREATE TEMP TABLE t (i int)")
    before = pid_of(pinned)
    console.run("RECONNECT")
    wait_until(lambda: [row["code"] for row in console.run("SHOW PINS")] == ["temp"], "it", 20)
    code, message, detail, _ = console.error("WAIT_CLOSE TIMEOUT 300ms")
    assert (code, message) == ("57014", "1 session kept the connection they had")
    assert "pinned" in detail and "temp:" in detail
    assert pid_of(pinned) == before and pinned.value("SELECT count(*) FROM t") == "0"
    assert to_close(console) == 1
    assert rows_of(free.run("SELECT 1")) == [("1",)]
    pinned.close()
    console.run("WAIT_CLOSE")  # it has gone


def test_while_paused_too(proxy, connect, console):
    session = connect()
    before = pid_of(session)
    console.run("PAUSE")
    console.run("RECONNECT")
    console.run("WAIT_CLOSE")
    assert proxy.status()["gate"] == "paused"
    session.send(query("SELECT pg_backend_pid()"))
    assert session.silent()
    console.run("RESUME")
    assert rows_of(session.read_ready())[0][0] != before


def test_a_move_to_another_server_is_a_fresh_connection(connect, console):
    busy = connect()
    busy.run("BEGIN")
    console.run("RECONNECT")
    with begin(busy_proxy(console), "RETARGET green") as moving:
        moving.read_until("N")
        busy.run("COMMIT")
        assert kinds(moving.read_ready()).endswith("CZ")
    console.run("WAIT_CLOSE")
    assert busy.value("SELECT setting FROM pg_settings WHERE name = 'cluster_name'") == "green"
    console.run("RETARGET blue")


def busy_proxy(console):
    """Where this console is, as far as another session has to know."""
    class There:  # pylint: disable=too-few-public-methods
        host = console.connection.info.host
        port = console.connection.info.port
    return There


def test_again_and_again_under_load(proxy, connect, console):
    sessions = [connect() for _ in range(8)]
    seen = {pid_of(session) for session in sessions}
    for _ in range(5):
        for session in sessions:
            session.send(query("BEGIN"), query("SELECT 1"), query("COMMIT"))
        console.run("RECONNECT")
        for session in sessions:
            assert kinds(session.read_ready(3)) == "CZTDCZCZ"
        console.run("WAIT_CLOSE")
        now = {pid_of(session) for session in sessions}
        assert not now & seen
        seen = now
    assert proxy.ctl("reconnect")[1] == {"sessions": 8}
    assert "waited_ms" in proxy.ctl("wait-close", "--timeout", "20s")[1]


def test_disable_turns_new_clients_away_alone(proxy, connect, console):
    session = connect()
    console.run("DISABLE app")
    assert console.tag == "DISABLE"
    with Wire(proxy.host, proxy.port, "postgres") as late:
        assert errors_of(late.startup) == ["57P03"]
        assert 'service "app" is disabled' in late.startup[-1].fields()["M"]
    assert rows_of(session.run("SELECT 1")) == [("1",)]
    assert console.run("SHOW DATABASES")[0]["disabled"] == 1
    with Console(proxy, "vera") as other:  # the console is none of it
        assert other.run("SHOW STATE")
    console.run("PAUSE")
    console.run("RESUME")
    console.run("ENABLE")
    with Wire(proxy.host, proxy.port, "postgres") as late:
        assert errors_of(late.startup) == []
    assert console.run("SHOW DATABASES")[0]["disabled"] == 0
    assert [row["event"] for row in console.run("SHOW EVENTS")].count("clients") == 2


def test_disable_survives_a_restart(blue):
    with Sluice({"blue": blue}, service=TRUSTING) as proxy:
        proxy.ctl("disable")
        proxy.restart()
        assert proxy.status()["new_clients"] == "refused"
        with Wire(proxy.host, proxy.port, "postgres") as late:
            assert errors_of(late.startup) == ["57P03"]
        assert proxy.ctl("enable")[1] == {"new_clients": "accepted", "already": False}
        with Wire(proxy.host, proxy.port, "postgres") as late:
            assert errors_of(late.startup) == []


@pytest.mark.parametrize("statement", ["PAUSE TIMEOUT 60s", "DRAIN TIMEOUT 60s", "RETARGET green"])
def test_progress_is_told_while_a_command_works(proxy, connect, console, statement):
    busy = connect()
    busy.run("BEGIN")
    with begin(proxy, statement) as working:
        notice = working.read_until("N")[-1].fields()
        assert notice["S"] == "NOTICE" and notice["C"] == "00000"
        assert statement.split()[0].lower() in ("retarget", notice["M"].split(":")[0])
        busy.run("COMMIT")
        assert errors_of(working.read_ready()) == []
    console.run("RESUME")
    if statement.startswith("RETARGET"):
        console.run("RETARGET blue")


def test_types_that_were_made_anew_are_looked_up_again(connect, console, blue):
    session = connect()
    for _ in range(2):
        blue.query("DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('calm')")
        oid = int(session.value("SELECT 'mood'::regtype::oid"))
        session.send(parse("SELECT $1", "typed", [oid]), sync())
        assert errors_of(session.read_ready()) == []
        before = pid_of(session)
        console.run("RECONNECT")
        console.run("WAIT_CLOSE")
        assert pid_of(session) != before
        session.run("DEALLOCATE typed")
    blue.query("DROP TYPE mood")
