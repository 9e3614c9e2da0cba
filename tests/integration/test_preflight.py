"""A planted defect for every guardrail: preflight names it and says how to mend it, a cutover
refuses, and when it is mended as told nothing is left to complain about.
"""

import contextlib

from support.cluster import wait_until
from support.cutover_world import DB, connect, one, proxy_for
from support.guardrails import do_as_told, guarded_pair, preflight, refuses, set_server
from support.ledger import Ledger
from support.sluice import Sluice

SCHEMA = """
CREATE TABLE item (id int PRIMARY KEY, note text);
"""


pair, proxy, clean = guarded_pair(SCHEMA, max_prepared_transactions=5)


def test_a_sound_pair_passes(proxy):
    found = preflight(proxy)
    assert found.code == 0, found.errors()
    assert found.level("login") == found.level("subscription") == found.level("tables") == "ok"
    assert found.answer["error"] == 0 and found.answer["ok"] > 10


def test_a_page_for_the_ticket(proxy, tmp_path):
    path = tmp_path / "verdicts.html"
    proxy.ctl("preflight", "--to", "green", "--html", path)
    assert path.read_text().count("<tr class=") == len(preflight(proxy).rows)
    code, text = proxy.ctl("preflight", "--to", "green", "--html", tmp_path, json=False,
                           check=False)
    assert code == 2 and "cannot write" in text


def test_the_table_for_people_has_a_line_a_verdict(proxy):
    code, text = proxy.ctl("preflight", "--to", "green", json=False)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].startswith("ok ") and "login" in lines[0]
    assert lines[-1].endswith("0 error, 0 off")


def test_wrong_backends_are_refused(proxy):
    assert proxy.ctl("preflight", "--to", "blue", check=False)[0] == 4
    code, answer = proxy.ctl("preflight", "--to", "gren", check=False)
    assert code == 2 and "green" in answer["error"]


# --- reach and roles


def test_login(pair):
    with proxy_for(pair, "logical", service={"admin": {"user": "nobody", "dbname": DB}}) as proxy:
        found = preflight(proxy)
        assert found.code == 1
        assert 'role "nobody" does not exist' in found.finding("login", "blue")["text"]
        refuses(proxy, "login", "nobody")


def test_new_server_and_same_cluster(pair):
    with proxy_for(pair, "physical") as wrong_kind:
        found = preflight(wrong_kind)
        assert "no standby" in found.finding("new-server", "green")["text"]
        assert "no copy of blue" in found.finding("same-cluster", "green")["text"]
        refuses(wrong_kind, "new-server", "green")


def test_one_server(pair):
    twice = {"blue": pair.old, "green": pair.old}
    with Sluice(twice, dbname=DB, replication={"kind": "logical", "subscription": "s"}) as proxy:
        assert preflight(proxy).level("one-server") == "error"
        refuses(proxy, "one-server", "one and the same")
    with Sluice(twice, dbname=DB) as proxy:
        assert preflight(proxy).level("one-server") == "warn"


def test_connections(pair, proxy):
    room = int(pair.new.value("SHOW max_connections")) - 3
    with contextlib.ExitStack() as clients:
        for _ in range(4):
            clients.enter_context(contextlib.closing(connect(proxy)))
        for _ in range(room - 4):
            clients.enter_context(contextlib.closing(pair.new.connect()))
        found = preflight(proxy)
        assert "ALTER SYSTEM SET max_connections" in found.finding("connections", "4 will")["hint"]
        refuses(proxy, "connections", "will come")
    wait_until(lambda: pair.new.value("SELECT count(*) FROM pg_stat_activity "
                                      "WHERE backend_type = 'client backend'") < 9, "their end")


# --- what the fence needs


def test_read_only(pair, proxy):
    set_server(pair.new, "default_transaction_read_only", "on")
    hint = preflight(proxy).finding("read-only", "green")["hint"]
    refuses(proxy, "read-only", "clients could not write")
    do_as_told(pair, hint.replace(", if an earlier cutover left it so", ""))
    wait_until(lambda: pair.new.value("SHOW default_transaction_read_only") == "off", "a reload")


def test_read_only_overrides(pair, proxy):
    pair.old.query("CREATE ROLE stubborn; "
                   "ALTER ROLE stubborn SET default_transaction_read_only = off")
    assert "role stubborn" in preflight(proxy).finding("read-only-overrides", "blue")["text"]
    pair.old.query("DROP ROLE stubborn")
    assert preflight(proxy).level("read-only-overrides") == "ok"


def test_privileges(pair):
    for server in (pair.old, pair.new):
        server.query("CREATE ROLE weak LOGIN; GRANT pg_monitor TO weak")
    with proxy_for(pair, "logical", service={"admin": {"user": "weak", "dbname": DB}}) as proxy:
        found = preflight(proxy)
        assert found.finding("privileges", "on blue lacks")["level"] == "error"
        refuses(proxy, "privileges", "lacks")
    for server in (pair.old, pair.new):
        server.query("DROP ROLE weak")


def test_configuration(pair, proxy):
    pair.old.configure(no_such_setting="a lot")
    assert "test.conf line" in preflight(proxy).finding("configuration", "no_such_setting")["text"]
    refuses(proxy, "configuration", "would refuse a reload")
    del pair.old.settings["no_such_setting"]
    pair.old.configure()


def test_prepared_transactions(pair, proxy):
    pair.old.query("BEGIN; INSERT INTO item VALUES (1); PREPARE TRANSACTION 'open'", dbname=DB)
    assert preflight(proxy).level("prepared-transactions") == "error"
    refuses(proxy, "prepared-transactions", "1 prepared")
    pair.old.query("ROLLBACK PREPARED 'open'", dbname=DB)


# --- logical replication


def test_subscription_and_slot(pair, proxy):
    pair.new.query("ALTER SUBSCRIPTION app_sub DISABLE", dbname=DB)
    found = preflight(proxy)
    refuses(proxy, "subscription", "is disabled")
    wait_until(lambda: preflight(proxy).level("slot") == "error", "the end of the walsender")
    do_as_told(pair, found.finding("subscription", "app_sub")["hint"])
    wait_until(lambda: pair.old.value("SELECT bool_and(active) FROM pg_replication_slots") and
               pair.new.value("SELECT count(pid) FROM pg_stat_subscription") == 1, "replication")


def test_tables_that_are_not_followed(pair, proxy):
    for server in (pair.old, pair.new):
        server.query("CREATE TABLE added (id int PRIMARY KEY)", dbname=DB)
    finding = preflight(proxy).finding("tables", "public.added is published")
    refuses(proxy, "tables", "public.added")
    do_as_told(pair, finding["hint"].replace(", and wait for the copy", ""))
    wait_until(pair.all_tables_ready, "the copy")
    assert preflight(proxy).level("tables") == "ok"
    for server in (pair.old, pair.new):
        server.query("DROP TABLE added", dbname=DB)


def test_tables_that_are_not_published_and_publication(pair):
    pair.old.query("CREATE PUBLICATION part FOR TABLE item WITH (publish = 'insert')", dbname=DB)
    pair.new.query(
        f"CREATE SUBSCRIPTION part CONNECTION 'host=127.0.0.1 port={pair.old.port} user=postgres "
        f"dbname={DB}' PUBLICATION part WITH (copy_data = false)", dbname=DB)
    kind = {"kind": "logical", "subscription": "part"}
    with proxy_for(pair, "none", service={"replication": kind}) as proxy:
        wait_until(lambda: preflight(proxy).level("subscription") == "ok", "the apply worker")
        found = preflight(proxy)
        assert "ADD TABLE public.ledger" in found.finding("tables", "public.ledger")["hint"]
        refuses(proxy, "tables", "public.ledger is not published")
        hint = found.finding("publication", "part does not publish")["hint"]
        do_as_told(pair, hint)
        assert preflight(proxy).level("publication") == "ok"
    pair.new.query("DROP SUBSCRIPTION part", dbname=DB)
    pair.old.query("DROP PUBLICATION part", dbname=DB)


# --- rows


def test_data(pair, proxy):
    pair.old.query("INSERT INTO item SELECT i, 'n' || i FROM generate_series(1, 200) i", dbname=DB)
    wait_until(lambda: pair.new.value("SELECT count(*) FROM item", dbname=DB) == 200, "the rows")
    assert preflight(proxy).level("data") == "ok"
    pair.new.query("UPDATE item SET note = 'x' WHERE id = 7", dbname=DB)
    refuses(proxy, "data", "public.item has other rows on green of keys (7)")
    pair.new.query("DELETE FROM item WHERE id = 8", dbname=DB)
    refuses(proxy, "data", "of keys (7), (8)")
    pair.new.query("UPDATE item SET note = 'n7' WHERE id = 7; INSERT INTO item VALUES (8, 'n8'), "
                   "(999, 'more')", dbname=DB)
    refuses(proxy, "data", "1 row on green only")
    pair.new.query("DELETE FROM item WHERE id = 999", dbname=DB)
    assert preflight(proxy).level("data") == "ok"


def test_data_that_changes_meanwhile_is_no_difference(proxy):
    with Ledger(proxy, DB, writers=4):
        for _ in range(5):
            assert preflight(proxy).level("data") in ("ok", "warn")


def test_levels_follow_the_configuration(pair):
    pair.old.query("CREATE PUBLICATION feed FOR TABLE item", dbname=DB)
    for level, code in (("error", 1), ("warn", 0), ("off", 0)):
        with proxy_for(pair, "logical", service={"checks": {"publications": level}}) as proxy:
            found = preflight(proxy)
            assert (found.level("publications"), found.code) == (level, code)
            if level == "error":
                refuses(proxy, "publications", "feed is not on green")
    pair.old.query("DROP PUBLICATION feed", dbname=DB)
