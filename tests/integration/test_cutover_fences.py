# ctest: serial
"""The fences of a cutover: what each keeps out while clients wait and afterwards, and that an
abort, a crash and a cutover back undo it.
"""

import contextlib
import os
import signal

import psycopg2
import pytest
import yaml

from support import cutover_world
from support.cluster import stopped, wait_until
from support.cutover_world import DB, connect, cutover, one, proxy_for, side
from support.guardrails import preflight, refuses
from support.ledger import Ledger
from support.sluice import faults

METHODS = ["default_read_only", "lock_tables", "revoke_connect", "command"]
ROLES = ("CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app; "
         "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app; CREATE ROLE friend LOGIN; "
         f"GRANT CONNECT ON DATABASE {DB} TO friend WITH GRANT OPTION")
GRANTS = ("SELECT d.datname, a.grantee::regrole::text, a.is_grantable FROM pg_database d, "
          "aclexplode(coalesce(datacl, acldefault('d', datdba))) a "
          "WHERE a.privilege_type = 'CONNECT' ORDER BY 1, 2")
LOCKS = "SELECT count(*) FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'ledger'::regclass"


@pytest.fixture(scope="module")
def lasting():
    """A pair for cutovers that do not happen."""
    with made_pair() as pair:
        yield pair


@pytest.fixture
def pair():
    with made_pair() as made:
        yield made


def made_pair():
    pair = cutover_world.logical_pair(wal_retrieve_retry_interval="100ms")
    for server in (pair.old, pair.new):
        server.query(ROLES, dbname=DB)
    return pair


def script(tmp_path, pair, name, setting):
    """A command of the operator's: ALTER SYSTEM on the server that it is told."""
    path = tmp_path / name
    pgs = "psql -qX -h $PGSLUICE_FENCED_HOST -p $PGSLUICE_FENCED_PORT -U postgres postgres"
    path.write_text("#!/bin/sh -e\nexport PGOPTIONS='-c default_transaction_read_only=off'\n"
                    f"{pgs} -c \"ALTER SYSTEM {setting}\" -c 'SELECT pg_reload_conf()' >/dev/null\n"
                    f"echo $PGSLUICE_FENCED >> {tmp_path}/{name}.log\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def plan(tmp_path):
    """Writes a plan for a fence and returns the arguments that name it."""
    def write(method, pair=None, **more):
        keys = {"fence": method, **more}
        if method == "command":
            setting = "default_transaction_read_only"
            keys = {"fence_command": script(tmp_path, pair, "up", f"SET {setting} = on"),
                    "unfence_command": script(tmp_path, pair, "down", f"RESET {setting}"), **keys}
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(keys))
        return "--plan", str(path)
    return write


def write(server, user="app", options="-c lock_timeout=200ms"):
    """One row, by a session past the proxy."""
    with contextlib.closing(server.connect(DB, user, options=options)) as connection:
        connection.cursor().execute("INSERT INTO counted VALUES (77) ON CONFLICT (writer) "
                                    "DO UPDATE SET total = counted.total + 1")


def as_app(proxy):
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="app", dbname=DB)
    connection.autocommit = True
    return connection


def is_fenced(server):
    try:
        write(server)
        return False
    except (psycopg2.errors.ReadOnlySqlTransaction, psycopg2.OperationalError):
        return True


def expect_as_before(pair, proxy, grants):
    """Nobody is held, nobody is kept out, nothing is locked; the same clients work."""
    status = proxy.status()
    assert (status["route"], status["gate"]) == ("blue", "open")
    assert not is_fenced(pair.old)
    assert pair.old.query(GRANTS) == grants
    assert pair.old.value(LOCKS, dbname=DB) == 0
    assert side(proxy) == "old"


@pytest.mark.parametrize("method", METHODS)
def test_a_cutover_that_fails_behind_its_fence_takes_it_down(lasting, plan, method):
    grants = lasting.old.query(GRANTS)
    with faults("cutover:catch_up:before=error"), proxy_for(lasting, "logical") as proxy, \
            contextlib.closing(connect(proxy)) as client:
        code, answer = cutover(proxy, *plan(method, lasting))
        assert code == 1 and "catch_up" in answer["error"], answer
        fence = next(step for step in answer["steps"] if step["step"] == "fence")
        assert "refuses writes" in fence["text"]
        assert ("tables locked" in fence["text"]) == (method == "lock_tables")
        expect_as_before(lasting, proxy, grants)
        one(client, "INSERT INTO ledger (key) VALUES ('again') RETURNING id")


@pytest.mark.parametrize("method", METHODS)
def test_a_crash_behind_the_fence_takes_it_down(lasting, plan, method):
    """Also when the configuration says nothing of the plan's fence any more."""
    grants = lasting.old.query(GRANTS)
    with proxy_for(lasting, "logical", start=False) as proxy:
        with faults("cutover:catch_up:before=kill"):
            proxy.start()
        assert proxy.ctl("cutover", "--to", "green", *plan(method, lasting), check=False)[0] != 0
        proxy.process.wait()
        assert is_fenced(lasting.old)
        proxy.start()
        proxy.wait_status(lambda s: s["gate"] == "open", "the end of the recovery")
        expect_as_before(lasting, proxy, grants)


@pytest.mark.parametrize("method", METHODS)
def test_abort_while_the_fence_stands_takes_it_down(lasting, plan, method):
    grants = lasting.old.query(GRANTS)
    with proxy_for(lasting, "logical", service={"checks": {"data": "off"}}) as proxy:
        pid = lasting.new.value("SELECT pid FROM pg_stat_subscription WHERE relid IS NULL")
        os.kill(pid, signal.SIGSTOP)
        try:
            lasting.old.query("INSERT INTO ledger (key) VALUES ('waits')", dbname=DB)
            running = proxy.ctl_start("cutover", "--to", "green", *plan(method, lasting))
            proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "catch_up",
                              "a wait for replication")
            assert is_fenced(lasting.old)
            if method == "lock_tables":  # also against who asks for a transaction that may write
                with pytest.raises(psycopg2.errors.LockNotAvailable):
                    write(lasting.old, "postgres", options="-c lock_timeout=50ms "
                          "-c default_transaction_read_only=off")
            assert proxy.ctl("abort")[0] == 0
            assert running.finish()[0] == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        expect_as_before(lasting, proxy, grants)


@pytest.mark.parametrize("method", METHODS)
def test_cutover_with_it_under_load_and_back(pair, plan, tmp_path, method):
    grants = pair.old.query(GRANTS)
    reverse = {"replication": {"kind": "logical", "subscription": "app_sub", "reverse": "on"}}
    with proxy_for(pair, "logical", service=reverse) as proxy, Ledger(proxy, DB) as ledger, \
            contextlib.closing(as_app(proxy)) as client:
        past = pair.old.connect(DB, "app")
        code, answer = cutover(proxy, *plan(method, pair))
        assert code == 0, answer
        assert "1 session past the proxy ended" in str(answer["steps"])
        with pytest.raises(psycopg2.OperationalError):
            past.cursor().execute("SELECT 1")
        ledger.wait_for_progress()
        assert is_fenced(pair.old) and side(proxy) == "new"
        wait_until(lambda: pair.old.value(LOCKS, dbname=DB) == 0, "the end of the locks")
        # The configuration's fence is another one: what stands is lowered as it was raised.
        code, answer = cutover_world.answer_of(proxy.ctl("rollback", check=False))
        assert code == 0, answer
        assert "lift" in [step["step"] for step in answer["steps"]]
        ledger.wait_for_progress()
        ledger.finish()
        assert side(proxy) == "old" and pair.old.query(GRANTS) == grants
        assert one(client, "SHOW cluster_name") == "old"
        assert ledger.verdict(pair.old) == []
        wait_until(lambda: not is_fenced(pair.old), "the end of the fence")
        if method == "command":
            assert (tmp_path / "down.log").read_text() == "blue\n"


# --- what a fence needs, and what it is not


def test_somebody_who_revokes_connect_by_hand_is_found_out(lasting):
    """Only what a fence of ours has taken away is no finding on the way back."""
    with proxy_for(lasting, "logical") as proxy, contextlib.closing(as_app(proxy)):
        lasting.new.query(f"REVOKE CONNECT ON DATABASE {DB} FROM PUBLIC")
        refuses(proxy, "reach", "permission denied for database")
        lasting.new.query(f"GRANT CONNECT ON DATABASE {DB} TO PUBLIC")
        assert preflight(proxy).level("reach") == "ok"


def test_a_command_that_fences_nothing_is_found_out(lasting, plan):
    with proxy_for(lasting, "logical") as proxy:
        code, answer = cutover(proxy, *plan("command", fence_command="true",
                                            unfence_command="true"))
        assert code == 1 and "blue still takes writes" in answer["error"], answer
        code, answer = cutover(proxy, *plan("command", fence_command="exit 3",
                                            unfence_command="true"))
        assert code == 1 and "fence_command ended with exit code 3" in answer["error"]
        code, answer = cutover(proxy, *plan("command", fence_command="true", unfence_command=""))
        assert code == 2 and "expected fence_command and unfence_command" in answer["error"]
        expect_as_before(lasting, proxy, lasting.old.query(GRANTS))


def test_a_grant_that_the_journal_does_not_know_ends_it(lasting, plan):
    """Nothing is taken away that could not be given back."""
    with faults("cutover:drain:after=stop"), proxy_for(lasting, "logical") as proxy:
        running = proxy.ctl_start("cutover", "--to", "green", *plan("revoke_connect"))
        wait_until(lambda: stopped(proxy.process.pid), "the fault point")
        lasting.old.query("CREATE DATABASE late")
        os.kill(proxy.process.pid, signal.SIGCONT)
        code, answer = cutover_world.answer_of(running.finish())
        assert code == 1 and "blue still lets in app in late" in answer["error"], answer
        lasting.old.query("DROP DATABASE late")
        expect_as_before(lasting, proxy, lasting.old.query(GRANTS))


def test_what_a_fence_needs_is_told_beforehand(lasting, plan):
    for server in (lasting.old, lasting.new):
        server.query("CREATE ROLE weak LOGIN; GRANT pg_monitor, pg_signal_backend TO weak")
    admin = {"admin": {"user": "weak", "dbname": DB}}
    for method, needed in (("revoke_connect", "is no superuser"), ("lock_tables", "is no superus"),
                           ("command", None)):
        keys = {"fence": method, "fence_command": "true", "unfence_command": "true"}
        with proxy_for(lasting, "logical", service={**admin, "cutover": keys}) as proxy:
            found = preflight(proxy)
            if needed:
                refuses(proxy, "privileges", needed)
            else:
                assert found.level("privileges") == "ok"
            if method == "revoke_connect":
                finding = found.finding("read-only-overrides", "postgres can still log in to blue")
                assert finding["level"] == "warn"
    for server in (lasting.old, lasting.new):
        server.query("DROP ROLE weak")


def test_the_dry_run_tells_what_the_fence_does(lasting, plan):
    with proxy_for(lasting, "logical") as proxy:
        for method, words in (("lock_tables", "lock every table"), ("command", "fence_command"),
                              ("revoke_connect", "revoke CONNECT")):
            code, answer = cutover(proxy, "--dry-run", *plan(method, lasting))
            assert code == 0, answer
            step = next(step for step in answer["plan"] if step["step"] == "fence")
            assert words in step["does"] and step["undo"] != "-"
