"""Forced read-only on the server's side: for sessions past the proxy and what slips its guard."""

import pytest

from support.cluster import Cluster, wait_until
from support.readonly import INSERT, READ_ONLY, on
from support.sluice import Sluice, faults
from support.wire import Wire, errors_of

SCHEMA = """
CREATE TABLE t (a int PRIMARY KEY);
CREATE ROLE app LOGIN;
GRANT ALL ON t TO app;
CREATE FUNCTION hidden() RETURNS oid LANGUAGE plpgsql AS $$ BEGIN RETURN lo_create(0); END $$;
"""
REVOKED = ("SELECT count(*) FROM pg_proc WHERE proname IN ('lo_create', 'lo_put') AND "
           "NOT has_function_privilege('app', oid, 'EXECUTE')")
BEFORE_16 = "SELECT current_setting('server_version_num')::int < 160000"


@pytest.fixture(scope="module")
def server():
    with Cluster("fenced") as running:
        running.query("CREATE DATABASE other")
        running.query(SCHEMA)
        yield running


@pytest.fixture(scope="module")
def shared(server, green):
    with Sluice({"blue": server, "green": green}, workers=2) as running:
        yield running


@pytest.fixture
def proxy(shared):
    yield shared
    shared.ctl("readonly", "off")
    shared.wait_status(lambda s: s["sessions"]["total"] == 0, "an empty service")


def is_fenced(server):
    """By each of its signs alike."""
    default = server.value("SHOW default_transaction_read_only", user="app") == "on"
    signs = [default]
    if server.value(BEFORE_16):
        signs += [server.value(REVOKED, dbname=name) == 2 for name in ("postgres", "other")]
    assert len(set(signs)) == 1, signs
    return default


def as_app(proxy, sql):
    with Wire(proxy.host, proxy.port, "app") as wire:
        return errors_of(wire.run(sql))


def test_fence_comes_with_an_admin_login_and_goes_with_off(proxy, server):
    assert not is_fenced(server)
    assert on(proxy)["fence"] == "default"
    assert is_fenced(server)
    assert proxy.status()["read_only"] == {
        "state": "on", "by": "guard", "fence": "default", "fenced": "blue"}
    proxy.ctl("readonly", "off")
    assert not is_fenced(server) and proxy.status()["read_only"] is None
    assert server.value("SELECT count(*) FROM pg_file_settings WHERE "
                        "name = 'default_transaction_read_only'") == 0


def test_what_slips_the_guard_meets_the_fence(proxy, server):
    before = server.value("SELECT count(*) FROM pg_largeobject_metadata")
    on(proxy)
    assert as_app(proxy, "SELECT hidden()") in (["42501"], [READ_ONLY])
    assert as_app(proxy, INSERT) == [READ_ONLY]
    assert server.value("SELECT count(*) FROM pg_largeobject_metadata") == before
    proxy.ctl("readonly", "off")
    assert as_app(proxy, "BEGIN; SELECT hidden(); ROLLBACK") == []


def test_setting_of_somebody_else_is_put_back(proxy, server):
    server.query("ALTER SYSTEM SET default_transaction_read_only = off")
    on(proxy)
    proxy.ctl("readonly", "off")
    assert server.value("SELECT setting FROM pg_file_settings WHERE "
                        "name = 'default_transaction_read_only'") == "off"
    server.query("ALTER SYSTEM RESET default_transaction_read_only")
    server.reload()


def test_writers_past_the_proxy_are_reported(proxy, server):
    other = server.connect()
    cursor = other.cursor()
    cursor.execute("BEGIN; INSERT INTO t VALUES (1)")
    found = on(proxy)["beside"]
    assert len(found) == 1 and f"pid {other.get_backend_pid()}," in found[0]
    cursor.execute("ROLLBACK")
    other.close()


def test_fence_may_be_left_out_and_changed(proxy, server):
    on(proxy, "--fence", "none")
    assert not is_fenced(server) and as_app(proxy, INSERT) == [READ_ONLY]
    assert on(proxy)["already"]
    on(proxy, "--fence", "default")
    assert is_fenced(server)
    on(proxy, "--fence", "none")
    assert not is_fenced(server) and proxy.status()["access"] == "read-only"


def test_locked_tables_keep_everybody_waiting(proxy, server):
    on(proxy, "--fence", "lock_tables")
    other = server.connect()
    cursor = other.cursor()
    cursor.execute("SELECT count(*) FROM t")
    with pytest.raises(Exception, match="lock timeout"):
        cursor.execute("SET lock_timeout = '50ms'; SET default_transaction_read_only = off; "
                       "COMMIT; INSERT INTO t VALUES (1)")
    proxy.ctl("readonly", "off")
    cursor.execute("ROLLBACK; SET default_transaction_read_only = off")
    cursor.execute("INSERT INTO t VALUES (1); DELETE FROM t")
    other.close()


def test_lock_that_cannot_be_had_leads_back(proxy, server):
    other = server.connect()
    cursor = other.cursor()
    cursor.execute("BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE")
    code, _ = proxy.ctl("readonly", "on", "--fence", "lock_tables", "--timeout", "500ms",
                        check=False)
    assert code == 5 and proxy.status()["access"] == "read-write" and not is_fenced(server)
    cursor.execute("ROLLBACK")
    other.close()


def test_server_that_does_not_let_the_admin_in_changes_nothing(server):
    with Sluice({"blue": server}, service={"admin": {"user": "nobody_here"}}) as proxy:
        code, text = proxy.ctl("readonly", "on", json=False, check=False)
        assert code == 1 and "nobody_here" in text
        assert proxy.status()["access"] == "read-write"
        on(proxy, "--fence", "none")
        proxy.ctl("readonly", "off")


def test_admin_without_the_rights_changes_nothing(server):
    with Sluice({"blue": server}, service={"admin": {"user": "app"}}) as proxy:
        code, text = proxy.ctl("readonly", "on", json=False, check=False)
        assert code == 1 and "blue" in text
        assert proxy.status()["access"] == "read-write" and not is_fenced(server)


def test_cutover_is_refused_while_the_fence_stands(proxy):
    on(proxy)
    code, text = proxy.ctl("cutover", "--to", "green", json=False, check=False)
    assert code == 4 and "--fence none" in text


def test_retarget_leaves_the_fence_where_it_is_until_off(proxy, server, green):
    on(proxy)
    proxy.ctl("retarget", "green")
    assert is_fenced(server) and green.value("SHOW default_transaction_read_only") == "off"
    proxy.ctl("readonly", "off")
    assert not is_fenced(server)
    proxy.ctl("retarget", "blue")


POINTS = {
    "readonly_guarded": "read-write",
    "readonly_fenced": "read-write",
    "readonly_lowered": "read-write",
}


@pytest.mark.parametrize("point", POINTS)
def test_crash_in_between_is_undone(server, point):
    command = "off" if point == "readonly_lowered" else "on"
    with Sluice({"blue": server}, start=False) as proxy:
        if command == "off":
            proxy.start()
            on(proxy)
            proxy.stop()
        with faults(f"{point}=kill"):
            proxy.start()
        assert proxy.ctl("readonly", command, check=False)[0] != 0
        proxy.process.wait()
        proxy.start()
        proxy.wait_status(lambda s: s["read_only"] is None, "the end of the recovery")
        assert proxy.status()["access"] == POINTS[point]
        assert not is_fenced(server) and as_app(proxy, "BEGIN; INSERT INTO t VALUES (1); "
                                                       "ROLLBACK") == []


def test_failure_behind_the_fence_is_undone(server):
    with faults("readonly_fenced=error"), Sluice({"blue": server}) as proxy:
        assert proxy.ctl("readonly", "on", check=False)[0] == 1
        assert proxy.status()["access"] == "read-write" and not is_fenced(server)


def test_fence_and_locks_stand_again_after_kill(server):
    locks = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 't'::regclass"
    with Sluice({"blue": server}) as proxy:
        on(proxy, "--fence", "lock_tables")
        proxy.kill9()
        proxy.start()
        wait_until(lambda: server.value(locks) == 1, "the lock")
        assert is_fenced(server) and proxy.status()["access"] == "read-only"
        proxy.ctl("readonly", "off")
        assert not is_fenced(server) and server.value(locks) == 0


def test_off_that_cannot_reach_the_server_keeps_reads_only(server):
    with Sluice({"blue": server}) as proxy:
        on(proxy)
        server.stop()
        assert proxy.ctl("readonly", "off", check=False)[0] == 1
        assert proxy.status()["access"] == "read-only"
        server.start()
        proxy.ctl("readonly", "off")
        assert not is_fenced(server) and proxy.status()["access"] == "read-write"
