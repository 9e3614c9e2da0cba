"""Routes by address: clients of some addresses, new and live, on another backend than the route."""

import json

import pytest

from support.cluster import wait_until
from support.pairs import PhysicalPair
from support.sluice import Sluice
from support.wire import Wire, errors_of, query, rows_of

INSIDE, OUTSIDE = "127.0.1.1", "127.0.2.1"
RANGE = "127.0.1.0/24"
ADDRESSES = [f"127.0.1.{n}" for n in range(1, 41)]


@pytest.fixture(scope="module")
def shared(blue, green):
    for server in (blue, green):
        server.query("CREATE TABLE notes (what text)")
    with Sluice({"blue": blue, "green": green}, workers=2) as running:
        yield running


@pytest.fixture
def proxy(shared):
    """Each test begins and ends without a canary and without sessions."""
    yield shared
    shared.ctl("resume", check=False)
    shared.ctl("admit", "all")
    shared.ctl("canary", "off", check=False)
    shared.wait_status(lambda s: s["sessions"]["total"] == 0 and s["canary"] is None,
                       "an empty service without a canary")


@pytest.fixture
def connect():
    """Opens connections that are closed at the end of the test."""
    opened = []

    def one(to, source=INSIDE, **options):
        opened.append(Wire(to.host, to.port, "postgres", source=source, **options))
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()


def side(wire):
    return wire.value("SHOW cluster_name")


def canary(proxy, *words):
    return proxy.ctl("canary", *words)[1]


def refused(proxy, *words):
    """What a command that is not carried out says."""
    return proxy.ctl(*words, json=False, check=False)


# --- new and live sessions ----------------------------------------------------------------------

def test_new_and_live_sessions_of_a_range_go_there_with_their_state(proxy, connect):
    inside, outside = connect(proxy), connect(proxy, OUTSIDE)
    inside.run("SET app.tenant = '7'")
    inside.run("PREPARE mine AS SELECT 'kept'")
    done = canary(proxy, RANGE, "--to", "green")
    assert (done["set"], done["backend"], done["access"]) == ([RANGE], "green", "read-only")
    assert (done["sessions"], done["left"]) == (1, [])
    assert (side(inside), side(outside)) == ("green", "blue")
    assert inside.value("SHOW app.tenant") == "7" and inside.value("EXECUTE mine") == "kept"
    assert (side(connect(proxy)), side(connect(proxy, OUTSIDE))) == ("green", "blue")
    assert proxy.status()["canary"] == {
        "state": "on", "set": [RANGE], "backend": "green", "access": "read-only", "sessions": 2,
        "elsewhere": 0}
    assert sorted((s["canary"], s["backend"]) for s in proxy.sessions()) == [
        (False, "blue"), (False, "blue"), (True, "green"), (True, "green")]
    assert "canary of app" in proxy.ctl("status", json=False)[1]
    assert canary(proxy, "off")["left"] == []
    assert side(inside) == "blue" and inside.value("EXECUTE mine") == "kept"
    assert proxy.status()["canary"] is None
    rows = [json.loads(line) for line in
            proxy.ctl("events", "--json", "--last", "2", json=False)[1].splitlines()]
    assert [(e["event"], e["payload"]["state"]) for e in rows] == [("canary", "on"),
                                                                   ("canary", "off")]
    assert all(e["payload"]["by"] for e in rows)


def test_a_share_is_the_same_for_new_and_live_sessions(proxy, connect):
    live = {source: connect(proxy, source) for source in ADDRESSES}
    done = canary(proxy, f"{RANGE}=30%", "--to", "green")
    there = {source for source, wire in live.items() if side(wire) == "green"}
    assert 0 < len(there) < len(ADDRESSES) and done["sessions"] == len(there)
    for source in ADDRESSES:
        live[source].close()
        assert (side(connect(proxy, source)) == "green") == (source in there)
    more = canary(proxy, f"{RANGE}=60%", "--to", "green")
    assert more["sessions"] > len(there)
    assert canary(proxy, RANGE, "127.0.1.0/28=0%", "--to", "green")["sessions"] == len(
        [s for s in ADDRESSES if int(s.split(".")[-1]) >= 16])


def test_work_goes_on_until_its_boundary(proxy, connect):
    busy = connect(proxy)
    busy.run("BEGIN")
    busy.run("INSERT INTO notes VALUES ('before')")
    done = canary(proxy, RANGE, "--to", "green", "--timeout", "300ms")
    assert done["sessions"] == 0 and "in a transaction" in done["left"][0]
    assert proxy.status()["canary"]["elsewhere"] == 1
    assert side(busy) == "blue"
    busy.run("COMMIT")
    wait_until(lambda: proxy.status()["canary"]["sessions"] == 1, "its arrival")
    assert side(busy) == "green" and errors_of(busy.run("INSERT INTO notes VALUES ('x')")) == [
        "25006"]


@pytest.mark.parametrize("prepare, code", [
    ("CREATE TEMP TABLE t (i int)", "temp"),
    ("LISTEN news", "listen"),
    ("SELECT pg_advisory_lock(7)", "advisory_lock"),
])
def test_a_pinned_session_stays_and_is_named(proxy, connect, prepare, code):
    pinned, free = connect(proxy, application_name="pinned"), connect(proxy)
    pinned.run(prepare)
    done = canary(proxy, RANGE, "--to", "green")
    assert done["sessions"] == 1 and len(done["left"]) == 1
    assert "pinned" in done["left"][0] and f"{code}:" in done["left"][0]
    assert (side(pinned), side(free)) == ("blue", "green")
    assert canary(proxy, "off")["left"] == []
    assert not [s for s in proxy.sessions() if s["pins"]]


def test_a_session_that_cannot_go_back_stays_read_only_and_bars_a_cutover(proxy, connect):
    canary(proxy, RANGE, "--to", "green")
    pinned = connect(proxy, application_name="pinned")
    pinned.run("SELECT pg_advisory_lock(7)")
    code, answer = proxy.ctl("canary", "off", check=False)
    assert code == 5 and "1 session could not go back yet" in answer["error"]
    assert "advisory_lock:" in answer["left"][0]
    assert proxy.status()["canary"]["elsewhere"] == 1
    assert side(pinned) == "green" and errors_of(pinned.run("DELETE FROM notes")) == ["25006"]
    code, why = refused(proxy, "retarget", "green")
    assert code == 4 and "1 session of a canary could not go back yet" in why
    pinned.close()
    proxy.wait_status(lambda s: s["canary"] is None, "the end of the canary")


def test_those_who_wait_go_there_when_they_go_on(proxy, connect):
    wire = connect(proxy)
    proxy.ctl("pause")
    wire.send(query("SHOW cluster_name"))
    canary(proxy, RANGE, "--to", "green")
    assert wire.silent()
    proxy.ctl("resume")
    assert rows_of(wire.read_ready()) == [("green",)]
    proxy.ctl("admit", "127.0.9.0/24")
    proxy.wait_parked(1)
    canary(proxy, "off")
    proxy.ctl("admit", "all")
    assert side(wire) == "blue"


def test_cancels_and_replication(proxy, connect):
    canary(proxy, RANGE, "--to", "green")
    wire = connect(proxy)
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: [s for s in proxy.sessions() if s["state"] == "active"], "it to sleep")
    wire.cancel()
    assert errors_of(wire.read_ready()) == ["57014"]
    replica = connect(proxy, replication="database")
    assert side(replica) == "blue"  # whoever replicates, replicates the route


# --- read-only ----------------------------------------------------------------------------------

def test_read_only_is_forced_there_alone(proxy, connect, green):
    inside, outside = connect(proxy), connect(proxy, OUTSIDE)
    canary(proxy, RANGE, "--to", "green", "--access", "read-only")
    for wire in (inside, connect(proxy)):
        for text in ("INSERT INTO notes VALUES ('no')",
                     "SET default_transaction_read_only = off; INSERT INTO notes VALUES ('no')"):
            assert "25006" in errors_of(wire.run(text))
    hint = inside.run("INSERT INTO notes VALUES ('no')")[0].fields()["H"]
    assert "operator ends it (sluicectl canary off)" in hint
    assert errors_of(outside.run("INSERT INTO notes VALUES ('yes')")) == []
    assert green.value("SELECT count(*) FROM notes WHERE what = 'no'") == 0
    assert canary(proxy, RANGE, "--to", "green", "--access", "read-write")["left"] == []
    assert errors_of(inside.run("INSERT INTO notes VALUES ('now')")) == []
    assert canary(proxy, RANGE, "--to", "green")["access"] == "read-only"
    assert errors_of(inside.run("INSERT INTO notes VALUES ('no')")) == ["25006"]
    canary(proxy, "off")
    assert side(inside) == "blue"
    assert errors_of(inside.run("INSERT INTO notes VALUES ('back')")) == []


def test_a_service_that_is_read_only_stays_so_without_its_canary(proxy, connect):
    inside = connect(proxy)
    canary(proxy, RANGE, "--to", "green")
    proxy.ctl("readonly", "on", "--fence", "none")
    canary(proxy, "off")
    assert side(inside) == "blue"
    assert errors_of(inside.run("INSERT INTO notes VALUES ('no')")) == ["25006"]
    proxy.ctl("readonly", "off")
    assert errors_of(inside.run("INSERT INTO notes VALUES ('yes')")) == []


# --- what a user can do wrong -------------------------------------------------------------------

@pytest.mark.parametrize("words, code, told", [
    ((RANGE, "--to", "gren"), 2, 'did you mean "green"'),
    ((RANGE,), 2, "needs --to"),
    ((), 2, "needs RANGES"),
    (("127.0.1.0/24=101%", "--to", "green"), 2, "percent from 0 to 100"),
    (("127.0.1.0/24=x", "--to", "green"), 2, "percent from 0 to 100"),
    (("127.0.1.1/24", "--to", "green"), 2, "bits set beyond its prefix"),
    ((RANGE, RANGE, "--to", "green"), 2, "is given twice"),
    (("all", RANGE, "--to", "green"), 2, "expected it alone"),
    (("none", "--to", "green"), 2, "expected ranges or off"),
    (("off", "--to", "green"), 2, "takes --timeout alone"),
    ((RANGE, "--to", "green", "--access", "none"), 2, "expected read-only"),
    ((RANGE, "--to", "blue"), 4, "the route is blue already"),
])
def test_what_is_wrong_is_told_and_changes_nothing(proxy, words, code, told):
    canary(proxy, "127.0.5.0/24", "--to", "green")
    status, why = refused(proxy, "canary", *words)
    assert status == code and told in why
    assert proxy.status()["canary"]["set"] == ["127.0.5.0/24"]


def test_a_backend_that_is_down_leaves_its_clients_on_the_route(proxy, connect, green):
    live = connect(proxy)
    green.stop()
    try:
        done = canary(proxy, RANGE, "--to", "green")
        assert done["sessions"] == 0 and 'backend "green" cannot be reached' in done["left"][0]
        fresh = [connect(proxy) for _ in range(3)]
        assert {side(wire) for wire in (live, *fresh)} == {"blue"}
        assert errors_of(fresh[0].run("INSERT INTO notes VALUES ('yes')")) == []
        assert proxy.status()["canary"]["elsewhere"] == 4
        pins = [pin for s in proxy.sessions() for pin in s["pins"]]
        assert len(pins) == 4 and {pin["code"] for pin in pins} == {"unready"}
        assert "canary unreachable" in proxy.log_text(100_000)
    finally:
        green.start()
    proxy.ctl("reconnect")
    proxy.wait_status(lambda s: s["canary"]["sessions"] == 4, "all of them on green")
    assert {side(wire) for wire in (live, *fresh)} == {"green"}


def test_no_cutover_while_it_is_on_and_no_canary_while_one_runs(proxy, connect):
    wire = connect(proxy)
    canary(proxy, RANGE, "--to", "green")
    for words in (("cutover", "--to", "green"), ("cutover", "--to", "green", "--dry-run"),
                  ("retarget", "green")):
        code, why = refused(proxy, *words)
        assert code == 4 and "a canary is on to green; first give canary off" in why
    canary(proxy, "off")
    wire.run("BEGIN")
    moving = proxy.ctl_start("retarget", "green")
    proxy.wait_status(lambda s: (s["cutover"] or {}).get("outcome") == "running", "it to run")
    for words in (("off",), (RANGE, "--to", "green")):
        code, why = refused(proxy, "canary", *words)
        assert code == 4 and "a retarget is running" in why
    wire.run("COMMIT")
    assert moving.finish()[0] == 0 and side(wire) == "green"
    proxy.ctl("retarget", "blue")


# --- restarts, the configuration, a standby -----------------------------------------------------

def test_over_a_restart_and_from_the_configuration(blue, green, connect):
    begins = {"canary": {"cidr": RANGE, "backend": "green", "access": "read-write"}}
    with Sluice({"blue": blue, "green": green}, service=begins) as proxy:
        assert (side(connect(proxy)), side(connect(proxy, OUTSIDE))) == ("green", "blue")
        proxy.kill9()
        proxy.start()
        assert side(connect(proxy)) == "green"
        canary(proxy, "127.0.2.0/24", "--to", "green")
        proxy.restart()
        assert (side(connect(proxy)), side(connect(proxy, OUTSIDE))) == ("blue", "green")
        assert proxy.status()["canary"]["access"] == "read-only"
        canary(proxy, "off")
        proxy.restart()  # the journal knows, not the configuration
        assert side(connect(proxy)) == "blue" and proxy.status()["canary"] is None


@pytest.mark.deadline(150)
def test_a_standby_reads_for_some_and_is_cut_over_to_afterwards(connect):
    with PhysicalPair(scripts=("CREATE TABLE notes (what text)",)) as pair:
        backends = {"blue": pair.old, "green": pair.new}
        with Sluice(backends, dbname="app", replication={"kind": "physical"}) as proxy:
            inside = connect(proxy, dbname="app")
            inside.run("PREPARE mine AS SELECT pg_is_in_recovery()")
            assert inside.value("EXECUTE mine") == "f"
            assert canary(proxy, RANGE, "--to", "green")["left"] == []
            fresh = connect(proxy, dbname="app")
            assert inside.value("EXECUTE mine") == "t"
            assert fresh.value("SELECT pg_is_in_recovery()") == "t"
            assert errors_of(fresh.run("INSERT INTO notes VALUES ('no')")) == ["25006"]
            assert canary(proxy, "off")["left"] == []
            assert inside.value("EXECUTE mine") == "f"
            assert errors_of(fresh.run("INSERT INTO notes VALUES ('yes')")) == []
            assert proxy.ctl("cutover", "--to", "green")[0] == 0
            assert inside.value("EXECUTE mine") == "f"
            assert inside.value("SELECT count(*) FROM notes") == "1"
            assert inside.value("SHOW port") == str(pair.new.port)
