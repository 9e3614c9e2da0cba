"""Forced read-only holds: whatever a client sends, nothing is written."""

import pytest

from support.gate import connect  # noqa: F401  pylint: disable=unused-import
from support.readonly import INSERT, READ_ONLY, on, run_all, state
from support.readonly import server  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice
from support.wire import Wire, bind, errors_of, execute, function_call, parse, query, sync


@pytest.fixture(scope="module")
def shared(server):
    with Sluice({"blue": server}, workers=2) as running:
        yield running


@pytest.fixture
def proxy(shared):
    """Each test begins and ends writable, without sessions."""
    yield shared
    shared.ctl("readonly", "off")
    shared.wait_status(lambda s: s["sessions"]["total"] == 0, "an empty service")


EXTENDED_INSERT = (parse(INSERT), bind(), execute())

ESCAPES = {
    "plain": [INSERT],
    "extended": [(*EXTENDED_INSERT, sync())],
    "set": ["SET default_transaction_read_only = off", INSERT],
    "characteristics": ["SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", INSERT],
    "reset": ["RESET ALL", INSERT],
    "set_config": ["SELECT set_config('default_'||'transaction_read_only', 'off', false)", INSERT],
    "function": ["SELECT flips()", INSERT],
    "function that writes": ["SELECT writes()"],
    "begin": ["BEGIN READ WRITE", INSERT, "COMMIT"],
    "start": ["START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE", INSERT, "COMMIT"],
    "begin in a comment": ["/* /* */ */ BEGIN -- x\n READ WRITE", INSERT, "COMMIT"],
    "set transaction": ["BEGIN", "SET TRANSACTION READ WRITE", INSERT, "COMMIT"],
    "set local": ["BEGIN", "SET LOCAL transaction_read_only TO off", INSERT, "COMMIT"],
    "chain": ["BEGIN", "SELECT 1", "COMMIT AND CHAIN", "SET transaction_read_only = off",
              INSERT, "COMMIT"],
    "savepoint": ["BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "SET TRANSACTION READ WRITE", INSERT,
                  "COMMIT"],
    "several": ["SET default_transaction_read_only = off; COMMIT; " + INSERT],
    "several, begin": ["SELECT 1; COMMIT; BEGIN READ WRITE; " + INSERT + "; COMMIT"],
    "hidden by strings": ["SET standard_conforming_strings = off",
                          r"SELECT '\'||'; COMMIT; BEGIN READ WRITE; " + INSERT + "; COMMIT; --'"],
    "do": ["DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (99); END $$"],
    "call": ["CALL commits()"],
    "pipeline": [(parse("SET default_transaction_read_only = off"), bind(), execute(),
                  parse("COMMIT"), bind(), execute(), *EXTENDED_INSERT, sync())],
    "pipeline, begin": [(parse("ROLLBACK"), bind(), execute(), parse("BEGIN READ WRITE"), bind(),
                         execute(), *EXTENDED_INSERT, sync())],
    # SQL's EXECUTE runs a COMMIT that was prepared by the protocol, even inside a function.
    "commit by execute": [(parse("COMMIT", "c"), sync()), "BEGIN", "SELECT 1", "EXECUTE c",
                          "SET transaction_read_only = off; " + INSERT],
    "commit in do": [(parse("COMMIT", "c"), sync()),
                     (parse("DO $$ BEGIN EXECUTE 'EXECUTE c'; END $$"), bind(), execute(),
                      parse("SET transaction_read_only = off"), bind(), execute(),
                      *EXTENDED_INSERT, sync())],
    "chain in do": [(parse("COMMIT AND CHAIN", "c"), sync()), "BEGIN", "SELECT 1",
                    "DO $$ BEGIN EXECUTE 'EXECUTE c'; END $$", "SET transaction_read_only = off",
                    INSERT, "COMMIT"],
    "other statement of that name": [(parse("COMMIT", "c"), sync()), "DEALLOCATE c",
                                     "PREPARE c AS " + INSERT,
                                     (bind(statement="c"), execute(), sync()), INSERT],
    "two phases": ["BEGIN", "SELECT 1", "PREPARE TRANSACTION 'x'"],
    "sequence": ["SELECT nextval('s')"],
    "rows locked": ["SELECT * FROM t FOR UPDATE"],
    "table": ["CREATE TABLE u ()"],
    "temporary table": ["CREATE TEMP TABLE u ()"],
    "large object": ["SELECT lo_create(0)"],
    "large object, quoted": ['SELECT pg_catalog . "lo_creat" /* x */ (-1)'],
    "large object by number": [(function_call(957, b"\xff\xff\xff\xff"),)],
    "slot": ["SELECT pg_create_physical_replication_slot('x')"],
    "program": ["COPY (SELECT 1) TO PROGRAM 'cat'"],
    "system": ["ALTER SYSTEM SET work_mem = '5MB'"],
    "copy": ["COPY t FROM STDIN"],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_writes(proxy, server, connect, name):
    before = state(server)
    wire = connect()
    wire.value("SELECT 1")
    on(proxy, "--fence", "none")
    found = run_all(wire, ESCAPES[name])
    if wire.run("SELECT 1")[-1].body != b"I":
        wire.run("ROLLBACK")
    assert wire.value("SELECT count(*) FROM t") == "3"
    proxy.ctl("readonly", "off")
    assert state(server) == before
    assert READ_ONLY in found and set(found) <= {READ_ONLY, "25P02", "25P01", "25001", "42601"}


PREPARED = {
    "protocol": ((parse(INSERT, "w"), sync()), (bind(statement="w"), execute(), sync())),
    "sql": ((query("PREPARE w AS " + INSERT),), (query("EXECUTE w"),)),
    "unnamed": ((parse(INSERT), sync()), (bind(), execute(), sync())),
    "unnamed program": ((parse("COPY t TO PROGRAM 'cat'"), sync()), (bind(), execute(), sync())),
    "program": ((parse("COPY t TO PROGRAM 'cat'", "w"), sync()),
                (bind(statement="w"), execute(), sync())),
    "large object": ((parse("SELECT lo_create(0)", "w"), sync()),
                     (bind(statement="w"), execute(), sync())),
    "large object by sql": ((query("PREPARE w AS SELECT lo_create(0)"),), (query("EXECUTE w"),)),
    "flip": ((parse("BEGIN READ WRITE", "w"), sync()),
             (bind(statement="w"), execute(), *EXTENDED_INSERT, sync())),
}


@pytest.mark.parametrize("name", PREPARED)
def test_statement_prepared_before_does_not_write(proxy, server, connect, name):
    before = state(server)
    wire = connect()
    early, late = PREPARED[name]
    wire.send(*early)
    assert errors_of(wire.read_ready()) == []
    on(proxy, "--fence", "none")
    wire.send(*late)
    assert errors_of(wire.read_ready()) == [READ_ONLY]
    assert wire.value("SELECT 'alive'") == "alive"
    assert state(server) == before
