"""Planted defects that need servers of their own, for they end a pair or take another kind of one.
What is mended as told lets the cutover pass.
"""

from types import SimpleNamespace

from support.cluster import Cluster, bindir_of, free_port, wait_until
from support.cutover_world import DB, connect, cutover, logical_pair, one, physical_pair, proxy_for
from support.guardrails import do_as_told, line_in_hba, mend_all, preflight, refuses
from support.pairs import conninfo_of, standby_of
from support.sluice import Sluice

ITEM = "CREATE TABLE item (id int PRIMARY KEY, note text);"


def passes(proxy):
    code, answer = cutover(proxy)
    assert code == 0, answer
    assert proxy.status()["route"] == "green"


def test_versions():
    with Cluster("later", bindir_of(15)) as later, Cluster("earlier", bindir_of(14)) as earlier:
        for server in (later, earlier):
            server.create_database(DB)
        for level, code in (("warn", 0), ("error", 1)):
            strict = {"checks": {"versions": level}}
            with Sluice({"blue": later, "green": earlier}, dbname=DB, service=strict) as proxy:
                found = preflight(proxy)
                finding = found.finding("versions", "older")
                assert (finding["level"], found.code) == (level, code)
                assert "the same or a later version" in finding["hint"]
                if level == "error":
                    refuses(proxy, "versions", "blue is PostgreSQL 15")
        forward = {"blue": earlier, "green": later}
        with Sluice(forward, dbname=DB, service=strict) as proxy:
            # What 14 comes with and 15 does not is nothing that anybody granted.
            finding = preflight(proxy).finding("grants", "CREATE ON SCHEMA public TO PUBLIC")
            assert finding["level"] == "warn"
            assert "whose version does not come with it" in finding["text"]
            for server in (earlier, later):
                server.query("CREATE ROLE maker")
            earlier.query("GRANT CREATE ON SCHEMA public TO maker", dbname=DB)
            finding = preflight(proxy).finding("grants", "CREATE ON SCHEMA public TO maker")
            assert finding["level"] == "error"
            mend_all(SimpleNamespace(old=earlier, new=later), proxy, "grants")
            assert preflight(proxy).level("versions") == "ok"
            passes(proxy)


# --- replication that is broken for good


def fill_wal(server):
    """Writes until every slot that nobody reads from has lost its place."""
    server.query("SELECT pg_logical_emit_message(true, 'x', repeat('x', 20000000)) "
                 "FROM generate_series(1, 4)")
    server.query("CHECKPOINT")
    return server.value("SELECT wal_status FROM pg_replication_slots") == "lost"


def test_a_slot_that_lost_its_wal():
    small = {"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    with logical_pair(wal_retrieve_retry_interval="100ms", **small) as pair, \
            proxy_for(pair, "logical") as proxy:
        assert preflight(proxy).level("slot") == "ok"
        pair.new.query("ALTER SUBSCRIPTION app_sub DISABLE", dbname=DB)
        wait_until(lambda: not pair.old.value("SELECT active FROM pg_replication_slots"), "its end")
        wait_until(lambda: fill_wal(pair.old), "the loss of the slot")
        pair.new.query("ALTER SUBSCRIPTION app_sub ENABLE", dbname=DB)
        assert "anew, with a copy" in preflight(proxy).finding("slot", "app_sub has lost")["hint"]
        refuses(proxy, "slot", "has lost the WAL")
        pair.new.query("DROP SUBSCRIPTION app_sub", dbname=DB)
        pair.new.query("TRUNCATE ledger, counted", dbname=DB)
        pair.new.query(f"CREATE SUBSCRIPTION app_sub CONNECTION 'host=127.0.0.1 "
                       f"port={pair.old.port} user=postgres dbname={DB}' PUBLICATION app_pub",
                       dbname=DB)
        wait_until(pair.all_tables_ready, "the copy", 60)
        passes(proxy)


def test_another_timeline():
    """Two standbys of one primary, of which one is promoted: the other goes on without it."""
    with physical_pair() as pair, standby_of(pair.old, "third", "third") as promoted:
        received = "SELECT pg_last_wal_receive_lsn()"
        wait_until(lambda: promoted.value(received) == pair.new.value(received) ==
                   pair.old.value("SELECT pg_current_wal_flush_lsn()"), "both to have it all")
        pair.old.freeze()  # nothing comes after the fork, and the receiver does not notice
        promoted.query("SELECT pg_promote()")
        physical = {"kind": "physical"}
        with Sluice({"blue": promoted, "green": pair.new}, dbname=DB,
                    replication=physical) as proxy:
            finding = preflight(proxy).finding("standby", "blue is on timeline 2, green on 1")
            assert "let green follow blue: primary_conninfo" in finding["hint"]
            refuses(proxy, "standby", "timeline")
            promoted.query("SELECT pg_create_physical_replication_slot(%s)", pair.slot)
            pair.new.configure(primary_conninfo=conninfo_of(promoted, pair.slot))
            pair.new.reload()
            wait_until(lambda: preflight(proxy).level("standby") == "ok", "the other primary", 60)
            passes(proxy)


# --- sequences


def test_a_sequence_behind_without_replication():
    with logical_pair() as pair:
        pair.old.query("SELECT setval('ledger_id_seq', 500)", dbname=DB)
        strict = {"checks": {"sequence-values": "error"}}
        with proxy_for(pair, "none") as proxy:
            assert preflight(proxy).level("sequence-values") == "warn"
        with proxy_for(pair, "none", service=strict) as proxy:
            finding = preflight(proxy).finding("sequence-values", "ledger_id_seq is at 500 on blue")
            refuses(proxy, "sequence-values", "keys would be given out twice")
            do_as_told(pair, finding["hint"])
            assert preflight(proxy).level("sequence-values") == "ok"
            passes(proxy)
            assert pair.new.value("SELECT nextval('ledger_id_seq')", dbname=DB) == 501


# --- one after the other


def test_a_cutover_that_meets_one_wall_after_the_other(tmp_path):
    """Refused at each, and every time with everything as it was; then it passes."""
    with logical_pair(ITEM) as pair:
        for server in (pair.old, pair.new):
            server.require_password("keeper", "secret")
            server.query("ALTER ROLE keeper SUPERUSER")
        passfile = tmp_path / "pgpass"
        passfile.write_text("*:*:*:*:secret\n")
        passfile.chmod(0o600)
        admin = {"user": "keeper", "dbname": DB, "passfile": str(passfile)}
        with proxy_for(pair, "logical", service={"admin": admin}) as proxy:
            proxy.service["backends"]["green"]["port"] = free_port()
            proxy.write_config()
            proxy.restart()
            refuses(proxy, "login", "tcp: ")
            proxy.service["backends"]["green"]["port"] = pair.new.port
            proxy.write_config()
            proxy.restart()
            with line_in_hba(pair.new, "host all keeper 127.0.0.1/32 reject"):
                wait_until(lambda: preflight(proxy).level("login") == "error", "the line")
                refuses(proxy, "login", "pg_hba: ")
            wait_until(lambda: preflight(proxy).level("login") == "ok", "the file")
            passfile.write_text("*:*:*:*:wrong\n")
            refuses(proxy, "login", "password: ")
            passfile.write_text("*:*:*:*:secret\n")
            pair.old.query("INSERT INTO item VALUES (1, 'one')", dbname=DB)
            wait_until(lambda: pair.new.query("SELECT 1 FROM item", dbname=DB), "the row")
            pair.new.query("UPDATE item SET note = 'other'", dbname=DB)
            refuses(proxy, "data", "of keys (1)")
            pair.new.query("UPDATE item SET note = 'one'", dbname=DB)
            # A sequence behind is what a cutover is for: told, and set before the commit point.
            last = pair.old.value("SELECT setval('ledger_id_seq', 700)", dbname=DB)
            assert "the cutover sets them" in preflight(proxy).of("sequence-values")[0]["text"]
            client = connect(proxy)
            passes(proxy)
            assert one(client, "SELECT nextval('ledger_id_seq')") == last + 1
            client.close()
