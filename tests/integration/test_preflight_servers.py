"""A planted defect for every guardrail about what the servers are, how they are set, and what goes
on at the old one. Most of these are warnings: a cutover would tell them and go on.
"""

import contextlib

import pytest

from support.cluster import wait_until
from support.cutover_world import DB, connect, one, physical_pair, proxy_for
from support.guardrails import do_as_told, guarded_pair, preflight, refuses, set_server
from support.sluice import Sluice

SCHEMA = """
CREATE TABLE item (id int PRIMARY KEY, note text);
"""


pair, proxy, clean = guarded_pair(SCHEMA)


def session(server):
    return contextlib.closing(server.connect(DB))


# --- identity


def other_database(server, encoding, locale):
    server.query("DROP DATABASE IF EXISTS other")
    server.query(f"CREATE DATABASE other ENCODING '{encoding}' LOCALE '{locale}' "
                 "TEMPLATE template0")


def test_encoding_and_collation(pair):
    other_database(pair.old, "UTF8", "C")
    other_database(pair.new, "LATIN1", "C")
    admin = {"admin": {"user": "postgres", "dbname": "other"}}
    with proxy_for(pair, "none", service=admin) as proxy:
        refuses(proxy, "encoding", "UTF8 on blue, LATIN1 on green")
    other_database(pair.new, "UTF8", "C.UTF-8")
    with proxy_for(pair, "none", service=admin) as proxy:
        found = preflight(proxy)
        assert found.level("encoding") == "ok"
        assert "by C.UTF-8 C.UTF-8 on green" in found.finding("collation", "sorts by C")["text"]
    other_database(pair.new, "UTF8", "C")
    with proxy_for(pair, "none", service=admin) as proxy:
        assert preflight(proxy).level("collation") == "ok"
    for server in (pair.old, pair.new):
        server.query("DROP DATABASE other")


def test_settings(pair, proxy):
    assert preflight(proxy).level("settings") == "ok", preflight(proxy).of("settings")
    set_server(pair.new, "work_mem", "1MB")
    set_server(pair.new, "statement_timeout", "1min")
    found = preflight(proxy)
    for name in ("work_mem", "statement_timeout"):
        finding = found.finding("settings", f"{name} is ")
        assert finding["level"] == "warn"
        do_as_told(pair, finding["hint"])
    wait_until(lambda: preflight(proxy).level("settings") == "ok", "a reload")


def test_statistics(pair, proxy):
    finding = preflight(proxy).finding("statistics", "public.counted")
    do_as_told(pair, finding["hint"])
    assert preflight(proxy).level("statistics") == "ok"


# --- the old server


def test_long_transactions(pair, proxy):
    with session(pair.old) as client:
        one(client, "BEGIN; SELECT 1")
        wait_until(lambda: preflight(proxy).level("long-transactions") == "warn", "its age")
        do_as_told(pair, preflight(proxy).finding("long-transactions", "postgres in app")["hint"])
    wait_until(lambda: preflight(proxy).level("long-transactions") == "ok", "its end")


def test_other_sessions(pair, proxy):
    with contextlib.closing(connect(proxy)) as through:
        one(through, "SELECT 1")
        assert preflight(proxy).level("other-sessions") == "ok"
        with contextlib.closing(pair.old.connect(DB, application_name="stray")):
            finding = preflight(proxy).finding("other-sessions", "stray")
            assert "1 session of postgres in app from 127.0.0.1" in finding["text"]
            do_as_told(pair, finding["hint"])
        wait_until(lambda: preflight(proxy).level("other-sessions") == "ok", "its end")


def test_logical_slots(pair, proxy):
    pair.old.query("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", dbname=DB)
    finding = preflight(proxy).finding("logical-slots", "feed (pgoutput)")
    do_as_told(pair, finding["hint"])
    assert preflight(proxy).level("logical-slots") == "ok"


def test_running_ddl(pair, proxy):
    with session(pair.old) as client:
        client.cursor().execute("BEGIN; ALTER TABLE item ADD COLUMN more int")
        finding = preflight(proxy).finding("running-ddl", "public.item")
        assert "ADD COLUMN more" in finding["text"]
        client.cursor().execute("ROLLBACK")
    assert preflight(proxy).level("running-ddl") == "ok"


# --- logical replication


def test_lag(pair, proxy):
    with session(pair.new) as blocker:
        blocker.cursor().execute("BEGIN; LOCK TABLE item IN SHARE MODE")
        pair.old.query("INSERT INTO item VALUES (1)", dbname=DB)
        pair.old.query("SELECT pg_logical_emit_message(true, 'x', repeat('x', 40000000))",
                       dbname=DB)
        wait_until(lambda: preflight(proxy).level("lag") == "warn", "a lag")
        assert "kB behind" in preflight(proxy).finding("lag", "green is")["text"]
    wait_until(lambda: preflight(proxy).level("lag") == "ok", "the end of the lag")


def test_apply_errors(pair, proxy):
    if int(pair.new.value("SHOW server_version_num")) < 150000:
        pytest.skip("servers before 15 do not count them")
    pair.new.query("INSERT INTO item VALUES (2)", dbname=DB)
    pair.old.query("INSERT INTO item VALUES (2)", dbname=DB)
    wait_until(lambda: preflight(proxy).level("apply-errors") == "warn", "a conflict")
    pair.new.query("DELETE FROM item WHERE id = 2", dbname=DB)
    wait_until(lambda: pair.new.query("SELECT id FROM item WHERE id = 2", dbname=DB), "row")
    do_as_told(pair, preflight(proxy).finding("apply-errors", "app_sub")["hint"])
    wait_until(lambda: preflight(proxy).level("apply-errors") == "ok", "the reset")
    wait_until(lambda: preflight(proxy).code == 0, "replication")


def test_replica_identity(pair, proxy):
    for server in (pair.old, pair.new):
        server.query("CREATE TABLE bare (id int)", dbname=DB)
    refuses(proxy, "replica-identity", "bare has no replica identity")
    do_as_told(pair, preflight(proxy).finding("replica-identity", "bare")["hint"])
    assert preflight(proxy).level("replica-identity") == "ok"
    for server in (pair.old, pair.new):
        server.query("DROP TABLE bare", dbname=DB)


def test_publications(pair, proxy):
    pair.old.query("CREATE PUBLICATION feed FOR TABLE item", dbname=DB)
    assert "feed is not on green" in preflight(proxy).finding("publications", "feed")["text"]
    pair.old.query("DROP PUBLICATION feed", dbname=DB)
    assert preflight(proxy).level("publications") == "ok"


# --- physical replication


def test_standby():
    with physical_pair() as pair, proxy_for(pair, "physical") as proxy:
        with Sluice({"blue": pair.new, "green": pair.old}, dbname=DB) as swapped:
            refuses(swapped, "old-server", "blue is in recovery")
        found = preflight(proxy)
        assert found.code == 0 and found.level("standby") == found.level("lag") == "ok"
        pair.new.query("SELECT pg_wal_replay_pause()")
        refuses(proxy, "standby", "replay is paused")
        do_as_told(pair, preflight(proxy).finding("standby", "paused")["hint"])
        pair.new.query("ALTER SYSTEM SET recovery_min_apply_delay = '10s'")
        pair.new.reload()
        wait_until(lambda: preflight(proxy).level("standby") == "error", "a reload")
        refuses(proxy, "standby", "recovery_min_apply_delay is 10s")
        do_as_told(pair, preflight(proxy).finding("standby", "delay")["hint"])
        wait_until(lambda: preflight(proxy).level("standby") == "ok", "a reload")
        set_server(pair.new, "primary_conninfo", "host=127.0.0.1 port=1")
        wait_until(lambda: "WAL receiver" in str(preflight(proxy).of("standby")), "its end")
        refuses(proxy, "standby", "the WAL receiver of green is")
