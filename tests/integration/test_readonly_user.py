"""Forced read-only by a login of the server's, `readonly on --by user`: sessions move to it with
their state, and back."""

import contextlib
import json
import threading

import psycopg2
import pytest

from support.cluster import Cluster, wait_until
from support.login import connect as log_in
from support.login import login_error, users_file, verifier
from support.sluice import Sluice

PASSWORD = "correct horse"
GUARDED, NOT_ALLOWED = "25006", "42501"
ROLES = f"""
CREATE TABLE t (a int);
CREATE ROLE writers;
CREATE ROLE alice LOGIN PASSWORD '{PASSWORD}' IN ROLE writers;
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE careless LOGIN PASSWORD '{PASSWORD}' IN ROLE writers NOINHERIT;
GRANT SELECT, INSERT ON t TO writers;
GRANT SELECT ON t TO reader;
"""
RULES = """
host all postgres all trust
host all all all scram-sha-256
"""
INSERT = "INSERT INTO t VALUES (1)"


@pytest.fixture(scope="module")
def server():
    with Cluster("blue") as blue:
        blue.query(ROLES)
        with open(f"{blue.data}/pg_hba.conf", "w", encoding="utf-8") as out:
            out.write(RULES)
        blue.reload()
        wait_until(lambda: login_error(blue, "alice", "wrong"), "the rules")
        yield blue


@pytest.fixture
def start(server, tmp_path):
    """Starts proxies that have only alice's verifier; keys of the backend as given."""
    with contextlib.ExitStack() as stack:
        def one(method="scram-sha-256", **keys):
            secret = tmp_path / "password"
            secret.write_text(PASSWORD + "\n")
            keys = {"read_only_user": "reader", "read_only_password_file": str(secret), **keys}
            stored = server.query("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'")
            auth = {"method": method}
            if method == "scram-sha-256":
                auth["users_file"] = users_file(tmp_path / "users.txt", {"alice": stored[0][0]})
            backend = {"host": server.host, "port": server.port, **keys}
            other = {"host": server.host, "port": server.port}
            return stack.enter_context(Sluice({"blue": server}, workers=2, service={
                "auth": auth, "backends": {"blue": backend, "green": other}}))
        yield one


@pytest.fixture
def proxy(start):
    return start()


@pytest.fixture
def connect():
    """Opens sessions of alice's that are closed at the end of the test."""
    with contextlib.ExitStack() as stack:
        def one(to, **options):
            return stack.enter_context(
                contextlib.closing(log_in(to, "alice", PASSWORD, **options)))
        yield one


def run(session, sql):
    with session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def refusal(session, sql=INSERT):
    """The SQLSTATE with which a statement is refused."""
    with pytest.raises(psycopg2.Error) as refused:
        run(session, sql)
    return refused.value.pgcode


def who(session):
    return run(session, "SELECT session_user")


def by_user(proxy, *words):
    return proxy.ctl("readonly", "on", "--by", "user", "--fence", "none", *words)[1]


def refused(proxy, *words):
    """Exit code and error of a command that is not carried out."""
    code, answer = proxy.ctl(*words, check=False)
    return code, answer["error"]


# --- there and back -----------------------------------------------------------------------------

def test_live_and_new_sessions_have_the_login_and_keep_their_state(proxy, connect):
    session = connect(proxy)
    run(session, "SET app.tenant = '7'")
    run(session, "SET search_path = public")
    run(session, "PREPARE mine AS SELECT count(*) FROM t WHERE a < $1")
    before = run(session, "EXECUTE mine(100)")
    done = by_user(proxy)
    assert (done["access"], done["by"], done["restricted"], done["left"]) == (
        "read-only", "user", 1, [])
    assert who(session) == "reader"
    assert session.get_parameter_status("session_authorization") == "reader"
    assert refusal(session) == NOT_ALLOWED
    assert refusal(session, "SET SESSION AUTHORIZATION alice") == NOT_ALLOWED
    assert run(session, "SHOW app.tenant") == "7" and run(session, "EXECUTE mine(100)") == before
    assert who(connect(proxy)) == "reader"
    assert proxy.status()["read_only"] == {"state": "on", "by": "user", "fence": "none"}
    assert [s["restricted"] for s in proxy.sessions()] == [True, True]
    off = proxy.ctl("readonly", "off")[1]
    assert (off["access"], off["restricted"], off["left"]) == ("read-write", 0, [])
    assert who(session) == "alice" and run(session, "SHOW app.tenant") == "7"
    assert run(session, "SHOW search_path") == "public"
    run(session, INSERT)
    assert run(session, "EXECUTE mine(100)") == before + 1
    rows = [json.loads(line) for line in
            proxy.ctl("events", "--json", "--last", "2", json=False)[1].splitlines()]
    assert [e["payload"].get("means") for e in rows] == ["user", None]


def test_a_session_that_was_born_with_the_login_gets_its_own(proxy, connect):
    by_user(proxy)
    session = connect(proxy)
    run(session, "SET app.tenant = '8'")
    proxy.ctl("readonly", "off")
    assert who(session) == "alice" and run(session, "SHOW app.tenant") == "8"
    run(session, INSERT)


def test_a_transaction_is_waited_for(proxy, connect):
    session = connect(proxy)
    session.autocommit = False
    run(session, INSERT)
    on = proxy.ctl_start("readonly", "on", "--by", "user", "--fence", "none")
    proxy.wait_status(lambda s: s["read_only"] is not None, "the command to begin")
    run(session, INSERT)
    session.commit()
    assert on.finish()[1]["left"] == []
    assert who(session) == "reader"


def test_at_the_deadline_everything_is_as_before(proxy, connect):
    busy, idle = connect(proxy), connect(proxy)
    busy.autocommit = False
    run(busy, INSERT)
    code, answer = proxy.ctl("readonly", "on", "--by", "user", "--fence", "none", "--timeout",
                             "5s", check=False)
    assert code == 5 and len(answer["blockers"]) == 1
    run(busy, INSERT)
    busy.commit()
    proxy.wait_status(lambda s: s["read_only"] is None, "the end of the command")
    wait_until(lambda: not any(s["restricted"] for s in proxy.sessions()), "their own logins")
    assert who(idle) == "alice"
    run(idle, INSERT)


def test_readers_and_writers_go_on_while_it_comes_and_goes(proxy, server, connect):
    """Nobody's state is lost, reads never fail, and what was acknowledged is there."""
    server.query("CREATE TABLE log (who int, n int); GRANT SELECT, INSERT ON log TO writers; "
                 "GRANT SELECT ON log TO reader")
    done, failures, counts = threading.Event(), [], {}

    def work(number):
        session = connect(proxy)
        run(session, f"SET app.tenant = '{number}'")
        run(session, "PREPARE mine AS SELECT current_setting('app.tenant')")
        n = 0
        while not done.is_set():
            if run(session, "EXECUTE mine") != str(number):
                failures.append(f"state of {number}")
            try:
                run(session, f"INSERT INTO log VALUES ({number}, {n})")
                n += 1
            except psycopg2.Error as error:
                if error.pgcode not in (GUARDED, NOT_ALLOWED):
                    failures.append(str(error))
        counts[number] = n

    def guarded(number):
        try:
            work(number)
        except psycopg2.Error as error:
            failures.append(str(error))

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True)
               for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert by_user(proxy)["left"] == []
            before = server.query("SELECT count(*) FROM log")
            assert proxy.ctl("sessions")[0] == 0
            assert server.query("SELECT count(*) FROM log") == before
            assert proxy.ctl("readonly", "off")[1]["left"] == []
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures
    rows = dict(server.query("SELECT who, count(*) FROM log GROUP BY 1"))
    assert {number: rows.get(number, 0) for number in counts} == counts and len(counts) == 6


# --- who cannot have the login, or its own again ------------------------------------------------

@pytest.mark.parametrize("state, code", [
    ("CREATE TEMP TABLE mine (a int)", "temp"),
    ("SELECT pg_advisory_lock(7)", "advisory_lock"),
    ("SET ROLE writers", "role"),
])
def test_who_cannot_move_stays_under_the_guard_and_is_named(proxy, connect, state, code):
    pinned, free = connect(proxy, application_name="pinned"), connect(proxy)
    run(pinned, state)
    done = by_user(proxy)
    assert done["restricted"] == 1 and len(done["left"]) == 1, done
    assert "pinned" in done["left"][0] and f"{code}:" in done["left"][0]
    assert (who(pinned), who(free)) == ("alice", "reader")
    assert (refusal(pinned), refusal(free)) == (GUARDED, NOT_ALLOWED)
    assert proxy.ctl("readonly", "off")[1]["left"] == []
    run(pinned, INSERT)
    run(free, INSERT)


def test_who_cannot_go_back_is_named_and_bars_a_cutover(proxy, connect):
    by_user(proxy)
    session = connect(proxy, application_name="pinned")
    run(session, "CREATE TEMP TABLE mine (a int)")
    code, answer = proxy.ctl("readonly", "off", check=False)
    assert code == 5 and "1 session could not go back" in answer["error"]
    assert "pinned" in answer["left"][0]
    assert (who(session), refusal(session)) == ("reader", NOT_ALLOWED)
    run(connect(proxy), INSERT)
    code, error = refused(proxy, "retarget", "green")
    assert code == 4 and "read-only login" in error
    run(session, "DROP TABLE mine")
    proxy.ctl("reconnect")
    wait_until(lambda: not any(s["restricted"] for s in proxy.sessions()), "its own login")
    run(session, INSERT)


def test_clients_whom_only_the_server_can_ask_stay_under_the_guard(start, connect):
    proxy = start(method="passthrough")
    live = connect(proxy)
    done = by_user(proxy)
    assert done["restricted"] == 0 and "credentials:" in done["left"][0]
    new = connect(proxy)
    assert [(who(s), refusal(s)) for s in (live, new)] == [("alice", GUARDED)] * 2
    assert "wrong" not in login_error(proxy, "alice", PASSWORD)
    assert "password authentication failed" in login_error(proxy, "alice", "wrong")


# --- together with the rest ---------------------------------------------------------------------

def test_guard_and_login_can_take_turns(proxy, connect):
    session = connect(proxy)
    proxy.ctl("readonly", "on", "--fence", "none")
    assert (who(session), refusal(session)) == ("alice", GUARDED)
    assert proxy.ctl("readonly", "on", "--by", "user")[1]["restricted"] == 1
    assert (who(session), refusal(session)) == ("reader", NOT_ALLOWED)
    assert proxy.ctl("readonly", "on")[1]["already"] is True
    back = proxy.ctl("readonly", "on", "--by", "guard")[1]
    assert (back["by"], back["restricted"], back["left"]) == ("guard", 0, [])
    assert (who(session), refusal(session)) == ("alice", GUARDED)
    proxy.ctl("readonly", "off")
    run(session, INSERT)


def test_the_fence_comes_and_goes_beside_it(proxy, server, connect):
    session = connect(proxy)
    assert by_user(proxy)["fence"] == "none"
    done = proxy.ctl("readonly", "on", "--fence", "default")[1]
    assert (done["fence"], done["by"]) == ("default", "user")
    assert server.query("SHOW default_transaction_read_only") == [("on",)]
    assert who(session) == "reader"
    proxy.ctl("readonly", "off")
    wait_until(lambda: server.query("SHOW default_transaction_read_only") == [("off",)],
               "the fence's end")
    run(session, INSERT)


def test_a_canarys_clients_stay_under_the_guard(proxy, server, connect):
    """Nobody has looked at the role on the canary's server, so that its clients never have it."""
    proxy.service["backends"]["green"].update(
        {key: value for key, value in proxy.service["backends"]["blue"].items()
         if key.startswith("read_only")})
    proxy.write_config()
    proxy.restart()
    session = connect(proxy)
    proxy.ctl("canary", "127.0.0.0/8", "--to", "green", "--access", "read-write")
    run(session, INSERT)
    done = by_user(proxy)
    assert (done["restricted"], done["left"]) == (0, [])
    for each in (session, connect(proxy)):
        assert (who(each), refusal(each)) == ("alice", GUARDED)
    proxy.ctl("canary", "off")
    assert (who(session), refusal(session)) == ("reader", NOT_ALLOWED)
    proxy.ctl("readonly", "off")
    run(session, INSERT)


def test_it_holds_over_a_crash(proxy, connect):
    by_user(proxy)
    proxy.kill9()
    proxy.start()
    session = connect(proxy)
    assert (who(session), refusal(session)) == ("reader", NOT_ALLOWED)
    assert proxy.ctl("readonly", "off")[1]["left"] == []
    run(session, INSERT)


@pytest.mark.parametrize("words", [("cutover", "--to", "green"), ("retarget", "green")])
def test_sessions_are_not_carried_elsewhere_meanwhile(proxy, words):
    by_user(proxy)
    code, error = refused(proxy, *words)
    assert code == 4 and "readonly on --by guard" in error
    proxy.ctl("readonly", "on", "--by", "guard")
    proxy.ctl("retarget", "green")
    code, error = refused(proxy, "readonly", "on", "--by", "user")
    assert code == 2 and "green has no read_only_user" in error


# --- what is refused ----------------------------------------------------------------------------

def test_a_wrong_password_changes_nothing(start, connect, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    proxy = start(read_only_password_file=str(wrong))
    session = connect(proxy)
    code, error = refused(proxy, "readonly", "on", "--by", "user")
    assert code == 1 and 'password authentication failed for user "reader"' in error
    assert "battery" not in error
    assert proxy.status()["read_only"] is None
    run(session, INSERT)


def test_a_role_with_rights_to_write_is_refused_and_they_are_named(proxy, server, connect):
    session = connect(proxy)
    for right, words in (("INSERT ON t", "table public.t"),
                         ("UPDATE (a) ON t", "table public.t"),
                         ("CREATE ON SCHEMA public", "CREATE in schema public"),
                         ("CREATE ON DATABASE postgres", "CREATE in the database"),
                         ("pg_write_server_files", "membership in pg_write_server_files")):
        server.query(f"GRANT {right} TO reader")
        code, error = refused(proxy, "readonly", "on", "--by", "user")
        server.query(f"REVOKE {right} FROM reader")
        assert code == 4 and "role reader may write on blue" in error
        assert f"{words} (database postgres)" in error
    server.query("CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO reader")
    assert "sequence public.s" in refused(proxy, "readonly", "on", "--by", "user")[1]
    server.query("DROP SEQUENCE s; CREATE TABLE own (); ALTER TABLE own OWNER TO reader; "
                 "REVOKE ALL ON own FROM reader")
    assert "table public.own" in refused(proxy, "readonly", "on", "--by", "user")[1]
    server.query("DROP TABLE own; ALTER ROLE reader CREATEROLE")
    assert "CREATEROLE or CREATEDB of reader" in refused(proxy, "readonly", "on", "--by", "user")[1]
    server.query("ALTER ROLE reader NOCREATEROLE")
    run(session, INSERT)
    by_user(proxy)
    assert refusal(session) == NOT_ALLOWED


def test_a_role_that_may_become_one_with_rights_is_refused(start):
    proxy = start(read_only_user="careless")
    code, error = refused(proxy, "readonly", "on", "--by", "user")
    assert code == 4 and "role careless may write on blue: " in error
    assert "table public.t (database postgres)" in error
    code, error = refused(start(read_only_user="postgres"), "readonly", "on", "--by", "user")
    assert code == 4 and "it is a superuser" in error


def test_a_server_that_is_down_changes_nothing(proxy, server):
    server.stop()
    try:
        code, error = refused(proxy, "readonly", "on", "--by", "user", "--fence", "none")
    finally:
        server.start()
    assert code == 1 and error.startswith("blue: ")
    assert proxy.status()["read_only"] is None


def test_verifiers_differ_and_nobody_is_moved_to_nowhere(start, server, connect, tmp_path):
    """The proxy's verifier of alice is not the server's: she cannot have her own login again."""
    proxy = start()
    users_file(tmp_path / "users.txt", {"alice": verifier(PASSWORD)})
    proxy.ctl("reload")
    by_user(proxy)
    session = connect(proxy)
    assert who(session) == "reader"
    code, answer = proxy.ctl("readonly", "off", check=False)
    assert code == 5 and "credentials:" in answer["left"][0]
    assert run(session, "SELECT 1") == 1
