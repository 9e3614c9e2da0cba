"""Memory stays bounded, whatever a client or a server does not read."""

# ctest: serial

import json
import os
import re
import signal
import subprocess
import threading

import pytest

from support.cluster import settled, wait_until
from support.sluice import Sluice
from support.wire import Wire, copy_data, copy_done, query

MIB = 1024
ROWS, ROW_BYTES = 200_000, 1000
ALLOWED_KIB = 24 * MIB


@pytest.fixture
def proxy(blue):
    with Sluice({"blue": blue}) as running:
        yield running


def peak_kib(proxy):
    """The largest resident size the daemon ever had."""
    with open(f"/proc/{proxy.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))


def assert_bounded(proxy, before):
    if not os.environ.get("PGSLUICE_SANITIZED"):
        assert peak_kib(proxy) - before < ALLOWED_KIB


def test_client_that_reads_nothing_while_200_mb_are_produced(proxy, blue):
    with Wire(proxy.host, proxy.port, "postgres", application_name="slow reader") as wire:
        wire.run("SELECT 1")
        before = peak_kib(proxy)
        wire.send(query(f"SELECT repeat('x', {ROW_BYTES}) FROM generate_series(1, {ROWS})"))
        wait_until(lambda: blue.query("SELECT 1 FROM pg_stat_activity WHERE application_name = "
                                      "'slow reader' AND wait_event = 'ClientWrite'"),
                   "a server that waits for its reader")
        settled(lambda: proxy.rss_kib())
        assert_bounded(proxy, before)
        with Wire(proxy.host, proxy.port, "postgres") as other:
            assert other.value("SELECT 'undisturbed'") == "undisturbed"
        rows = total = 0
        message = wire.read()
        while message.kind != "Z":
            if message.kind == "D":
                rows += 1
                total += len(message.body) - 6
            message = wire.read()
        assert (rows, total) == (ROWS, ROWS * ROW_BYTES)
        assert_bounded(proxy, before)


@pytest.fixture
def before(proxy):
    """The peak of a daemon that has had a client."""
    with Wire(proxy.host, proxy.port, "postgres") as wire:
        wire.run("SELECT 1")
    return peak_kib(proxy)


@pytest.fixture
def stopped_client(proxy, blue, tmp_path):
    """A psql that was stopped within a result of 200 MB, and where its output goes."""
    output = tmp_path / "output"
    rows = f"SELECT repeat('x', {ROW_BYTES}) FROM generate_series(1, {ROWS})"
    command = ["psql", "-X", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "-c",
               f"COPY ({rows}) TO STDOUT", "postgres"]
    with open(output, "wb") as file:
        psql = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file,
                                stderr=subprocess.PIPE,
                                env={**os.environ, "PGAPPNAME": "stopped"})
    try:
        wait_until(lambda: output.stat().st_size > 0, "the first rows")
        psql.send_signal(signal.SIGSTOP)
        settled(lambda: tuple(blue.query("SELECT state, wait_event FROM pg_stat_activity "
                                         "WHERE application_name = 'stopped'")))
        yield psql, output
    finally:
        psql.kill()
        psql.wait()
        psql.stderr.close()


def test_client_that_is_stopped_gets_everything_when_it_goes_on(proxy, before, stopped_client):
    psql, output = stopped_client
    with Wire(proxy.host, proxy.port, "postgres") as other:
        assert other.value("SELECT 'undisturbed'") == "undisturbed"
    psql.send_signal(signal.SIGCONT)
    assert psql.wait(60) == 0
    assert psql.stderr.read() == b""
    assert output.stat().st_size == ROWS * (ROW_BYTES + 1)
    assert_bounded(proxy, before)


def test_client_that_is_stopped_blocks_a_pause_and_can_be_ended(proxy, stopped_client):
    psql, _ = stopped_client
    code, answer = proxy.ctl("pause", "--timeout", "300ms", check=False)
    assert code == 5 and "stopped" in json.dumps(answer)
    proxy.ctl("pause", "--timeout", "300ms", "--on-timeout", "terminate")
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "the end of the stopped client")
    proxy.ctl("resume")
    psql.send_signal(signal.SIGCONT)
    assert psql.wait(60) != 0
    assert psql.stderr.read() != b""


def test_server_that_reads_nothing_while_200_mb_are_copied_in(proxy, blue):
    blue.query("""
        CREATE TABLE slow_copy (a text);
        CREATE FUNCTION wait_for_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared(99); RETURN NEW; END $$;
        CREATE TRIGGER waiting BEFORE INSERT ON slow_copy
            FOR EACH ROW WHEN (NEW.a = 'wait') EXECUTE FUNCTION wait_for_it()""")
    holder = blue.connect()
    holder.cursor().execute("SELECT pg_advisory_lock(99)")
    rows, sent = 200, [0]
    block = copy_data((b"x" * 999 + b"\n") * 1000)

    def copy(wire):
        wire.send(copy_data(b"wait\n"))
        for _ in range(rows):
            wire.send(block)
            sent[0] += 1
        wire.send(copy_done())

    with Wire(proxy.host, proxy.port, "postgres", timeout_s=100) as wire:
        wire.send(query("COPY slow_copy FROM STDIN"))
        wire.read_until("G")
        before = peak_kib(proxy)
        writer = threading.Thread(target=copy, args=(wire,), daemon=True)
        writer.start()
        wait_until(lambda: blue.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' "
                                      "AND NOT granted"), "a COPY that waits")
        assert settled(lambda: sent[0]) < rows
        assert_bounded(proxy, before)
        holder.close()
        messages = wire.read_ready()
        writer.join()
        assert messages[0].tag() == f"COPY {rows * 1000 + 1}"
        assert_bounded(proxy, before)


def test_idle_sessions_cost_little(blue):
    """A coarse guard: eight times what a session may cost would be seen here."""
    count = 100
    with Sluice({"blue": blue}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as first:
            first.run("SELECT 1")
            before = proxy.rss_kib()
            wires = [Wire(proxy.host, proxy.port, "postgres") for _ in range(count)]
            for wire in wires:
                wire.run("SELECT 1")
            if not os.environ.get("PGSLUICE_SANITIZED"):
                assert proxy.rss_kib() - before < count * 64 + 2 * MIB
            for wire in wires:
                wire.close()
