# ctest: serial
"""The way back: a cutover sets up replication to the old server, `rollback` goes there."""

import contextlib

import pytest

from support import cutover_world
from support.cluster import wait_until
from support.cutover_world import DB, connect, cutover, one, side
from support.guardrails import preflight, refuses
from support.ledger import Ledger
from support.sluice import Sluice

REVERSE = {"kind": "logical", "subscription": "app_sub", "reverse": "on"}


@pytest.fixture(scope="module")
def pair():
    with cutover_world.logical_pair(wal_retrieve_retry_interval="100ms") as made:
        yield made


def proxy_for(pair, **settings):
    return Sluice({"blue": pair.old, "green": pair.new}, dbname=DB, replication=REVERSE,
                  **settings)


def rollback(proxy, *arguments):
    return cutover_world.answer_of(proxy.ctl("rollback", *arguments, check=False))


def left_behind(server):
    """What was made for a way back and is there: subscriptions, slots, publications."""
    return (server.query("SELECT subname FROM pg_subscription WHERE NOT subenabled"),
            server.query("SELECT slot_name FROM pg_replication_slots WHERE NOT active"),
            server.query("SELECT pubname FROM pg_publication WHERE pubname LIKE 'pgsluice%%'",
                         dbname=DB))


def follows(server):
    return server.query("SELECT subname FROM pg_subscription WHERE subenabled") == [("app_sub",)]


def test_nothing_to_go_back_from_is_refused(pair):
    with proxy_for(pair) as proxy:
        code, answer = rollback(proxy)
        assert code == 4 and "no cutover" in answer["error"]


@contextlib.contextmanager
def restarted_with(server, name, value):
    """The server runs with another value of a setting that waits for a restart."""
    server.query(f"ALTER SYSTEM SET {name} = '{value}'")
    server.restart()
    try:
        yield
    finally:
        server.query(f"ALTER SYSTEM RESET {name}")
        server.restart()


def test_preflight_says_whether_there_will_be_a_way_back(pair):
    with cutover_world.proxy_for(pair, "logical") as proxy:
        finding = preflight(proxy).finding("way-back", "would lose what is written on green")
        assert (finding["level"], finding["hint"]) == ("warn", "replication.reverse: on")
    with proxy_for(pair) as proxy:
        assert preflight(proxy).level("way-back") == "ok"
        for server, name, value, text in (
                (pair.new, "wal_level", "replica", "nobody can follow green: its wal_level is"),
                (pair.new, "max_wal_senders", "0", "all its WAL senders are at work"),
                (pair.old, "max_logical_replication_workers", "0", "blue cannot follow")):
            with restarted_with(server, name, value):
                assert name in preflight(proxy).finding("way-back", text)["hint"]
                refuses(proxy, "way-back", text)
        wait_until(lambda: preflight(proxy).code == 0, "replication going on")


def test_a_cutover_that_fails_leaves_nothing_behind(pair):
    with proxy_for(pair) as proxy, contextlib.closing(connect(proxy)) as client:
        with client.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (a int)")
        code, answer = cutover(proxy)
        assert code == 1 and "prepare_back" in [step["step"] for step in answer["steps"]]
        assert "stays" not in answer["error"]
    assert left_behind(pair.old) == left_behind(pair.new) == ([], [], [])
    assert follows(pair.new)


def test_a_way_back_that_cannot_be_prepared_ends_it_before_the_pause(pair):
    with proxy_for(pair) as proxy:
        proxy.service["backends"]["green"]["replication_conninfo"] = "dbname=nowhere"
        proxy.write_config()
        proxy.restart()
        code, answer = cutover(proxy)
        assert code == 1 and "reverse replication could not be prepared" in answer["error"]
        assert "nowhere" in answer["error"] and "reverse" in answer["hint"]
        assert "drain" not in [step["step"] for step in answer["steps"]]
    assert left_behind(pair.old) == left_behind(pair.new) == ([], [], [])


def test_somebody_elses_subscription_is_left_alone(pair):
    pair.old.query(f"CREATE SUBSCRIPTION app_sub CONNECTION 'dbname={DB}' PUBLICATION other "
                   "WITH (connect = false, slot_name = NONE)", dbname=DB)
    try:
        with proxy_for(pair) as proxy:
            code, answer = cutover(proxy)
            assert code == 1 and "already exists" in answer["error"]
        assert pair.old.value("SELECT count(*) FROM pg_subscription") == 1
    finally:
        pair.old.query("DROP SUBSCRIPTION app_sub", dbname=DB)


def test_back_and_forth_under_load_loses_nothing(pair):
    rounds = 6
    with proxy_for(pair) as proxy, contextlib.closing(connect(proxy)) as client, \
            Ledger(proxy, DB) as ledger:
        one(client, "SET application_name = 'stays'; SELECT 1")
        for number in range(rounds):
            old, new = (pair.old, pair.new) if number % 2 == 0 else (pair.new, pair.old)
            code, answer = cutover(proxy) if number == 0 else rollback(proxy)
            assert code == 0, (number, answer)
            assert one(client, "SHOW cluster_name") == side(proxy)
            ledger.wait_for_progress()
            assert follows(old) and not follows(new)
        ledger.finish()
        assert ledger.errors() == []
        assert one(client, "SHOW application_name") == "stays"
        truth, other = (pair.new, pair.old) if rounds % 2 else (pair.old, pair.new)
        assert ledger.verdict(truth) == []
        wait_until(lambda: sorted(ledger.rows_on(other)) == sorted(ledger.rows_on(truth)),
                   "the other side to have it all")
        # Nothing keeps write-ahead log for nobody.
        assert truth.value("SELECT count(*) FROM pg_replication_slots") == 1
        assert other.value("SELECT count(*) FROM pg_replication_slots") == 0


def test_a_restart_remembers_where_back_is(pair):
    cutover_world.writable(pair.new)  # a proxy with another journal does not know whose fence it is
    with proxy_for(pair) as proxy:
        assert cutover(proxy)[0] == 0
        proxy.restart()
        code, answer = rollback(proxy, "--dry-run")
        assert code == 0, answer
        assert proxy.status()["route"] == "green"
        assert rollback(proxy)[0] == 0
        assert proxy.status()["route"] == "blue" and side(proxy) == "old"
