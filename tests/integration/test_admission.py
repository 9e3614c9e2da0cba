"""Staged admission: whose new work the open gate lets through, by the client's address."""

import ipaddress
import json
import os
import socket
import threading

import pytest

from support.cluster import Cluster, wait_until
from support.sluice import Sluice
from support.wire import Closed, Wire, errors_of, kinds, query, rows_of, startup

INSIDE, OUTSIDE = "127.0.1.1", "127.0.2.1"
ONE, TWO = "127.0.1.0/24", "127.0.2.0/24"


@pytest.fixture(scope="module")
def logged():
    """A server that logs every statement."""
    with Cluster("logged", log_statement="all") as server:
        yield server


@pytest.fixture(scope="module")
def shared(logged, green):
    with Sluice({"blue": logged, "green": green}, workers=2) as running:
        yield running


@pytest.fixture
def proxy(shared):
    """Each test begins and ends with everybody admitted, an open gate and no sessions."""
    yield shared
    shared.ctl("admit", "all")
    shared.ctl("resume")
    shared.wait_status(lambda s: s["sessions"]["total"] == 0 and s["gate"] == "open",
                       "an empty service with an open gate")


@pytest.fixture
def connect():
    """Opens connections that are closed at the end of the test."""
    opened = []

    def one(to, source, user="postgres", **options):
        opened.append(Wire(to.host, to.port, user, source=source, **options))
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()


@pytest.fixture
def starting(connect):
    """Clients whose startup packet is sent, and not waited for."""
    def one(to, source):
        wire = connect(to, source, user=None)
        wire.send(startup("postgres", "postgres"))
        return wire

    return one


def admit(proxy, *words):
    return proxy.ctl("admit", *words)[1]


def wait_held(proxy, count):
    proxy.wait_status(lambda s: s["sessions"]["held"] == count, f"{count} held clients")


def answers(wire, text):
    return rows_of(wire.read_ready()) == [(text,)]


# --- live sessions ------------------------------------------------------------------------------

def test_session_outside_parks_and_goes_on_once_admitted(proxy, connect):
    inside, outside = connect(proxy, INSIDE), connect(proxy, OUTSIDE)
    done = admit(proxy, ONE)
    assert (done["gate"], done["inside"], done["outside"], done["still_working"]) == (
        "staged", 1, 1, 0)
    assert done["acknowledged_ms"] > 0 and done["workers"] == 2
    outside.send(query("SELECT 'waited'"))
    assert inside.value("SELECT 'served'") == "served"
    assert outside.silent()
    status = proxy.status()
    assert status["gate"] == "staged" and status["sessions"]["parked"] == 1
    assert admit(proxy, ONE, TWO)["outside"] == 0
    assert answers(outside, "waited")
    assert inside.value("SELECT 1") == "1"


def test_session_outside_finishes_its_transaction(proxy, connect):
    wire = connect(proxy, OUTSIDE)
    wire.run("BEGIN")
    assert admit(proxy, ONE)["still_working"] == 1
    assert wire.value("SELECT 'in it'") == "in it"
    wire.run("COMMIT")
    proxy.wait_parked(1)
    wire.send(query("SELECT 'behind it'"))
    assert wire.silent()
    admit(proxy, "all")
    assert answers(wire, "behind it")


def test_client_that_leaves_while_parked_is_gone(proxy, connect):
    wires = [connect(proxy, OUTSIDE) for _ in range(3)]
    admit(proxy, "none")
    proxy.wait_parked(3)
    wires[0].send(query("SELECT 1"))
    wires[0].close()
    wires[1].abort()
    wires[2].close()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no sessions")


def test_nobody_admitted_is_a_pause_and_everybody_an_open_gate(proxy, connect):
    wire = connect(proxy, INSIDE)
    wire.run("BEGIN")
    assert admit(proxy, "none")["gate"] == "draining"
    wire.run("ROLLBACK")
    proxy.wait_status(lambda s: s["gate"] == "paused", "a paused gate")
    assert proxy.ctl("resume")[1]["gate"] == "paused", "resume opens the gate, not the set"
    assert admit(proxy, "all")["gate"] == "open"
    assert wire.value("SELECT 1") == "1"


# --- new clients --------------------------------------------------------------------------------

def test_new_client_outside_is_held_until_admitted(proxy, connect, starting):
    admit(proxy, ONE)
    held = starting(proxy, OUTSIDE)
    wait_held(proxy, 1)
    assert connect(proxy, INSIDE).value("SELECT 1") == "1"
    assert held.silent()
    row = next(r for r in proxy.sessions() if r["state"] == "held")
    assert row["admitted"] is False and row["address"].startswith(OUTSIDE)
    admit(proxy, TWO)
    assert kinds(held.finish_startup())[-1] == "Z"
    assert held.value("SELECT 1") == "1"


def test_new_client_outside_can_be_refused(proxy, connect, starting):
    live = connect(proxy, OUTSIDE)
    admit(proxy, ONE)
    held = starting(proxy, OUTSIDE)
    wait_held(proxy, 1)
    words = "orders are back at 14:00 UTC"
    assert admit(proxy, ONE, "--refuse", words)["message"] == words
    for refused in held, starting(proxy, OUTSIDE):
        fields = refused.read_to_end()[0].fields()
        assert (fields["S"], fields["C"], fields["M"]) == ("FATAL", "57P03", words)
        assert '"app"' in fields["D"] and fields["H"]
    live.send(query("SELECT 'still here'"))
    assert live.silent()
    assert connect(proxy, INSIDE).value("SELECT 1") == "1"
    assert admit(proxy, ONE, "--hold")["unadmitted"] == "hold"
    starting(proxy, OUTSIDE)
    wait_held(proxy, 1)
    admit(proxy, "all")
    assert answers(live, "still here")


def test_every_hold_ends(logged, connect, starting):
    with Sluice({"blue": logged}, hold={"timeout": "700ms", "notice_after": "100ms"}) as proxy:
        wire = connect(proxy, OUTSIDE)
        admit(proxy, "none")
        held = starting(proxy, OUTSIDE)
        wire.send(query("SELECT 1"))
        notice, error = wire.read_to_end()
        assert notice.kind == "N" and "not admitted" in notice.fields()["M"]
        assert error.sqlstate() == "57P03" and "not admitted" in error.fields()["M"]
        assert errors_of(held.read_to_end()) == ["57P03"]


def test_unix_socket_clients_are_local(logged, connect):
    with Sluice({"blue": logged}, start=False) as proxy:
        os.chmod(proxy.top, 0o711)
        proxy.service["listen"].append(f"{proxy.top}:{proxy.port}")
        proxy.write_config()
        proxy.start()
        local, remote = Wire(proxy.top, proxy.port, "postgres"), connect(proxy, INSIDE)
        assert admit(proxy, "local")["outside"] == 1
        assert local.value("SELECT 1") == "1"
        admit(proxy, "0.0.0.0/0")
        local.send(query("SELECT 'waited'"))
        assert remote.value("SELECT 1") == "1"
        assert local.silent()
        admit(proxy, "0.0.0.0/0", "local")
        assert answers(local, "waited")
        local.close()


# --- the set ------------------------------------------------------------------------------------

def percentile(address):
    """As docs/admission.md defines it: FNV-1a of the mapped address, then MurmurHash3's end."""
    value = 0xCBF29CE484222325
    for byte in b"\0" * 10 + b"\xff\xff" + ipaddress.ip_address(address).packed:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    for factor in 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53:
        value = (value ^ value >> 33) * factor % 2**64
    return (value ^ value >> 33) % 100


def test_shares_only_grow(proxy, connect):
    sources = [f"127.1.{i}.{i + 7}" for i in range(40)]
    wires = {source: connect(proxy, source) for source in sources}
    for percent in 0, 20, 50, 100:
        done = admit(proxy, f"127.1.0.0/16={percent}%")
        assert done["inside"] == sum(percentile(source) < percent for source in sources)
        admitted = {r["address"].rpartition(":")[0]: r["admitted"] for r in proxy.sessions()}
        assert admitted == {source: percentile(source) < percent for source in sources}
    for wire in wires.values():
        assert wire.value("SELECT 1") == "1"


def test_longest_prefix_wins(proxy, connect):
    wires = [connect(proxy, s) for s in ("127.2.0.1", "127.2.3.1", "127.2.3.4")]
    assert admit(proxy, "127.2.0.0/16", "127.2.3.0/24=0", "127.2.3.4")["outside"] == 1
    assert [r["admitted"] for r in sorted(proxy.sessions(), key=lambda r: r["address"])] == [
        True, False, True]
    assert wires[2].value("SELECT 1") == "1"


@pytest.mark.parametrize("words, token", [
    (["10.0.0.1/16"], '"10.0.0.1/16" has bits set beyond its prefix, expected 10.0.0.0/16'),
    (["10.0.0.0/8", "10.0.0.0/33"], '"10.0.0.0/33"'),
    (["nowhere"], '"nowhere"'),
    (["10.0.0.0/8=101%"], '"10.0.0.0/8=101%"'),
    (["all", "10.0.0.0/8"], '"all" stands beside'),
    (["10.0.0.0/8", "10.0.0.0/8"], '"10.0.0.0/8" is given twice'),
    ([], "RANGES"),
    (["all", "--refuse", ""], "--refuse is empty"),
    (["all", "--refuse", "x", "--hold"], "--refuse and --hold"),
    (["all", "--holt"], 'did you mean "hold"'),
])
def test_bad_input_is_told_and_changes_nothing(proxy, words, token):
    code, text = proxy.ctl("admit", *words, json=False, check=False)
    assert code == 2 and token in text
    assert proxy.status()["admission"]["set"] == ["all"]


def test_people_see_what_is_admitted(proxy, connect):
    connect(proxy, OUTSIDE)
    assert "admission of app" not in proxy.ctl("status", json=False)[1]
    admit(proxy, ONE, "2001:db8::/32=25%", "--refuse", "later")
    status = proxy.status()["admission"]
    assert status == {"set": ["2001:db8::/32=25%", ONE], "unadmitted": "refuse",
                      "message": "later", "inside": 0, "outside": 1}
    text = proxy.ctl("status", json=False)[1]
    assert "staged" in text and "admission of app" in text and "2001:db8::/32=25%" in text
    assert "not admitted" in proxy.ctl("sessions", json=False)[1]
    group = proxy.ctl("sessions", "--by", "prefix")[1]["groups"][0]
    assert (group["prefix"], group["outside"]) == ("127.0.2.0/24", 1)


# --- beside the gate, moves, restarts -----------------------------------------------------------

def test_closed_gate_and_set_both_have_to_agree(proxy, connect, starting):
    inside, outside = connect(proxy, INSIDE), connect(proxy, OUTSIDE)
    proxy.ctl("pause")
    admit(proxy, ONE)
    new_inside, new_outside = starting(proxy, INSIDE), starting(proxy, OUTSIDE)
    inside.send(query("SELECT 'in'"))
    outside.send(query("SELECT 'out'"))
    wait_held(proxy, 2)
    assert proxy.status()["gate"] == "paused"
    assert proxy.ctl("resume")[1]["gate"] == "staged"
    assert answers(inside, "in")
    assert kinds(new_inside.finish_startup())[-1] == "Z"
    assert outside.silent() and new_outside.silent()
    proxy.ctl("pause")
    admit(proxy, "all")
    assert outside.silent(0.05) and new_outside.silent(0.05)
    proxy.ctl("resume")
    assert answers(outside, "out")
    assert kinds(new_outside.finish_startup())[-1] == "Z"


def test_pause_that_ends_by_its_deadline_lets_nobody_else_in(proxy, connect):
    busy, outside = connect(proxy, INSIDE), connect(proxy, OUTSIDE)
    busy.run("BEGIN")
    admit(proxy, ONE)
    code, result = proxy.ctl("pause", "--timeout", "100ms", check=False)
    assert code == 5 and result["gate"] == "staged"
    assert len(result["blockers"]) == 1
    outside.send(query("SELECT 1"))
    assert outside.silent()
    assert busy.value("SELECT 1") == "1"


def test_parked_sessions_outside_move_and_stay_held(proxy, connect, starting, green):
    inside, outside = connect(proxy, INSIDE), connect(proxy, OUTSIDE)
    outside.run("SET app.tenant = '7'; PREPARE p AS SELECT current_setting('app.tenant')")
    admit(proxy, ONE)
    held = starting(proxy, OUTSIDE)
    wait_held(proxy, 1)
    outside.send(query("EXECUTE p"))
    proxy.wait_parked(1)
    assert proxy.ctl("retarget", "green")[1]["switched"] == 2
    assert inside.value("SHOW port") == str(green.port)
    assert outside.silent() and held.silent()
    proxy.wait_status(lambda s: s["backends"]["green"]["sessions"] == 2, "both on green")
    admit(proxy, "all")
    assert answers(outside, "7")
    assert kinds(held.finish_startup())[-1] == "Z"
    assert held.value("SHOW port") == str(green.port)
    proxy.ctl("retarget", "blue")


def test_admit_waits_for_no_operation(proxy, connect):
    wire = connect(proxy, INSIDE)
    wire.run("BEGIN")
    pause = proxy.ctl_start("pause")
    proxy.wait_status(lambda s: s["gate"] == "draining", "a pause under way")
    code, result = proxy.ctl("admit", "none", check=False)
    assert code == 4 and "a pause is running" in result["error"]
    wire.run("ROLLBACK")
    assert pause.finish()[0] == 0
    proxy.ctl("resume")


def test_set_survives_kill_and_restart(logged, starting, connect):
    with Sluice({"blue": logged}) as proxy:
        admit(proxy, ONE, "--refuse", "moving")
        proxy.kill9()
        proxy.start()
        assert proxy.status()["admission"]["set"] == [ONE]
        assert proxy.status()["gate"] == "staged"
        assert errors_of(starting(proxy, OUTSIDE).read_to_end()) == ["57P03"]
        assert connect(proxy, INSIDE).value("SELECT 1") == "1"
        with open(os.path.join(proxy.state_dir, "journal")) as journal:
            records = [json.loads(line.split(" ", 1)[1]) for line in journal]
        data = [r["data"] for r in records if r["kind"] == "admit"]
        assert [(d["set"], d["message"]) for d in data] == [([ONE], "moving")]
        assert data[0]["by"]


def test_shutdown_tells_those_outside(logged, connect, starting):
    with Sluice({"blue": logged}) as proxy:
        parked = connect(proxy, OUTSIDE)
        admit(proxy, "none")
        held = starting(proxy, OUTSIDE)
        wait_held(proxy, 1)
        proxy.stop()
        assert errors_of(parked.read_to_end()) == ["57P01"]
        assert errors_of(held.read_to_end()) == ["57P01"]
        proxy.start()


# --- not one statement --------------------------------------------------------------------------

class Talker:
    """A client from an address of its own that asks one marked question after the other."""

    def __init__(self, proxy, source):
        self.source, self.asked, self.failed = source, 0, None
        self.wire = Wire(proxy.host, proxy.port, "postgres", source=source)
        self.thread = threading.Thread(target=self._talk, daemon=True)
        self.thread.start()

    def _talk(self):
        try:
            while True:
                assert self.wire.value(f"SELECT 'from {self.source} end'")
                self.asked += 1
        except (Closed, OSError):
            pass
        except Exception as why:  # pylint: disable=broad-exception-caught
            self.failed = why

    def stop(self):
        self.wire.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.wire.close()


def log_size(server):
    return os.path.getsize(server.log)


def log_since(server, offset):
    with open(server.log, errors="replace") as log:
        log.seek(offset)
        return log.read()


@pytest.mark.parametrize("move_every", [0, 3])
def test_no_statement_of_a_client_outside_reaches_a_backend(logged, move_every):
    ranges = {f"127.3.{n}.0/24": [f"127.3.{n}.{i}" for i in (1, 77, 200)] for n in range(4)}
    stages = [["127.3.0.0/24"], ["127.3.0.0/24", "127.3.1.0/24"], ["127.3.2.0/23"],
              ["127.3.0.0/16", "127.3.0.0/24=0%"], ["127.3.3.200"], ["127.3.0.0/16"]]
    with Sluice({"blue": logged}, workers=2, move_every=move_every) as proxy:
        talkers = [Talker(proxy, source) for each in ranges.values() for source in each]
        for stage in stages:
            admit(proxy, *stage)
            inside = {r["address"].rpartition(":")[0] for r in proxy.sessions() if r["admitted"]}
            wait_until(lambda: all(r["admitted"] or r["state"] in ("parked", "moving")
                                   for r in proxy.sessions()), "every session outside parked")
            start = log_size(logged)
            served = {t: t.asked for t in talkers if t.source in inside}
            wait_until(lambda: all(t.asked > n + 3 for t, n in served.items()), "those inside")
            text = log_since(logged, start)
            seen = {t.source for t in talkers if f"'from {t.source} end'" in text}
            assert seen == inside, stage
        for talker in talkers:
            talker.stop()
        assert not [t.failed for t in talkers if t.failed]
