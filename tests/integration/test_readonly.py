"""Forced read-only: nobody writes, whatever they send; reads go on, and writers come back."""

import json
import threading

import psycopg2
import pytest

from support.cluster import wait_until
from support.gate import connect  # noqa: F401  pylint: disable=unused-import
from support.readonly import INSERT, READ_ONLY, on
from support.readonly import server  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice, faults
from support.wire import (Wire, bind, close_statement, copy_data, copy_done, describe_portal,
                          describe_statement, errors_of, execute, kinds, parse, query, rows_of,
                          sync)


@pytest.fixture(scope="module")
def shared(server, green):
    green.query("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
    with Sluice({"blue": server, "green": green}, workers=2) as running:
        yield running


@pytest.fixture
def proxy(shared):
    """Each test begins and ends writable, on `blue`, without sessions."""
    yield shared
    shared.ctl("readonly", "off")
    shared.ctl("resume")
    if shared.status()["route"] != "blue":
        shared.ctl("retarget", "blue")
    shared.wait_status(lambda s: s["sessions"]["total"] == 0, "an empty service")


def test_client_is_told_whom_to_ask(proxy, connect):
    wire = connect()
    on(proxy)
    error = wire.run(INSERT)[0].fields()
    assert error["C"] == READ_ONLY and '"app"' in error["H"] and "readonly off" in error["H"]
    assert error["M"] == "cannot execute INSERT in a read-only transaction"
    denied = wire.run("SELECT lo_create(0)")[0].fields()
    assert denied["M"] == "cannot execute lo_create() while forced read-only"


# --- what goes on working ----------------------------------------------------------------------

def unnamed_statements():
    """The guard borrows the unnamed statement's place; nobody shall see it do that."""
    three, run = "SELECT a FROM t ORDER BY a", bind() + execute()
    return [
        run + sync(), parse(three) + sync(), run + sync(), run + run + sync(),
        describe_statement() + run + sync(), bind(statement="none") + sync(), run + sync(),
        parse("SELECT b FROM t") + sync(), run + sync(), parse(three) + run + sync(),
        parse("nonsense", "n") + parse("SELECT 4") + run + sync(), run + sync(),
        close_statement() + sync(), run + sync(), parse("SELECT '\\ä', $1::int") + sync(),
        bind("1") + execute() + bind("2") + execute() + sync(),
        parse("SELECT 5", "n") + sync(), bind(statement="n") + execute() + sync(),
        bind("3") + execute() + sync(),
        parse("SET application_name = 'y'", "s") + bind(statement="s") + execute() + sync(),
        bind("4") + execute() + sync(), query("SELECT 6"), run + sync(),
        parse(three) + bind() + execute(rows=1) + execute(rows=1) + execute() + sync(),
        query("BEGIN"), parse(three) + sync(), run + sync(), bind() + execute(rows=1) + sync(),
        execute(rows=1) + bind(statement="n", portal="p") + execute("p") + execute() + sync(),
        parse("COMMIT") + run + sync(), run + sync(), parse("SET search_path = public") + sync(),
        run + sync(), parse("BEGIN") + run + parse(three) + run + parse("COMMIT") + run + sync(),
    ]


def script(wire):
    """A conversation of reads; everything that the client sees of it."""
    steps = [
        query("SELECT a FROM t ORDER BY a; SHOW work_mem"), query(""), query("SET work_mem='3MB'"),
        query("SHOW work_mem"), query("BEGIN; SELECT 1; COMMIT"), query("COMMIT"),
        query("BEGIN ISOLATION LEVEL REPEATABLE READ"), query("SET TRANSACTION READ ONLY"),
        query("SELECT count(*) FROM t"), query("SAVEPOINT a"), query("SELECT 1/0"),
        query("SELECT 1"), query("ROLLBACK TO a"), query("SELECT 2"), query("COMMIT AND CHAIN"),
        query("SHOW transaction_isolation"), query("ROLLBACK"), query("COPY t TO STDOUT"),
        query("DO $$ BEGIN PERFORM 1; END $$"), query("SELECT pg_advisory_lock(7)"),
        query("SELECT pg_advisory_unlock(7)"), query("BEGIN"), query("BEGIN"),
        parse("SELECT a FROM t ORDER BY a") + bind(portal="p") + execute("p", 1) + sync(),
        execute("p", 1) + execute("p") + sync(), query("END"),
        parse("SELECT $1::int", "n") + describe_statement("n") + sync(),
        bind("5", statement="n") + describe_portal() + execute() + sync(),
        bind("6", statement="n") + execute() + bind("7", statement="n") + execute() + sync(),
        close_statement("n") + sync(), bind(statement="n") + execute() + sync(),
        parse("BEGIN", "b") + bind(statement="b") + execute() + sync(),
        parse("SELECT 1") + bind() + execute() + parse("SELECT 1/0") + bind() + execute()
        + parse("SELECT 2") + bind() + execute() + sync(),
        parse("ROLLBACK", "r") + bind(statement="r") + execute() + sync(),
        bind(statement="b") + execute() + bind(statement="r") + execute() + sync(),
        query("DECLARE c CURSOR WITH HOLD FOR SELECT a FROM t ORDER BY a"), query("FETCH c"),
        query("CLOSE c"), query("DISCARD ALL"), query("SELECT '; COMMIT' /* ; */ -- ;"),
        query("nonsense"), sync(), *unnamed_statements(),
    ]
    seen = []
    for step in steps:
        wire.send(step)
        seen += [(m.kind, m.fields().get("C") if m.kind in "EN" else m.body)
                 for m in wire.read_ready() if m.kind != "S"]
    return seen


def test_reads_are_answered_as_ever(proxy, server, connect):
    wire = connect()
    with Wire(server.host, server.port, "postgres") as direct:
        expected = script(direct)
    on(proxy)
    for got, wanted in zip(script(wire), expected, strict=True):
        assert got == wanted


def test_settings_and_listening_outlive_the_statement(proxy, connect):
    one, other = connect(), connect()
    on(proxy)
    one.run("SET application_name = 'mine'; LISTEN here")
    assert one.value("SHOW application_name") == "mine"
    other.run("NOTIFY here, 'hello'")
    assert one.read_until("A")[-1].body.endswith(b"here\0hello\0")
    proxy.ctl("readonly", "off")
    assert one.value("SHOW application_name") == "mine"


@pytest.mark.parametrize("text", ["SELECT a FROM t WHERE a = 2", "SELECT '\\ä'", "SHOW work_mem"])
def test_unnamed_statement_outlives_the_mode(proxy, connect, text):
    wire = connect()
    wire.send(parse(text), sync())
    wire.read_ready()

    def run():
        wire.send(bind(), execute(), sync())
        return rows_of(wire.read_ready())

    expected = run()
    wire.send(parse("SELECT 3", "n"), sync())
    wire.read_ready()
    for _ in range(2):
        on(proxy)
        assert [run(), run()] == [expected, expected]
        wire.send(bind(statement="n"), execute(), sync())
        assert rows_of(wire.read_ready()) == [("3",)]
        proxy.ctl("readonly", "off")
        assert run() == expected
    on(proxy)
    assert wire.value("SELECT 1") == "1"
    proxy.ctl("readonly", "off")
    wire.send(bind(), execute(), sync())
    assert errors_of(wire.read_ready()) == ["26000"]
    assert wire.rows("SELECT name FROM pg_prepared_statements") == [("n",)]


def test_copy_into_a_temporary_table_works(proxy, connect):
    wire = connect()
    wire.run("CREATE TEMP TABLE own (a int)")
    on(proxy, "--fence", "none")
    wire.send(query("COPY own FROM STDIN"))
    assert kinds(wire.read_until("G", "E")) == "G"
    wire.send(copy_data(b"1\n2\n"), copy_done())
    assert kinds(wire.read_ready()) == "CZ"
    wire.send(parse("COPY own FROM STDIN"), bind(), execute(), sync())
    assert kinds(wire.read_until("G", "E")) == "12G"
    wire.send(copy_data(b"3\n"), copy_done(), sync())
    assert kinds(wire.read_ready()) == "CZ"
    wire.send(query("COPY own FROM STDIN"))
    wire.read_until("G")
    wire.send(copy_data(b"x\n"), copy_done())
    assert errors_of(wire.read_ready()) == ["22P02"]
    assert wire.value("SELECT sum(a) FROM own") == "6"


def test_large_messages_pass_both_ways(proxy, connect):
    wire = connect()
    on(proxy)
    long = "x" * 3_000_000
    assert wire.value(f"SELECT length('{long}')") == "3000000"
    wire.send(parse("SELECT $1::text"), bind(long), execute(), sync())
    assert len(rows_of(wire.read_ready())[0][0]) == 3_000_000
    assert wire.value("SELECT count(*) FROM generate_series(1, 1000)") == "1000"


def test_message_arrives_byte_by_byte(proxy, connect):
    wire = connect()
    on(proxy)
    wire.send_bytewise(query("SELECT 'slow'"), parse("SELECT 'er'"), bind(), execute(), sync())
    assert rows_of(wire.read_ready(2)) == [("slow",), ("er",)]


def test_new_session_begins_read_only(proxy, connect):
    on(proxy)
    wire = connect(options="-c default_transaction_read_only=off")
    assert errors_of(wire.run(INSERT)) == [READ_ONLY]
    assert wire.value("SELECT 1") == "1"


def test_replication_connection_is_refused(proxy):
    on(proxy)
    with Wire(proxy.host, proxy.port, "postgres", replication="database") as wire:
        assert errors_of(wire.startup) == [READ_ONLY]


def test_cancel_reaches_a_guarded_statement(proxy, connect):
    wire = connect()
    on(proxy)
    wire.send(query("SELECT pg_sleep(60)"))
    proxy.wait_status(lambda s: s["sessions"]["active"] == 1, "an active session")
    wire.cancel()
    assert errors_of(wire.read_ready()) == ["57014"]
    assert wire.value("SELECT 1") == "1"


def test_client_that_leaves_is_gone(proxy, connect):
    wire = connect()
    on(proxy)
    wire.send(query("SELECT pg_sleep(0.1)"))
    wire.close()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no sessions")


# --- the switch --------------------------------------------------------------------------------

def test_writers_recover_on_the_same_connection(proxy, connect):
    wires = [connect() for _ in range(5)]
    for _ in range(3):
        assert on(proxy)["access"] == "read-only" and proxy.status()["access"] == "read-only"
        assert all(errors_of(w.run(INSERT)) == [READ_ONLY] for w in wires)
        assert proxy.ctl("readonly", "off")[1]["access"] == "read-write"
        assert proxy.status()["access"] == "read-write"
        for wire in wires:
            assert errors_of(wire.run("BEGIN; INSERT INTO t VALUES (50); ROLLBACK")) == []


def test_on_waits_for_a_transaction(proxy, server, connect):
    writer, reader = connect(), connect()
    writer.run("BEGIN; INSERT INTO t VALUES (70)")
    waiting = proxy.ctl_start("readonly", "on", "--timeout", "60s")
    proxy.wait_status(lambda s: s["read_only"], "a switch under way")
    while errors_of(reader.run("BEGIN; INSERT INTO t VALUES (71); ROLLBACK")) == []:
        reader.run("ROLLBACK")
    assert waiting.running()
    assert errors_of(writer.run("INSERT INTO t VALUES (72); COMMIT")) == []
    assert waiting.finish()[0] == 0
    assert errors_of(writer.run("DELETE FROM t WHERE a >= 70")) == [READ_ONLY]
    proxy.ctl("readonly", "off")
    assert errors_of(writer.run("DELETE FROM t WHERE a >= 70")) == []


def test_on_gives_up_at_its_deadline(proxy, connect):
    writer, other = connect(), connect()
    writer.run("BEGIN; INSERT INTO t VALUES (80)")
    code, answer = proxy.ctl("readonly", "on", "--timeout", "5s", check=False)
    assert code == 5 and proxy.status()["access"] == "read-write"
    assert [b["query"] for b in answer["blockers"]] == [
        "BEGIN; INSERT INTO t VALUES (80)"]
    assert errors_of(other.run("BEGIN; INSERT INTO t VALUES (81); ROLLBACK")) == []
    assert errors_of(writer.run("INSERT INTO t VALUES (82); ROLLBACK")) == []


def test_abort_ends_a_switch_that_waits(proxy, connect):
    writer = connect()
    writer.run("BEGIN; INSERT INTO t VALUES (80)")
    waiting = proxy.ctl_start("readonly", "on", "--timeout", "60s")
    proxy.wait_status(lambda s: s["read_only"], "a switch under way")
    proxy.ctl("abort")
    assert waiting.finish()[0] == 1
    assert errors_of(writer.run("ROLLBACK")) == [] and proxy.status()["access"] == "read-write"


def test_switch_in_both_directions_under_load(proxy, server):
    """Readers notice nothing, writers only 25006, and nothing is written while it is on."""
    stop, wrong, written = threading.Event(), [], []

    def work(number):
        link = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                                dbname="postgres")
        link.autocommit = True
        with link.cursor() as cursor:
            while not stop.is_set():
                try:
                    cursor.execute("SELECT count(*) FROM t WHERE a < 4")
                    if cursor.fetchall() != [(3,)]:
                        wrong.append("rows")
                    if number % 2:
                        cursor.execute("UPDATE t SET a = a WHERE a = %s", (number % 3 + 1,))
                        written.append(1)
                except psycopg2.Error as error:
                    if error.pgcode != READ_ONLY:
                        wrong.append(str(error))
        link.close()

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            on(proxy)
            before = server.query("SELECT array_agg(xmin ORDER BY a), sum(a) FROM t")
            assert server.query("SELECT array_agg(xmin ORDER BY a), sum(a) FROM t") == before
            proxy.ctl("readonly", "off")
            seen = len(written)
            wait_until(lambda seen=seen: len(written) > seen, "a write")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []


# --- together with the rest --------------------------------------------------------------------

def test_pause_and_retarget_while_read_only(proxy, connect):
    wire = connect()
    wire.run("SET work_mem = '3MB'; PREPARE p AS SELECT a FROM t WHERE a = $1")
    on(proxy)
    wire.send(parse("SELECT 'kept'", "k"), sync())
    wire.read_ready()
    proxy.ctl("pause")
    wire.send(query("SELECT pg_backend_pid()"))
    assert wire.silent()
    proxy.ctl("resume")
    first = rows_of(wire.read_ready())
    proxy.ctl("retarget", "green")
    assert wire.rows("SELECT pg_backend_pid()") != first
    assert wire.rows("EXECUTE p(2)") == [("2",)] and wire.value("SHOW work_mem") == "3MB"
    wire.send(bind(statement="k"), execute(), sync())
    assert rows_of(wire.read_ready()) == [("kept",)]
    assert errors_of(wire.run(INSERT)) == [READ_ONLY]
    proxy.ctl("pause")
    proxy.ctl("readonly", "off")
    proxy.ctl("resume")
    assert errors_of(wire.run("BEGIN; " + INSERT + "; ROLLBACK")) == []


def test_moves_at_every_boundary_while_read_only(server):
    with Sluice({"blue": server}, move_every=1) as proxy:
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            on(proxy)
            pids = {wire.value("SELECT pg_backend_pid()") for _ in range(4)}
            assert len(pids) > 1 and errors_of(wire.run(INSERT)) == [READ_ONLY]
            proxy.ctl("readonly", "off")
            assert errors_of(wire.run("BEGIN; " + INSERT + "; ROLLBACK")) == []


def test_read_only_outlives_kill_and_restart(server):
    with Sluice({"blue": server}) as proxy:
        on(proxy)
        for end in (proxy.kill9, proxy.stop):
            end()
            proxy.start()
            assert proxy.status()["access"] == "read-only"
            with Wire(proxy.host, proxy.port, "postgres") as wire:
                assert errors_of(wire.run(INSERT)) == [READ_ONLY]
        proxy.ctl("readonly", "off")
        proxy.kill9()
        proxy.start()
        assert proxy.status()["access"] == "read-write"


@pytest.mark.parametrize("point", ["journal_before", "journal_written", "journal_after"])
@pytest.mark.parametrize("command", ["on", "off"])
def test_kill_at_each_record_leads_to_one_side(server, point, command):
    """The first record of a switch: either as before, or off."""
    with Sluice({"blue": server}, start=False) as proxy:
        if command == "off":
            proxy.start()
            on(proxy)
            proxy.stop()
        with faults(f"{point}:readonly=kill"):
            proxy.start()
        assert proxy.ctl("readonly", command, check=False)[0] != 0
        proxy.process.wait()
        proxy.start()
        proxy.wait_status(lambda s: s["read_only"] is None or s["read_only"]["state"] == "on",
                          "a state that is none in between")
        stays = command == "off" and point == "journal_before"
        assert proxy.status()["access"] == ("read-only" if stays else "read-write")
        with Wire(proxy.host, proxy.port, "postgres") as wire:
            refused = errors_of(wire.run("BEGIN; " + INSERT + "; ROLLBACK")) == [READ_ONLY]
        assert refused == stays
        events = json.dumps(proxy.ctl("events")[1])
        assert "readonly" in events or point == "journal_before"
        proxy.ctl("readonly", "off")
