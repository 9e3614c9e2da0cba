"""The gate while something else happens at the same moment: cancels, hang-ups, crashes, resumes."""

import threading

import pytest

from support.cluster import Cluster, wait_until
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice
from support.wire import Wire, copy_data, errors_of, kinds, query, rows_of, startup, terminate

MANY = 120


@pytest.fixture(scope="module")
def proxy(blue):
    blue.query("CREATE TABLE races (a int)")
    with Sluice({"blue": blue}) as running:
        yield running


def sleep(wire, server, name):
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: server.query("SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
                                    "AND wait_event = 'PgSleep'", name), "sleep")


def wait_gone(server, name):
    wait_until(lambda: not server.query("SELECT 1 FROM pg_stat_activity "
                                        "WHERE application_name = %s", name), f"end of {name}")


def start_pause(proxy, *options):
    """A pause that waits for somebody."""
    pause = proxy.ctl_start("pause", "--timeout", "60s", *options)
    proxy.wait_status(lambda s: s["gate"] == "draining", "the pause to begin")
    return pause


def wait_waiting(proxy, application):
    """Until the proxy has seen that this parked client has sent something."""
    def seen():
        return [r for r in proxy.sessions() if r["application"] == application and r["waits"]]
    wait_until(seen, f"{application} to wait")


# --- opening and closing at once ----------------------------------------------------------------

def test_opening_while_closing_and_closing_while_opening(proxy, connect):
    """Commands of two operators cross each other; no answer is lost, doubled or late for ever."""
    wires, stop, problems = [connect() for _ in range(12)], threading.Event(), []

    def work(mine, number):
        try:
            i = 0
            while not stop.is_set():
                i += 1
                for wire in mine:
                    wire.send(query(f"BEGIN; SELECT {i}"), query("COMMIT"), query(f"SELECT -{i}"))
                for wire in mine:
                    assert rows_of(wire.read_ready(3)) == [(str(i),), (str(-i),)]
        except Exception as error:  # pylint: disable=broad-except
            problems.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=work, args=(wires[i::3], i), daemon=True) for i in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(25):
        crossing = [proxy.ctl_start(command) for command in ("pause", "resume", "pause", "resume")]
        for command in crossing:
            code, answer = command.finish()
            assert code in (0, 1, 4), answer
    stop.set()
    proxy.ctl("resume")
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert problems == []
    assert proxy.status()["gate"] == "open"


def test_closing_while_many_are_being_let_go(proxy, connect):
    """More wait than are released at once; whoever is caught again is still served in order."""
    wires = [connect() for _ in range(MANY)]
    proxy.ctl("pause")
    for i, wire in enumerate(wires):
        wire.send(query(f"SELECT {i}"), query(f"SELECT -{i}"))
    for _ in range(5):
        proxy.ctl("resume")
        proxy.ctl("pause")
    proxy.ctl("resume")
    for i, wire in enumerate(wires):
        assert rows_of(wire.read_ready(2)) == [(str(i),), (str(-i),)]


def test_newcomers_during_openings_and_closings(proxy):
    arrivals = []
    for _ in range(10):
        proxy.ctl("pause")
        for _ in range(3):
            arrivals.append(Wire(proxy.host, proxy.port))
            arrivals[-1].send(startup("postgres", "postgres"), query("SELECT 'early work'"))
        proxy.ctl("resume")
    for wire in arrivals:
        wire.finish_startup()
        assert rows_of(wire.read_ready()) == [("early work",)]
        wire.close()


# --- cancel -------------------------------------------------------------------------------------

def test_cancel_while_parked_hits_nothing(proxy, connect):
    """There is nothing to cancel, and what the client sent since is not under way yet."""
    wire = connect("waiter")
    proxy.ctl("pause")
    wire.send(query("SELECT pg_sleep(0.1), 'not cancelled'"))
    wait_waiting(proxy, "waiter")
    wire.cancel()
    proxy.ctl("resume")
    assert rows_of(wire.read_ready()) == [("", "not cancelled")]


def test_cancel_of_the_blocker_lets_the_pause_succeed(proxy, connect, blue):
    wire = connect("blocker")
    sleep(wire, blue, "blocker")
    pause = start_pause(proxy)
    wire.cancel()
    assert errors_of(wire.read_ready()) == ["57014"]
    assert pause.finish()[0] == 0


# --- peers that go ------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["abort", "half_close", "close", "terminate"])
def test_blocker_that_goes_lets_the_pause_succeed(proxy, connect, blue, how):
    wire, stays = connect("blocker"), connect()
    wire.run("BEGIN; INSERT INTO races VALUES (1)")
    pause = start_pause(proxy)
    if how == "terminate":
        wire.send(terminate())
    else:
        getattr(wire, how)()
    assert pause.finish()[0] == 0
    wait_gone(blue, "blocker")
    proxy.ctl("resume")
    assert stays.value("SELECT count(*) FROM races") == "0"


def test_blocker_that_goes_within_a_copy_lets_the_pause_succeed(proxy, connect, blue):
    wire = connect("blocker")
    wire.send(query("COPY races FROM STDIN"))
    wire.read_until("G")
    pause = start_pause(proxy)
    wire.send(copy_data(b"1\n"), copy_data(b"2\n")[:3])
    wire.abort()
    assert pause.finish()[0] == 0
    wait_gone(blue, "blocker")
    assert blue.value("SELECT count(*) FROM races") == 0


def test_blocker_whose_backend_is_ended_lets_the_pause_succeed(proxy, connect, blue):
    wire = connect("blocker")
    wire.run("BEGIN")
    pause = start_pause(proxy)
    blue.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE application_name = 'blocker'")
    assert errors_of(wire.read_to_end()) == ["57P01"]
    assert pause.finish()[0] == 0


def test_half_closed_client_with_work_that_waits_is_served_after_the_pause(proxy, connect, blue):
    wire = connect("half closed")
    proxy.ctl("pause")
    wire.send(query("SELECT 'one'"), query("SELECT 'two'"))
    wire.half_close()
    wait_waiting(proxy, "half closed")
    proxy.ctl("resume")
    assert rows_of(wire.read_to_end()) == [("one",), ("two",)]
    wait_gone(blue, "half closed")


def test_half_closed_client_without_work_leaves(proxy, connect, blue):
    wire = connect("half closed")
    proxy.ctl("pause")
    wire.half_close()
    assert wire.read_to_end() == []
    wait_gone(blue, "half closed")


def test_held_newcomer_that_half_closes_is_let_go_and_nothing_is_run(proxy, blue):
    proxy.ctl("pause")
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("postgres", "postgres"), query("INSERT INTO races VALUES (4711)"))
        wire.half_close()
        assert wire.read_to_end() == []
    proxy.ctl("resume")
    assert blue.value("SELECT count(*) FROM races WHERE a = 4711") == 0


def test_backend_gone_while_parked_is_told_and_the_work_is_not_run(proxy, connect, blue):
    loser, stays = connect("loser"), connect()
    proxy.ctl("pause")
    loser.send(query("INSERT INTO races VALUES (4712)"))
    wait_waiting(proxy, "loser")
    blue.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE application_name = 'loser'")
    assert errors_of(loser.read_to_end()) == ["57P01"]
    proxy.ctl("resume")
    assert stays.value("SELECT count(*) FROM races WHERE a = 4712") == "0"


def test_server_that_dies_during_a_pause():
    """Parked clients are told at once; those who wait for their login, when it is tried."""
    with Cluster("azure") as server, Sluice({"azure": server}) as proxy:
        idle, busy = [Wire(proxy.host, proxy.port, "postgres", application_name=name)
                      for name in ("idle", "busy")]
        proxy.ctl("pause")
        busy.send(query("SELECT 'never run'"))
        newcomer = Wire(proxy.host, proxy.port)
        newcomer.send(startup("postgres", "postgres"))
        wait_waiting(proxy, "busy")
        server.kill9()
        for wire in (idle, busy):
            messages = wire.read_to_end()
            assert errors_of(messages) == ["08006"]
            assert "azure" in " ".join(messages[-1].fields().values())
        assert newcomer.silent()
        proxy.ctl("resume")
        messages = newcomer.read_to_end()
        assert kinds(messages) == "E" and messages[0].sqlstate() == "57P03"
        assert "azure" in " ".join(messages[0].fields().values())
        server.start()
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            assert wire.value("SELECT 'served'") == "served"


# --- the end of a hold --------------------------------------------------------------------------

def test_held_too_long_runs_nothing_and_spares_who_does_not_wait(blue):
    blue.query("CREATE TABLE IF NOT EXISTS held_too_long (a int)")
    hold = {"notice_after": "100ms", "timeout": "800ms"}
    with Sluice({"blue": blue}, hold=hold) as proxy:
        wires = [Wire(proxy.host, proxy.port, "postgres") for _ in range(4)]
        proxy.ctl("pause")
        for wire in wires[:3]:
            wire.send(query("INSERT INTO held_too_long VALUES (1)"), query("SELECT 1"))
        for wire in wires[:3]:
            messages = wire.read_to_end()
            assert kinds(messages) == "NE"
            error = messages[-1].fields()
            assert (error["S"], error["C"]) == ("FATAL", "57P03")
            assert '"app"' in error["D"] and "Nothing of what waited" in error["D"]
        proxy.ctl("resume")
        assert wires[3].value("SELECT count(*) FROM held_too_long") == "0"
        for wire in wires:
            wire.close()


def test_terminating_who_does_not_read_needs_no_cooperation(blue):
    """A client that takes no bytes cannot be told anything; the pause must not wait for it."""
    with Sluice({"blue": blue}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres", application_name="deaf") as deaf, \
                Wire(proxy.host, proxy.port, "postgres") as other:
            deaf.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 200000)"))
            wait_until(lambda: blue.query("SELECT 1 FROM pg_stat_activity WHERE application_name = "
                                          "'deaf' AND wait_event = 'ClientWrite'"), "a full pipe")
            proxy.ctl("pause", "--timeout", "300ms", "--on-timeout", "terminate")
            assert proxy.status()["gate"] == "paused"
            wait_gone(blue, "deaf")
            proxy.ctl("resume")
            assert other.value("SELECT 'undisturbed'") == "undisturbed"
