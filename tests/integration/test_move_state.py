"""What a session is made of is the same on the new server after a move, one kind at a time."""

import json

import pytest

from support.cluster import wait_until
from support.twins import Mover, make_twins, side_of
from support.wire import (bind, close_statement, describe_portal, errors_of, execute, kinds,
                          parse, query, rows_of, sync)


@pytest.fixture(scope="module")
def mover(blue, green):
    make_twins(blue, green)
    running = Mover(blue, green)
    with running.proxy:
        yield running
        running.close_sessions()


@pytest.fixture
def connect(mover):
    yield mover.connect
    mover.close_sessions()


def answers(wire, checks):
    return [wire.run(check) for check in checks]


def assert_kept(mover, wire, checks, setup=()):
    """Checks give the same bytes on both sides of a move."""
    for statement in setup:
        assert errors_of(wire.run(statement)) == []
    before = answers(wire, checks)
    here = side_of(wire)
    mover.move()
    assert side_of(wire) != here
    assert answers(wire, checks) == before
    mover.move()
    assert side_of(wire) == here
    assert answers(wire, checks) == before


SETTINGS = {
    "work_mem": "'7MB'",
    "search_path": '"$user", "odd ""schema""", public',
    "TimeZone": "'<-08:30>+08:30'",
    "DateStyle": "'German, DMY'",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "statement_timeout": "'61234ms'",
    "vacuum_cost_delay": "'1.5ms'",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "temp_tablespaces": "''",
    "application_name": "'it''s ünï \"quoted\" \\ '",
    "extra_float_digits": "-3",
    "session_replication_role": "replica",
    "log_min_duration_statement": "17",
    "plan_cache_mode": "force_generic_plan",
    "jit_above_cost": "0",
    "synchronous_commit": "off",
    "lc_messages": "'C'",
    "row_security": "off",
    "idle_in_transaction_session_timeout": "'1h'",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_setting(name, mover, connect):
    assert_kept(mover, connect(), [f"SHOW {name}"], [f"SET {name} = {SETTINGS[name]}"])


def test_empty_search_path(mover, connect):
    assert_kept(mover, connect(), ["SHOW search_path", "SELECT 1 FROM public.t"],
                ["SET search_path = ''"])


def test_hostile_search_path_disturbs_nothing(mover, connect):
    for server in mover.servers.values():
        server.query("""
            CREATE SCHEMA IF NOT EXISTS hostile;
            CREATE OR REPLACE FUNCTION hostile.current_setting(text, bool) RETURNS text
                LANGUAGE sql AS 'SELECT ''hijacked''';
            CREATE OR REPLACE FUNCTION hostile.set_config(text, text, bool) RETURNS text
                LANGUAGE sql AS 'SELECT ''hijacked''';
            DROP VIEW IF EXISTS hostile.pg_settings;
            CREATE VIEW hostile.pg_settings AS SELECT 1 AS hijacked""")
    assert_kept(mover, connect(), ["SHOW search_path", "SHOW work_mem"],
                ["SET search_path = hostile, pg_catalog", "SET work_mem = '9MB'"])


@pytest.mark.parametrize("value", ["plain", "", "it's", "back\\slash", "dollar $1", "ünï 漢字",
                                   " spaces ", 'double "quotes"', "new\nline"], ids=repr)
@pytest.mark.parametrize("way", ["SET", "set_config", "bound"])
def test_custom_setting(way, value, mover, connect):
    wire = connect()
    quoted = "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    if way == "SET":
        assert errors_of(wire.run(f"SET app.tenant = {quoted}")) == []
    elif way == "set_config":
        wire.rows(f"SELECT set_config('app.tenant', {quoted}, false)")
    else:
        wire.send(parse("SELECT set_config($1, $2, false)"), bind("app.tenant", value), execute(),
                  sync())
        assert errors_of(wire.read_ready()) == []
    assert wire.value("SELECT current_setting('app.tenant')") == value
    assert_kept(mover, wire, ["SELECT current_setting('app.tenant')"])


def test_custom_setting_of_a_finished_transaction(mover, connect):
    assert_kept(mover, connect(), ["SELECT current_setting('app.once', true)",
                                   "SELECT current_setting('app.never', true)"],
                ["BEGIN; SET LOCAL app.once = 'x'; COMMIT"])


def test_settings_of_the_startup_packet(mover, connect):
    wire = connect(options="-c work_mem=9MB -c app.start=here", TimeZone="Asia/Kolkata")
    checks = ["SHOW work_mem", "SHOW TimeZone", "SELECT current_setting('app.start')"]
    assert_kept(mover, wire, checks)
    first = [wire.value(check) for check in checks]
    assert first == ["9MB", "Asia/Kolkata", "here"]


@pytest.mark.parametrize("reset", ["RESET ALL", "DISCARD ALL"])
def test_reset_after_a_move_leads_to_the_startup_values(reset, mover, connect):
    wire = connect("alice", options="-c maintenance_work_mem=9MB", TimeZone="Asia/Kolkata")
    for statement in ("SET maintenance_work_mem = '1MB'", "SET TimeZone = 'UTC'",
                      "SET work_mem = '2MB'", "SET statement_timeout = '1h'"):
        wire.run(statement)
    mover.move()
    assert errors_of(wire.run(reset)) == []
    names = ("maintenance_work_mem", "TimeZone", "work_mem", "statement_timeout")
    assert [wire.value(f"SHOW {n}") for n in names] == ["9MB", "Asia/Kolkata", "11MB", "0"]
    assert wire.parameters["TimeZone"] == "Asia/Kolkata"


ROLES = {
    "role": ("alice", ["SET ROLE bob"]),
    "session authorization": ("postgres", ["SET SESSION AUTHORIZATION alice"]),
    "both": ("postgres", ["SET SESSION AUTHORIZATION alice", "SET ROLE bob"]),
    "role and settings": ("alice", ["SET work_mem = '3MB'", "SET app.x = '1'", "SET ROLE bob"]),
}


@pytest.mark.parametrize("name", ROLES)
def test_role(name, mover, connect):
    user, setup = ROLES[name]
    wire = connect(user)
    assert_kept(mover, wire, ["SELECT current_user, session_user", "SHOW role", "SHOW work_mem"],
                setup)
    wire.run("RESET SESSION AUTHORIZATION")
    wire.run("RESET ROLE")
    assert wire.value("SELECT current_user") == user


def test_sql_prepared_statements(mover, connect):
    setup = ["PREPARE plain (int) AS SELECT $1 + 1",
             "PREPARE \"odd; name\" (mood, positive) AS SELECT $1, $2 -- comment",
             "PREPARE typed AS SELECT 'c'::\"odd \"\"schema\"\"\".\"Odd Type\"",
             "DO $$ BEGIN PREPARE inner_one AS SELECT 'from a block'; END $$"]
    wire = connect()
    for statement in setup:
        assert errors_of(wire.run(statement)) == []
    for _ in range(3):
        assert wire.rows("EXECUTE plain (1)") == [("2",)]
        assert wire.rows("EXECUTE \"odd; name\" ('happy', 3)") == [("happy", "3")]
        assert wire.rows("EXECUTE typed") == [("c",)]
        assert wire.rows("EXECUTE inner_one") == [("from a block",)]
        assert errors_of(wire.run("EXECUTE \"odd; name\" ('angry', 3)")) == ["22P02"]
        assert wire.rows("SELECT name, parameter_types, from_sql FROM pg_prepared_statements "
                         "ORDER BY 1") == [
            ("inner_one", "{}", "t"), ("odd; name", "{mood,positive}", "t"),
            ("plain", "{integer}", "t"), ("typed", "{}", "t")]
        mover.move()


def test_prepare_among_other_statements_does_not_run_them_again(mover, connect):
    wire = connect()
    wire.run("INSERT INTO log VALUES ('once'); PREPARE among AS SELECT 'found'; "
             "INSERT INTO log VALUES ('once')")
    server = mover.move()
    assert wire.value("EXECUTE among") == "found"
    assert server.value("SELECT count(*) FROM log WHERE what = 'once'") == 0


def test_protocol_prepared_statements(mover, connect):
    wire, mood = connect(), int(mover.server.value("SELECT 'mood'::regtype::oid"))
    wire.send(parse("SELECT $1::int + $2", "s1"), parse("SELECT $1, $2", "s2", [mood, 23]),
              parse("SELECT $1::positive, $2::mood -- comment;", "S \"3\""), parse("", "empty"),
              parse("SELECT 'first'", "closed"), close_statement("closed"), sync())
    assert errors_of(wire.read_ready()) == []

    def use():
        seen = []
        for name, values in (("s1", "12"), ("s2", ("happy", "7")), ("S \"3\"", ("5", "ok")),
                             ("S \"3\"", ("-5", "ok")), ("closed", ""), ("empty", "")):
            wire.send(bind(*values, statement=name), execute(), sync())
            seen.append(wire.read_ready())
        return seen

    before = use()
    for _ in range(2):
        mover.move()
        assert use() == before


def test_prepared_statement_that_the_new_server_refuses_pins(mover, connect):
    wire = connect()
    for server in mover.servers.values():
        server.query("CREATE TABLE goes (a int)")
    wire.send(parse("SELECT * FROM goes", "s"), sync())
    wire.read_ready()
    for server in mover.servers.values():
        server.query("DROP TABLE goes")
    code, answer = mover.proxy.ctl("retarget", mover.other, check=False)
    assert code == 1
    assert "goes" in json.dumps(answer)
    wire.send(bind(statement="s"), execute(), sync())
    assert errors_of(wire.read_ready()) == ["42P01"]


def test_unnamed_statement_is_still_usable(mover, connect):
    wire = connect()
    wire.send(parse("SELECT $1::int * 2"), bind("4"), execute(), sync())
    assert rows_of(wire.read_ready()) == [("8",)]
    mover.move()
    wire.send(bind("21"), describe_portal(), execute(), sync())
    assert rows_of(wire.read_ready()) == [("42",)]
    wire.run("SELECT 'destroys it'")
    mover.move()
    wire.send(bind("21"), execute(), sync())
    assert errors_of(wire.read_ready()) == ["26000"]


def test_listen(mover, connect):
    wire = connect()
    wire.run('LISTEN news; LISTEN "Odd ""Channel"""; LISTEN gone; UNLISTEN gone')
    for text in ("first", "second"):
        server = mover.move()
        server.query("NOTIFY gone; NOTIFY \"Odd \"\"Channel\"\"\"; NOTIFY news, '" + text + "'")
        heard = [wire.read().body[4:] for _ in range(2)]
        assert heard == [b'Odd "Channel"\0\0', b"news\0" + text.encode() + b"\0"]
    assert wire.silent()


def test_advisory_locks_with_their_hold_counts(mover, connect):
    wire, rival = connect(), connect()
    wire.rows("SELECT pg_advisory_lock(5), pg_advisory_lock(5), pg_advisory_lock(5), "
              "pg_advisory_lock_shared(-7), pg_advisory_lock(3, -4), "
              "pg_advisory_lock(1::int8 << 40)")
    mover.move()
    held = wire.rows("SELECT classid, objid, objsubid, mode FROM pg_locks WHERE "
                     "locktype = 'advisory' AND pid = pg_backend_pid() AND granted ORDER BY 1, 2")
    assert len(held) == 4
    assert rival.value("SELECT pg_try_advisory_lock(5)") == "f"
    assert rival.value("SELECT pg_try_advisory_lock_shared(-7)") == "t"
    assert [wire.value("SELECT pg_advisory_unlock(5)") for _ in range(4)] == ["t", "t", "t", "f"]
    assert rival.value("SELECT pg_try_advisory_lock(5)") == "t"
    assert wire.value("SELECT pg_advisory_unlock(3, -4)") == "t"
    assert wire.value("SELECT pg_advisory_unlock(1::int8 << 40)") == "t"


def test_cancel_key_of_the_client_stays_valid(mover, connect):
    wire = connect(application_name="sleeper")
    for _ in range(2):
        server = mover.move()
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda s=server: s.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = "
                                            "'PgSleep' AND application_name = 'sleeper'"), "sleep")
        wire.cancel()
        assert errors_of(wire.read_ready()) == ["57014"]


def test_parameter_status_tells_the_truth_after_a_move(mover, connect):
    wire = connect("alice", application_name="first")
    wire.run("SET TimeZone = 'Asia/Kolkata'; SET application_name = 'second'; SET ROLE bob")
    for _ in range(2):
        mover.move()
        wire.run("SELECT 1")
        for name in ("TimeZone", "application_name", "DateStyle", "client_encoding", "is_superuser",
                     "session_authorization", "standard_conforming_strings", "server_version"):
            assert wire.parameters[name] == wire.value(f"SHOW {name}"), name


def test_moving_is_silent(mover, connect):
    """With equal servers a move puts nothing on the client's wire."""
    wire = connect()
    wire.run("SET work_mem = '7MB'; LISTEN quiet; PREPARE p AS SELECT 1")
    mover.move()
    assert wire.silent()
    assert kinds(wire.run("SELECT 1")) == "TDCZ"
