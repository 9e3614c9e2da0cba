# ctest: serial
"""Cutovers between real servers under a write load: what clients see, and where the rows are."""

import contextlib
import os
import signal
import socket
import time

import psycopg2
import pytest

from support import cutover_world
from support.cluster import Cluster, wait_until
from support.cutover_world import DB, connect, cutover, one, proxy_for
from support.ledger import Ledger, schema
from support.sluice import faults

# Everybody waits for the longest transaction.
ONE_PASS = {"cutover": {"long_transaction": "0s"}}

STATE = """
CREATE FUNCTION set_hidden(v text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('hidden.tenant', v, false); END $$;
CREATE SEQUENCE never_used;
CREATE SEQUENCE restarted;
CREATE SEQUENCE down INCREMENT -1 MAXVALUE 1000 START 1000;
"""


def expect_drain(proxy):
    draining = ("drain_long", "refresh", "drain")
    proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] in draining, "the drain")


def logical_pair():
    return cutover_world.logical_pair(STATE)


def physical_pair():
    return cutover_world.physical_pair(STATE)


class UnrelatedPair:
    """Two servers with the same schema and nothing between them."""

    def __init__(self):
        self.old, self.new = Cluster("old"), Cluster("new")
        for server in (self.old, self.new):
            server.create_database(DB, schema(fill=True) + STATE)

    def destroy(self):
        self.old.destroy()
        self.new.destroy()


@pytest.fixture(scope="module")
def lasting():
    """A logical pair for cutovers that do not happen; each test leaves it as it was."""
    with logical_pair() as pair:
        yield pair


@pytest.fixture
def pair(request):
    """A pair of its own for a cutover that does happen."""
    made = {"logical": logical_pair, "physical": physical_pair, "none": UnrelatedPair}[
        getattr(request, "param", "logical")]()
    yield made
    made.destroy()


def last_words(connection):
    """What the proxy says on its own before it closes; libpq shows it only with luck."""
    with socket.socket(fileno=os.dup(connection.fileno())) as raw:
        raw.settimeout(10)
        heard = b""
        while True:
            more = raw.recv(4096)
            if not more:
                return heard
            heard += more


def expect_untouched(proxy, pair):
    """Nothing is held, nothing is fenced, nothing moved."""
    status = proxy.status()
    assert (status["route"], status["gate"], status["generation"]) == ("blue", "open", 1)
    assert pair.old.value("SHOW default_transaction_read_only") == "off"
    with contextlib.closing(connect(proxy)) as connection:
        assert one(connection, "SHOW cluster_name") == "old"
        one(connection, "INSERT INTO ledger (key) VALUES ('after') RETURNING id")
        one(connection, "DELETE FROM ledger WHERE key = 'after' RETURNING id")


def refused_writes(server):
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        server.query("INSERT INTO ledger (key) VALUES ('outside')", dbname=DB)


# --- cutovers that happen


@pytest.mark.parametrize("pair", ["logical", "physical"], indirect=True)
def test_moves_everybody_and_every_row_under_load(pair, request):
    kind = request.node.callspec.params["pair"]
    with proxy_for(pair, kind) as proxy, Ledger(proxy, DB) as ledger:
        direct = pair.old.connect(DB)
        code, answer = cutover(proxy)
        assert code == 0, answer
        ledger.wait_for_progress()
        ledger.finish()
        assert ledger.errors() == []
        assert ledger.verdict(pair.new, pair.old) == []
        assert answer["switched"] == answer["sessions"] == 6
        status = proxy.status()
        assert (status["route"], status["generation"], status["gate"]) == ("green", 2, "open")
        assert status["cutover"]["outcome"] == "done"
        with pytest.raises(psycopg2.OperationalError):
            one(direct, "SELECT 1")
        refused_writes(pair.old)
        steps = [step["step"] for step in answer["steps"]]
        assert steps.index("fence") < steps.index("catch_up") < steps.index("commit")


@pytest.mark.parametrize("pair", ["logical", "physical"], indirect=True)
def test_waits_for_a_new_server_that_lags(pair, request):
    kind = request.node.callspec.params["pair"]
    # Who applies stands still, and everything else on the new server answers: it is stopped while
    # there is nothing to apply, for what it holds in the middle of it others may wait for.
    pid = pair.new.value("SELECT pid FROM pg_stat_activity WHERE backend_type = %s",
                         {"logical": "logical replication worker", "physical": "startup"}[kind])
    with proxy_for(pair, kind) as proxy, contextlib.ExitStack() as standstill:
        os.kill(pid, signal.SIGSTOP)
        standstill.callback(os.kill, pid, signal.SIGCONT)
        with Ledger(proxy, DB) as ledger:
            running = proxy.ctl_start("cutover", "--to", "green")
            proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "catch_up",
                              "a wait for replication")
            assert ledger.verdict(pair.new) != [], "it lags"
            assert (proxy.status()["route"], proxy.status()["gate"]) == ("blue", "paused")
            standstill.close()
            code, answer = cutover_world.answer_of(running.finish())
            assert code == 0, answer
            ledger.wait_for_progress()
            ledger.finish()
            assert ledger.errors() == []
            assert ledger.verdict(pair.new, pair.old) == []


@pytest.mark.parametrize("pair", ["none"], indirect=True)
def test_without_replication_moves_the_sessions_and_fences(pair):
    with proxy_for(pair, "none") as proxy, contextlib.closing(connect(proxy)) as client:
        one(client, "SELECT set_config('app.tenant', 'seven', false)")
        code, answer = cutover(proxy)
        assert code == 0, answer
        assert one(client, "SHOW cluster_name") == "new"
        assert one(client, "SELECT current_setting('app.tenant')") == "seven"
        refused_writes(pair.old)


def test_state_sequences_and_subscription_after_a_logical_cutover(pair):
    pair.old.query("ALTER SEQUENCE restarted RESTART WITH 500", dbname=DB)
    pair.old.query("SELECT nextval('down'), nextval('down')", dbname=DB)
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as client:
        # A name that never crosses the wire: only the catalogs mention it.
        one(client, "SELECT set_hidden('seven') IS NULL")
        code, answer = cutover(proxy)
        assert code == 0, answer
        assert one(client, "SHOW cluster_name") == "new"
        assert one(client, "SELECT current_setting('hidden' || '.tenant', true)") == "seven"
        assert one(client, "SELECT nextval('restarted')") == 500
        assert one(client, "SELECT nextval('down')") == 998
        assert one(client, "SELECT nextval('never_used')") == 1
        assert pair.new.value("SELECT subenabled FROM pg_subscription") is False
        assert pair.new.value("SELECT count(pid) FROM pg_stat_subscription") == 0


def test_the_report_tells_the_drain_from_what_the_proxy_adds(pair):
    with proxy_for(pair, "logical", service=ONE_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as client:
        with client.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 1")
            running = proxy.ctl_start("cutover", "--to", "green")
            proxy.wait_status(lambda s: s["gate"] == "draining", "the drain")
            begun = time.monotonic()
            proxy.wait_status(lambda s: s["cutover"]["elapsed_ms"] > 500, "a long transaction")
            in_transaction_ms = (time.monotonic() - begun) * 1000
            cursor.execute("COMMIT")
        code, answer = cutover_world.answer_of(running.finish())
        assert code == 0, answer
    assert answer["drained_ms"] > in_transaction_ms
    parts = answer["drained_ms"] + answer["waited_ms"] + answer["added_ms"]
    assert answer["held_ms"] == pytest.approx(parts)
    paused = {step["step"]: step["took_ms"] for step in answer["steps"] if step["in_pause"]}
    assert list(paused) == ["drain", "verdict", "fence", "catch_up", "sequences", "verify",
                            "commit", "move", "open"]
    assert answer["waited_ms"] == pytest.approx(paused["catch_up"])
    assert paused["drain"] > in_transaction_ms
    del paused["open"]  # its end is behind the moment in which the gate is open
    assert sum(paused.values()) <= answer["held_ms"]


def test_there_and_back_without_a_hand_on_the_fence(pair):
    with proxy_for(pair, "logical") as proxy:
        with Ledger(proxy, DB) as ledger:
            assert cutover(proxy)[0] == 0
            ledger.wait_for_progress()
        assert ledger.verdict(pair.new, pair.old) == []
        refused_writes(pair.old)
        cutover_world.follow_back(pair)
        proxy.restart()  # the journal knows whose fence it is
        with Ledger(proxy, DB) as ledger:
            code, answer = cutover(proxy, to="blue")
            assert code == 0, answer
            ledger.wait_for_progress()
        assert ledger.errors() == []
        assert ledger.verdict(pair.old, pair.new) == []
        assert "lift" in [step["step"] for step in answer["steps"]]
        status = proxy.status()
        assert (status["route"], status["generation"]) == ("blue", 3)
        pair.old.query("INSERT INTO ledger (key) VALUES ('outside')", dbname=DB)
        refused_writes(pair.new)


def test_a_restart_after_the_cutover_knows_the_new_route(pair):
    with proxy_for(pair, "logical") as proxy:
        assert cutover(proxy)[0] == 0
        proxy.restart()
        with contextlib.closing(connect(proxy)) as client:
            assert one(client, "SHOW cluster_name") == "new"


def test_a_second_cutover_to_the_same_side_is_refused(lasting):
    with proxy_for(lasting, "logical") as proxy:
        code, answer = proxy.ctl("cutover", "--to", "blue", check=False)
        assert code == 4 and "already" in answer["error"]
        code, answer = proxy.ctl("cutover", "--to", "grun", check=False)
        assert code == 2 and "green" in answer["error"]


# --- sessions that cannot be moved


def test_a_pinned_session_is_named_before_anybody_is_paused(lasting):
    with proxy_for(lasting, "logical") as proxy, contextlib.closing(connect(proxy)) as client:
        with client.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (a int)")
        code, answer = cutover(proxy)
        assert code == 1
        assert len(answer["rows"]) == 1 and "temp" in answer["rows"][0], answer
        assert "drain" not in [step["step"] for step in answer["steps"]]
        assert one(client, "SELECT count(*) FROM mine") == 0
        expect_untouched(proxy, lasting)


def test_terminate_ends_the_pinned_session_alone(pair):
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as pinned, \
            contextlib.closing(connect(proxy)) as other:
        with pinned.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (a int)")
        code, answer = cutover(proxy, "--on-pinned", "terminate")
        assert code == 0, answer
        assert len(answer["left_behind"]) == 1 and "temp" in answer["left_behind"][0]
        assert one(other, "SHOW cluster_name") == "new"
        words = last_words(pinned)
        assert b"57P01" in words and b'"app" moved from "blue" to "green"' in words


def test_wait_goes_on_as_soon_as_the_session_is_movable(pair):
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as pinned:
        with pinned.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (a int)")
        running = proxy.ctl_start("cutover", "--to", "green", "--on-pinned", "wait")
        proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "verdict" and
                          s["gate"] == "open", "a cutover that waits for a pinned session")
        with pinned.cursor() as cursor:
            cursor.execute("DROP TABLE mine")
        code, answer = running.finish()
        assert code == 0, answer
        assert one(pinned, "SHOW cluster_name") == "new"


def test_wait_ends_at_the_timeout_and_names_the_session(lasting):
    with proxy_for(lasting, "logical") as proxy, contextlib.closing(connect(proxy)) as pinned:
        with pinned.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE mine (a int)")
        code, answer = cutover(proxy, "--on-pinned", "wait", "--timeout", "5s")
        assert code == 5
        assert "temp" in answer["rows"][0]
        assert "earlier steps used the whole --timeout (5s)" in answer["error"]
        expect_untouched(proxy, lasting)


# --- cutovers that end early


def test_a_long_transaction_ends_the_drain_at_its_deadline(lasting):
    with proxy_for(lasting, "logical", service={"cutover": {"drain_timeout": "300ms"}}) as proxy, \
            contextlib.closing(connect(proxy)) as client:
        with client.cursor() as cursor:
            cursor.execute("BEGIN; INSERT INTO ledger (key) VALUES ('open')")
            code, answer = cutover(proxy)
            assert code == 5
            assert "in a transaction" in answer["rows"][0] and "ledger" in answer["rows"][0]
            cursor.execute("ROLLBACK")
        expect_untouched(proxy, lasting)


@pytest.mark.parametrize("service", [{}, ONE_PASS], ids=["first_pass", "closed_gate"])
def test_abort_ends_a_drain_at_once(lasting, service):
    with proxy_for(lasting, "logical", service=service) as proxy, \
            contextlib.closing(connect(proxy)) as client:
        with client.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 1")
            running = proxy.ctl_start("cutover", "--to", "green")
            expect_drain(proxy)
            assert proxy.ctl("abort")[0] == 0
            code, answer = running.finish(10)
            assert code == 1 and "aborted" in answer["error"]
            cursor.execute("ROLLBACK")
        expect_untouched(proxy, lasting)


def test_sigterm_ends_a_cutover_like_an_abort(lasting):
    proxy = proxy_for(lasting, "logical")
    client = connect(proxy)
    client.cursor().execute("BEGIN; SELECT 1")
    running = proxy.ctl_start("cutover", "--to", "green")
    expect_drain(proxy)
    proxy.stop()
    assert running.finish(10)[0] != 0
    proxy.start()
    expect_untouched(proxy, lasting)
    proxy.stop()
    proxy.destroy()


def expect_refusal(proxy, pair, check, text):
    code, answer = cutover(proxy)
    assert code == 1
    failed = [row for row in answer["checks"] if row["level"] == "error"]
    assert [row["check"] for row in failed] == [check], answer["checks"]
    assert text in failed[0]["text"] and text in answer["error"]
    assert [step["step"] for step in answer["steps"]] == ["preflight"]
    expect_untouched(proxy, pair)


def test_preflight_refuses_a_table_that_the_subscription_does_not_follow(lasting):
    for server in (lasting.old, lasting.new):
        server.query("CREATE TABLE added (id int PRIMARY KEY)", dbname=DB)
    with proxy_for(lasting, "logical") as proxy:
        expect_refusal(proxy, lasting, "tables", "public.added")
    for server in (lasting.old, lasting.new):
        server.query("DROP TABLE added", dbname=DB)


def test_preflight_refuses_a_new_server_that_is_read_only(lasting):
    lasting.new.query("ALTER SYSTEM SET default_transaction_read_only = on")
    lasting.new.reload()
    wait_until(lambda: lasting.new.value("SHOW default_transaction_read_only") == "on", "reload")
    with proxy_for(lasting, "logical") as proxy:
        expect_refusal(proxy, lasting, "read-only", "green has default_transaction_read_only")
    lasting.new.query("ALTER SYSTEM RESET default_transaction_read_only")
    lasting.new.reload()
    wait_until(lambda: lasting.new.value("SHOW default_transaction_read_only") == "off", "reload")


def test_preflight_refuses_too_few_connections(lasting):
    with proxy_for(lasting, "logical") as proxy, contextlib.ExitStack() as clients:
        room = int(lasting.new.value("SHOW max_connections")) - 3
        blocking = [clients.enter_context(contextlib.closing(lasting.new.connect()))
                    for _ in range(room - 2)]
        for _ in range(4):
            clients.enter_context(contextlib.closing(connect(proxy)))
        assert blocking
        code, answer = cutover(proxy)
        assert code == 1 and "max_connections" in answer["hint"], answer


def test_a_setting_of_the_old_server_survives_an_abort(lasting):
    """ALTER SYSTEM had a value before: the undo restores it and does not just remove ours."""
    lasting.old.query("ALTER SYSTEM SET default_transaction_read_only = 'false'")
    lasting.old.reload()
    with proxy_for(lasting, "logical", start=False) as proxy:
        with faults("cutover:verify:before=error"):
            proxy.start()
        code, _ = cutover(proxy)
        assert code == 1
        rows = lasting.old.query("SELECT setting FROM pg_file_settings WHERE name = "
                                 "'default_transaction_read_only' AND sourcefile LIKE '%auto.conf'")
        assert rows == [("false",)]
        expect_untouched(proxy, lasting)
    lasting.old.query("ALTER SYSTEM RESET default_transaction_read_only")
    lasting.old.reload()


def test_dry_run_changes_nothing_and_shows_the_plan(lasting):
    with proxy_for(lasting, "logical") as proxy, contextlib.closing(connect(proxy)) as client:
        one(client, "SELECT 1")
        code, answer = cutover(proxy, "--dry-run")
        assert code == 0, answer
        assert [step["step"] for step in answer["plan"]][:3] == ["preflight", "begin", "prepare"]
        names = [each["reading"] for each in answer["readings"]]
        assert "replication lag" in names and "sequences to copy" in names
        expect_untouched(proxy, lasting)


# --- retarget


@pytest.mark.parametrize("pair", ["none"], indirect=True)
def test_retarget_moves_sessions_and_asks_no_server(pair):
    with proxy_for(pair, "none") as proxy, contextlib.closing(connect(proxy)) as client:
        one(client, "SELECT 1")
        assert proxy.ctl("retarget", "green")[0] == 0
        assert one(client, "SHOW cluster_name") == "new"
        assert pair.old.value("SHOW default_transaction_read_only") == "off"
        proxy.ctl("pause")
        assert proxy.ctl("retarget", "blue")[0] == 0
        assert proxy.status()["gate"] == "paused"
        proxy.ctl("resume")
        assert one(client, "SHOW cluster_name") == "old"
        assert proxy.status()["generation"] == 3
