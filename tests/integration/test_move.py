"""Retargeting a service: all or nothing, pinned sessions by policy, under load, after restarts."""

# ctest: serial

import json
import subprocess
import threading

import pytest

from support.cluster import Cluster, free_port, wait_until
from support.sluice import Sluice
from support.twins import Mover, make_twins, side_of
from support.wire import Wire, errors_of, query, rows_of

PINS = {
    "temp": ["CREATE TEMP TABLE mine (a int)"],
    "hold_cursor": ["DECLARE held CURSOR WITH HOLD FOR SELECT 1"],
    "currval": ["INSERT INTO counted (what) VALUES ('x')", "SELECT currval('counted_id_seq')"],
}
UNPIN = {"temp": "DROP TABLE mine", "hold_cursor": "CLOSE held", "currval": "DISCARD SEQUENCES"}


@pytest.fixture(scope="module")
def twins(blue, green):
    make_twins(blue, green)
    return blue, green


@pytest.fixture
def mover(twins):
    running = Mover(*twins)
    with running.proxy:
        yield running
        running.close_sessions()


def pinned_by(proxy, application):
    row = next(r for r in proxy.sessions() if r["application"] == application)
    return json.dumps(row)


# --- the switch itself --------------------------------------------------------------------------

def test_retarget_moves_route_sessions_and_newcomers(mover):
    wires = [mover.connect() for _ in range(10)]
    before = mover.proxy.status()
    mover.proxy.ctl("retarget", "green")
    after = mover.proxy.status()
    assert (before["route"], after["route"]) == ("blue", "green")
    assert after["generation"] == before["generation"] + 1
    assert after["gate"] == "open"
    assert after["backends"]["green"]["sessions"] == 10
    assert after["backends"]["blue"]["sessions"] == 0
    assert {side_of(wire) for wire in [*wires, mover.connect()]} == {"green"}
    wait_until(lambda: not mover.servers["blue"].query(
        "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' "
        "AND pid <> pg_backend_pid()"), "the end of the connections left behind")


def test_retarget_of_a_paused_service_leaves_it_paused(mover):
    wire = mover.connect()
    mover.proxy.ctl("pause")
    wire.send(query("SHOW cluster_name"))
    mover.proxy.ctl("retarget", "green")
    assert mover.proxy.status()["gate"] == "paused"
    assert wire.silent()
    mover.proxy.ctl("resume")
    assert rows_of(wire.read_ready()) == [("green",)]


def test_retarget_waits_for_open_transactions(mover):
    wire = mover.connect()
    wire.run("BEGIN")
    retarget = mover.proxy.ctl_start("retarget", "green")
    mover.proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"].startswith("drain"),
                            "a retarget that waits for the transaction")
    assert side_of(wire) == "blue"
    wire.run("COMMIT")
    assert retarget.finish()[0] == 0
    assert side_of(wire) == "green"


def test_transaction_that_does_not_end_stops_a_retarget(twins):
    running = Mover(*twins, service={"cutover": {"drain_timeout": "300ms"}})
    with running.proxy as proxy:
        busy, idle = running.connect(application_name="the blocker"), running.connect()
        busy.run("BEGIN")
        code, answer = proxy.ctl("retarget", "green", check=False)
        assert code in (1, 5)
        assert "the blocker" in json.dumps(answer)
        assert proxy.status()["route"] == "blue"
        assert side_of(busy) == side_of(idle) == "blue"
        running.close_sessions()


def test_retarget_to_an_unknown_backend(mover):
    code, answer = mover.proxy.ctl("retarget", "gren", check=False)
    assert code in (2, 4)
    assert "gren" in json.dumps(answer)


def test_retarget_to_a_server_that_is_down_changes_nothing(twins):
    class Nowhere:
        host, port = "127.0.0.1", free_port()
    with Sluice({"blue": twins[0], "azure": Nowhere}, route="blue") as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            code, answer = proxy.ctl("retarget", "azure", check=False)
            assert code == 1
            assert "azure" in json.dumps(answer)
            assert side_of(wire) == "blue"
            assert proxy.status()["gate"] == "open" and proxy.status()["route"] == "blue"


def test_retarget_to_a_server_that_lacks_something_changes_nothing(mover):
    """The verdict falls before the commit point: nobody is hurt."""
    for server, extra in zip(mover.servers.values(), ("CREATE TABLE blue_only (a int)", "")):
        if extra:
            server.query(extra)
    wire, other = mover.connect(application_name="stuck one"), mover.connect()
    wire.run("PREPARE needs AS SELECT * FROM blue_only")
    code, answer = mover.proxy.ctl("retarget", "green", check=False)
    assert code == 1
    assert "stuck one" in json.dumps(answer)
    assert wire.run("EXECUTE needs") and side_of(wire) == side_of(other) == "blue"


@pytest.mark.parametrize("how", ["restart", "kill9"])
def test_route_survives_the_daemon(mover, how):
    mover.proxy.ctl("retarget", "green")
    if how == "kill9":
        mover.proxy.kill9()
    mover.proxy.restart()
    assert mover.proxy.status()["route"] == "green"
    assert side_of(mover.connect()) == "green"


# --- pinned sessions ----------------------------------------------------------------------------

def pin(mover, kind):
    wire = mover.connect(application_name=f"pinned by {kind}")
    for statement in PINS[kind]:
        assert errors_of(wire.run(statement)) == []
    return wire


@pytest.mark.parametrize("kind", PINS)
def test_pinned_session_stops_the_move_and_is_reported(kind, mover):
    wire, other = pin(mover, kind), mover.connect()
    code, answer = mover.proxy.ctl("retarget", "green", check=False)
    assert code == 1
    assert f"pinned by {kind}" in json.dumps(answer)
    assert kind in json.dumps(answer)
    assert side_of(wire) == side_of(other) == "blue"
    assert mover.proxy.status()["gate"] == "open"
    wire.run(UNPIN[kind])
    mover.proxy.ctl("retarget", "green")
    assert side_of(wire) == side_of(other) == "green"


@pytest.mark.parametrize("kind", PINS)
def test_pinned_session_is_ended_by_policy(kind, twins):
    running = Mover(*twins, on_pinned="terminate")
    with running.proxy as proxy:
        wire, other = pin(running, kind), running.connect()
        proxy.ctl("retarget", "green")
        assert errors_of(wire.read_to_end()) == ["57P01"]
        assert side_of(other) == "green"
        running.close_sessions()


@pytest.mark.parametrize("kind", PINS)
def test_pinned_session_is_waited_for_by_policy(kind, twins):
    running = Mover(*twins, on_pinned="wait")
    with running.proxy as proxy:
        wire, other = pin(running, kind), running.connect()
        retarget = proxy.ctl_start("retarget", "green")
        assert wire.run(UNPIN[kind])
        assert retarget.finish()[0] == 0
        assert side_of(wire) == side_of(other) == "green"
        running.close_sessions()


def test_session_that_gave_a_password_is_pinned(twins):
    with Cluster("guarded") as guarded:
        guarded.require_password("carol", "secret")
        with Sluice({"blue": guarded, "green": twins[1]}) as proxy:
            command = ["psql", "-X", "-h", proxy.host, "-p", str(proxy.port), "-U", "carol", "-At",
                       "postgres"]
            psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    text=True, env={"PGPASSWORD": "secret",
                                                    "PGAPPNAME": "carol's", "PATH": "/usr/bin"})
            psql.stdin.write("SELECT 'in';\n")
            psql.stdin.flush()
            assert psql.stdout.readline() == "in\n"
            code, answer = proxy.ctl("retarget", "green", check=False)
            assert code == 1
            assert "credentials" in json.dumps(answer) + pinned_by(proxy, "carol's")
            assert psql.communicate("SHOW cluster_name;\n", 20)[0] == "guarded\n"
            assert psql.returncode == 0


# --- under load ---------------------------------------------------------------------------------

class Keepers:
    """Sessions with state that look at it all the time, in threads."""

    def __init__(self, mover, threads=4, each=10):
        self.stop, self.errors, self.rounds = threading.Event(), [], 0
        self.wires = [[mover.connect() for _ in range(each)] for _ in range(threads)]
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True)
                        for i in range(threads)]
        for i, group in enumerate(self.wires):
            for j, wire in enumerate(group):
                wire.run(f"SET app.who = 'keeper {i}.{j}'; SET work_mem = '{i + j + 1}MB'; "
                         f"PREPARE who AS SELECT current_setting('app.who'); LISTEN keepers")
        for thread in self.threads:
            thread.start()

    def _run(self, i):
        try:
            while not self.stop.is_set():
                for j, wire in enumerate(self.wires[i]):
                    row = wire.rows("SELECT current_setting('app.who'), "
                                    "current_setting('work_mem')")[0]
                    assert row == (f"keeper {i}.{j}", f"{i + j + 1}MB")
                    assert wire.value("EXECUTE who") == f"keeper {i}.{j}"
                self.rounds += 1
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(repr(error))

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        assert self.errors == []


def move(proxy, to):
    """Retargets. A machine that is too slow to log a hundred sessions in goes back: tried again."""
    for _ in range(3):
        code, answer = proxy.ctl("retarget", to, check=False, timeout_s=120)
        if code == 0:
            return
        assert answer["outcome"] == "aborted" and "unready" in str(answer["rows"]), answer
    raise AssertionError(answer)


@pytest.mark.deadline(400)
def test_hundred_sessions_under_load_back_and_forth(mover, tmp_path):
    """Sixty of pgbench and forty that hold state; no client may see anything."""
    script = tmp_path / "load.sql"
    script.write_text("BEGIN;\nINSERT INTO log VALUES ('load');\nSELECT 1;\nEND;\nSELECT 2;\n")
    proxy, keepers = mover.proxy, Keepers(mover)
    load = subprocess.Popen(
        ["pgbench", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "-n", "-c", "60",
         "-j", "60", "-t", "1000000", "-M", "prepared", "-f", script, "postgres"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        proxy.wait_status(lambda s: s["sessions"]["total"] == 100, "a hundred sessions")
        for _ in range(2):
            for to in ("green", "blue"):
                rounds = keepers.rounds
                move(proxy, to)
                wait_until(lambda r=rounds: keepers.rounds > r or keepers.errors, "work goes on")
                assert load.poll() is None
        keepers.finish()
    finally:
        load.terminate()
        _, errors = load.communicate(timeout=30)
    assert "ERROR" not in errors and "FATAL" not in errors and "aborted" not in errors
