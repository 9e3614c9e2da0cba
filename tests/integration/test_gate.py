"""The gate: sessions park at their own boundary, new clients are held, every hold ends."""

import json
import subprocess
import threading

import pytest

from support.cluster import wait_until
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice
from support.wire import (Wire, bind, copy_data, copy_done, describe_portal, errors_of, execute,
                          flush, kinds, parse, query, rows_of, startup, sync)


@pytest.fixture(scope="module")
def proxy(blue):
    blue.query("CREATE TABLE gate (a int)")
    with Sluice({"blue": blue}) as running:
        yield running


def gate(proxy):
    return proxy.status()["gate"]


def sleeping(server, name):
    return server.query("SELECT 1 FROM pg_stat_activity WHERE application_name = %s "
                        "AND wait_event = 'PgSleep'", name)


# --- parking ------------------------------------------------------------------------------------

def test_idle_sessions_park_and_go_on(proxy, connect):
    wires = [connect() for _ in range(20)]
    proxy.ctl("pause")
    status = proxy.status()
    assert status["gate"] == "paused"
    assert status["sessions"]["parked"] == 20
    for i, wire in enumerate(wires):
        wire.send(query(f"SELECT {i}"))
    assert all(wire.silent(0.02) for wire in wires)
    proxy.ctl("resume")
    for i, wire in enumerate(wires):
        assert rows_of(wire.read_ready()) == [(str(i),)]
    assert proxy.status()["gate"] == "open"


def test_transactions_finish_first(proxy, connect):
    busy, failed, idle = connect(), connect(), connect()
    busy.run("BEGIN; INSERT INTO gate VALUES (1)")
    failed.run("BEGIN")
    failed.run("SELECT 1/0")
    pause = proxy.ctl_start("pause")
    proxy.wait_parked(1)
    assert busy.value("SELECT count(*) FROM gate") == "1"
    assert errors_of(failed.run("SELECT 1")) == ["25P02"]
    busy.run("ROLLBACK")
    proxy.wait_parked(2)
    assert pause.running()
    failed.run("ROLLBACK")
    assert pause.finish()[0] == 0
    assert proxy.status()["sessions"]["parked"] == 3
    idle.send(query("SELECT 'held'"))
    assert idle.silent()
    proxy.ctl("resume")
    assert rows_of(idle.read_ready()) == [("held",)]


def test_running_statement_finishes_first(proxy, connect, blue):
    wire = connect("sleeper")
    wire.send(query("SELECT pg_sleep(0.5)"))
    wait_until(lambda: sleeping(blue, "sleeper"), "sleep")
    proxy.ctl("pause")
    assert kinds(wire.read_ready()) == "TDCZ"


def test_copy_in_finishes_first(proxy, connect):
    wire = connect()
    wire.send(query("COPY gate FROM STDIN"))
    wire.read_until("G")
    pause = proxy.ctl_start("pause")
    wait_until(lambda: gate(proxy) != "open", "a closed gate")
    for i in range(50):
        wire.send(copy_data(f"{i}\n".encode()))
    assert pause.running()
    wire.send(copy_done(), query("TRUNCATE gate"))
    assert wire.read_ready()[0].tag() == "COPY 50"
    assert pause.finish()[0] == 0
    assert wire.silent()
    proxy.ctl("resume")
    assert wire.read_ready()[0].tag() == "TRUNCATE TABLE"


def test_copy_out_finishes_first(proxy, connect):
    wire = connect()
    wire.send(query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 50000)) TO STDOUT"))
    wire.read_until("d")
    pause = proxy.ctl_start("pause")
    wait_until(lambda: gate(proxy) != "open", "a closed gate")
    assert pause.running()
    messages = wire.read_ready()
    assert messages[-2].tag() == "COPY 50000"
    assert pause.finish()[0] == 0


def test_requests_without_sync_are_no_boundary(proxy, connect):
    wire = connect()
    wire.send(parse("SELECT 'one'"), bind(), describe_portal(), execute(), flush())
    wire.read_until("C")
    assert proxy.ctl("pause", "--timeout", "300ms", check=False)[0] == 5
    pause = proxy.ctl_start("pause")
    wait_until(lambda: gate(proxy) != "open", "a closed gate")
    wire.send(sync())
    assert kinds(wire.read_ready()) == "Z"
    assert pause.finish()[0] == 0


def test_client_that_always_has_three_syncs_outstanding_parks(proxy, connect):
    wire, stop, answered = connect(), threading.Event(), []

    def ask(i):
        wire.send(parse("SELECT $1"), bind(str(i)), describe_portal(), execute(), sync())

    def stream():
        for i in range(3):
            ask(i)
        asked = 3
        while len(answered) < asked:
            answered.append(rows_of(wire.read_ready())[0][0])
            if not stop.is_set():
                ask(asked)
                asked += 1

    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
    for _ in range(5):
        seen = wait_until(lambda: len(answered), "answers")
        proxy.ctl("pause", "--timeout", "5s")
        assert proxy.status()["sessions"]["parked"] == 1
        proxy.ctl("resume")
        wait_until(lambda: len(answered) > seen, "further answers")
    stop.set()
    thread.join(20)
    assert answered == [str(i) for i in range(len(answered))]


@pytest.mark.parametrize("size", [3, 5, 500_000])
def test_message_that_is_half_sent_at_the_pause(proxy, connect, size):
    wire = connect()
    message = query("SELECT length('" + "x" * 1_000_000 + "')")
    wire.send(message[:size])
    code, _ = proxy.ctl("pause", "--timeout", "500ms", check=False)
    assert code in (0, 5)
    wire.send(message[size:])
    proxy.ctl("resume")
    assert rows_of(wire.read_ready()) == [("1000000",)]


def test_load_survives_many_pauses(proxy, tmp_path):
    script = tmp_path / "load.sql"
    script.write_text("BEGIN;\nSELECT 1;\nSELECT 2;\nEND;\n")
    load = subprocess.Popen(
        ["pgbench", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "-n", "-c", "8",
         "-j", "8", "-t", "10000000", "-M", "prepared", "-f", script, "postgres"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        proxy.wait_status(lambda s: s["sessions"]["total"] == 8, "sessions of pgbench")
        for _ in range(20):
            proxy.ctl("pause", "--timeout", "20s")
            assert proxy.status()["sessions"]["parked"] == 8
            proxy.ctl("resume")
            proxy.wait_status(lambda s: s["sessions"]["parked"] == 0, "work")
            assert load.poll() is None
    finally:
        load.terminate()
        _, errors = load.communicate(timeout=30)
    assert errors == ""


# --- new clients --------------------------------------------------------------------------------

def test_new_clients_are_held_in_their_startup(proxy, connect, blue):
    proxy.ctl("pause")
    waiting = [Wire(proxy.host, proxy.port) for _ in range(5)]
    for wire in waiting:
        wire.send(startup("postgres", "postgres", application_name="newcomer"))
    assert all(wire.silent(0.05) for wire in waiting)
    assert not blue.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'newcomer'")
    proxy.ctl("resume")
    for wire in waiting:
        wire.finish_startup()
        assert wire.value("SELECT 1") == "1"
        wire.close()


# --- deadline -----------------------------------------------------------------------------------

def blocker(connect, statement="INSERT INTO gate VALUES (4711)"):
    wire = connect("the blocker")
    wire.run("BEGIN")
    wire.run(statement)
    return wire


def assert_names_the_blocker(answer):
    text = json.dumps(answer)
    for word in ("the blocker", "postgres", "127.0.0.1", "INSERT INTO gate VALUES (4711)"):
        assert word in text


def test_deadline_lists_the_blockers_and_reopens(proxy, connect, blue):
    busy, idle = blocker(connect), connect()
    code, answer = proxy.ctl("pause", "--timeout", "300ms", check=False)
    assert code == 5
    assert_names_the_blocker(answer)
    pid = blue.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'the blocker'")
    assert str(pid) in json.dumps(answer)
    assert gate(proxy) == "open"
    assert idle.value("SELECT 'traffic'") == "traffic"
    assert busy.run("ROLLBACK")[0].tag() == "ROLLBACK"


def test_deadline_in_words_for_people(proxy, connect):
    blocker(connect)
    code, text = proxy.ctl("pause", "--timeout", "300ms", json=False, check=False)
    assert code == 5
    assert_names_the_blocker(text)


def test_on_timeout_terminate_ends_the_blockers(proxy, connect, blue):
    idle_in_transaction, idle = blocker(connect), connect()
    running = connect("the runner")
    running.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: sleeping(blue, "the runner"), "sleep")
    proxy.ctl("pause", "--timeout", "300ms", "--on-timeout", "terminate")
    assert gate(proxy) == "paused"
    for wire in (idle_in_transaction, running):
        messages = [m for m in wire.read_to_end() if m.kind == "E"]
        assert messages[-1].sqlstate() == "57P01"
        assert "app" in " ".join(messages[-1].fields().values())
    wait_until(lambda: not blue.query("SELECT 1 FROM pg_stat_activity WHERE application_name IN "
                                      "('the blocker', 'the runner')"), "the blockers' backends")
    proxy.ctl("resume")
    assert idle.value("SELECT count(*) FROM gate WHERE a = 4711") == "0"


def test_on_timeout_keep_stays_paused(proxy, connect):
    busy, idle = blocker(connect), connect()
    code, answer = proxy.ctl("pause", "--timeout", "300ms", "--on-timeout", "keep", check=False)
    assert code == 5
    assert_names_the_blocker(answer)
    assert gate(proxy) != "open"
    idle.send(query("SELECT 'held'"))
    assert idle.silent()
    busy.run("ROLLBACK")
    proxy.wait_parked(2)
    proxy.ctl("resume")
    assert rows_of(idle.read_ready()) == [("held",)]


# --- ending a pause -----------------------------------------------------------------------------

@pytest.mark.parametrize("command", ["resume", "abort"])
def test_waiting_pause_is_ended(proxy, connect, command):
    busy, idle = blocker(connect), connect()
    pause = proxy.ctl_start("pause", "--timeout", "60s")
    proxy.wait_parked(1)
    idle.send(query("SELECT 'held'"))
    proxy.ctl(command)
    assert pause.finish(5)[0] == 1
    assert rows_of(idle.read_ready()) == [("held",)]
    assert gate(proxy) == "open"
    busy.run("ROLLBACK")


def test_resume_without_a_pause_is_harmless(proxy, connect):
    wire = connect()
    assert proxy.ctl("resume", check=False)[0] in (0, 4)
    assert wire.value("SELECT 1") == "1"


# --- every hold ends ----------------------------------------------------------------------------

def test_waiting_clients_are_told_and_in_the_end_sent_away(blue):
    with Sluice({"blue": blue}, hold={"notice_after": "200ms", "timeout": "1500ms"}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as parked, \
                Wire(proxy.host, proxy.port) as newcomer:
            proxy.ctl("pause")
            parked.send(query("SELECT 'never run'"))
            newcomer.send(startup("postgres", "postgres"))
            for wire in (parked, newcomer):
                messages = wire.read_to_end()
                # A NOTICE is for clients that are logged in; others may not expect one.
                assert kinds(messages) == ("NE" if wire is parked else "E")
                error = messages[-1].fields()
                assert error["S"] == "FATAL"
                assert error["C"] == "57P03"
                assert "app" in error.get("D", "") + error.get("H", "")
            proxy.ctl("resume")
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            assert wire.value("SELECT 'served'") == "served"


def test_notice_comes_once_and_the_answer_follows(blue):
    with Sluice({"blue": blue}, hold={"notice_after": "100ms"}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            proxy.ctl("pause")
            wire.send(query("SELECT 'late'"))
            assert wire.read().kind == "N"
            assert wire.silent(0.4)
            proxy.ctl("resume")
            assert kinds(wire.read_ready()) == "TDCZ"


# --- losing peers while parked ------------------------------------------------------------------

@pytest.mark.parametrize("pending", [b"", query("SELECT 'never run'"), b"Q\0\0"],
                         ids=["idle", "with a query", "with half a query"])
def test_client_gone_while_parked(proxy, connect, blue, pending):
    gone, stays = connect("goner"), connect()
    proxy.ctl("pause")
    gone.send(pending)
    gone.abort()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 1, "the end of one session")
    wait_until(lambda: not blue.query("SELECT 1 FROM pg_stat_activity "
                                      "WHERE application_name = 'goner'"), "the goner's backend")
    proxy.ctl("resume")
    assert stays.value("SELECT 1") == "1"


def test_held_newcomer_gone(proxy):
    proxy.ctl("pause")
    for _ in range(5):
        wire = Wire(proxy.host, proxy.port)
        wire.send(startup("postgres", "postgres"))
        assert wire.silent(0.02)
        wire.abort()
    proxy.ctl("resume")


def test_backend_gone_while_parked(proxy, connect, blue):
    loser, stays = connect("loser"), connect()
    proxy.ctl("pause")
    blue.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
               "WHERE application_name = 'loser'")
    wait_until(lambda: not blue.query("SELECT 1 FROM pg_stat_activity "
                                      "WHERE application_name = 'loser'"), "the loser's backend")
    proxy.ctl("resume")
    errors = errors_of(loser.read_to_end())
    assert errors and set(errors) <= {"57P01", "08006"}
    assert stays.value("SELECT 1") == "1"


def test_pause_without_sessions(proxy):
    proxy.ctl("pause")
    assert gate(proxy) == "paused"
    proxy.ctl("resume")
    assert gate(proxy) == "open"
