"""auth.query: users who are in no list are looked up on the server that the service is on."""

import contextlib
import os
import subprocess

import pytest

from support.cluster import Cluster, wait_until
from support.login import connect, login_error, users_file, verifier
from support.sluice import Sluice, program

PASSWORD = "correct horse"
LOOKUP = """
CREATE SCHEMA lookup;
CREATE FUNCTION lookup.user_lookup(i_username text, OUT uname text, OUT phash text)
RETURNS record LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT rolname, rolpassword FROM pg_authid WHERE rolname = i_username $$;
CREATE ROLE asker LOGIN;
GRANT USAGE ON SCHEMA lookup TO asker;
"""


@pytest.fixture(scope="module")
def servers():
    """Two servers on which alice has the same verifier."""
    secrets = {role: verifier(PASSWORD) for role in ("alice", "late", "barred")}
    with Cluster("blue") as blue, Cluster("green") as green:
        for server in (blue, green):
            for role, secret in secrets.items():
                server.query(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")
            server.query("ALTER ROLE late VALID UNTIL '2001-01-01'")
            server.query("ALTER ROLE barred NOLOGIN")
            server.query("CREATE ROLE bare LOGIN")
            server.query(LOOKUP)
            ask_for_scram(server)
        yield {"blue": blue, "green": green}


def ask_for_scram(server):
    path = os.path.join(server.data, "pg_hba.conf")
    with open(path, "w") as out:
        out.write("host all postgres,asker all trust\nhost all all all scram-sha-256\n"
                  "host replication all all trust\n")
    server.reload()
    wait_until(lambda: error_of(server, "alice", "wrong"), "the rules to be in force")


@contextlib.contextmanager
def proxy_with(servers, method="scram-sha-256", query="pg_authid", **auth):
    service = {"auth": {"method": method, "query": query, **auth}}
    with Sluice(servers, service=service) as proxy:
        yield proxy


def error_of(endpoint, user="alice", password=PASSWORD, **options):
    return login_error(endpoint, user, password, **options)


def refusal(user):
    return f'password authentication failed for user "{user}"'


def port_of(connection):
    with connection.cursor() as cursor:
        cursor.execute("SHOW port")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_whoever_may_log_in_to_the_server_may_here(method, servers):
    with proxy_with(servers, method) as proxy:
        assert error_of(proxy) == ""
        assert refusal("alice") in error_of(proxy, password="wrong")
        for user in ("late", "barred", "bare", "nobody"):
            assert refusal(user) in error_of(proxy, user), user
        assert error_of(proxy) == ""


def test_an_expired_role_is_not_let_in_to_a_server_that_asks_nobody():
    """Nobody but the proxy looks at VALID UNTIL then (CVE-2025-2291)."""
    with Cluster("asks nobody") as trusting:
        for role, until in (("late", "2001-01-01"), ("timely", "infinity")):
            trusting.query(f"CREATE ROLE {role} LOGIN PASSWORD '{verifier(PASSWORD)}' "
                           f"VALID UNTIL '{until}'")
        with proxy_with({"blue": trusting}) as proxy:
            assert error_of(proxy, "timely") == ""
            assert refusal("late") in error_of(proxy, "late")


@pytest.mark.parametrize("method", ["scram-sha-256", "passthrough"])
def test_sessions_move_without_a_list_of_users(method, servers):
    with (proxy_with(servers, method) as proxy,
          contextlib.closing(connect(proxy, "alice", PASSWORD)) as session):
        assert port_of(session) == servers["blue"].port
        proxy.ctl("retarget", "green")
        assert port_of(session) == servers["green"].port
        servers["green"].query("CREATE ROLE newcomer LOGIN PASSWORD 'fresh'")
        try:
            assert error_of(proxy, "newcomer", "fresh") == ""  # asked where the service is now
        finally:
            servers["green"].query("DROP ROLE newcomer")


@pytest.mark.parametrize("method", ["scram-sha-256", "passthrough"])
def test_a_changed_password_is_noticed(method, servers):
    with proxy_with(servers, method) as proxy:
        for server in servers.values():
            server.query("CREATE ROLE carol LOGIN PASSWORD 'first'")
        try:
            assert error_of(proxy, "carol", "first") == ""
            secret = verifier("second")
            for server in servers.values():
                server.query(f"ALTER ROLE carol PASSWORD '{secret}'")
            error_of(proxy, "carol", "second")  # what is remembered turns out to be wrong
            with contextlib.closing(connect(proxy, "carol", "second")) as session:
                assert error_of(proxy, "carol", "first") != ""
                proxy.ctl("retarget", "green")
                assert port_of(session) == servers["green"].port
        finally:
            for server in servers.values():
                server.query("DROP ROLE carol")


def test_a_function_and_a_login_of_its_own(servers):
    """PgBouncer's user_lookup form. What was found is remembered until a reload."""
    blue = servers["blue"]
    with proxy_with(servers, query="SELECT uname, phash FROM lookup.user_lookup($1)",
                    query_user="asker") as proxy:
        assert error_of(proxy) == ""
        blue.query("REVOKE USAGE ON SCHEMA lookup FROM asker")
        try:
            assert error_of(proxy) == ""
            assert "cannot be looked up at the moment" in error_of(proxy, "nobody")
            proxy.ctl("reload")
            refused = error_of(proxy)
            assert "cannot be looked up at the moment" in refused
            assert 'Service "app" asks its server for it (auth.query)' in refused
            proxy.wait_logged("permission denied for schema lookup")
        finally:
            blue.query("GRANT USAGE ON SCHEMA lookup TO asker")
        assert error_of(proxy) == ""


def test_a_search_path_does_not_steer_it(servers):
    """Neither the one that a client sends nor that of the role that asks (CVE-2025-12819)."""
    blue = servers["blue"]
    blue.query(f"CREATE SCHEMA evil; CREATE TABLE evil.pg_shadow AS SELECT 'alice'::name AS "
               f"usename, '{verifier('evil')}'::text AS passwd; "
               "GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT SELECT ON evil.pg_shadow TO PUBLIC; "
               "ALTER ROLE postgres SET search_path = evil, pg_catalog")
    try:
        with proxy_with(servers, query="SELECT usename, passwd FROM pg_shadow "
                                       "WHERE usename = $1") as proxy:
            steered = {"options": "-c search_path=evil,pg_catalog"}
            assert refusal("alice") in error_of(proxy, password="evil", **steered)
            assert error_of(proxy, **steered) == ""
    finally:
        blue.query("ALTER ROLE postgres RESET search_path; DROP SCHEMA evil CASCADE")


def test_a_list_comes_first(servers, tmp_path):
    listed = users_file(tmp_path / "users.txt", {"alice": verifier("listed")})
    with proxy_with(servers, users_file=listed) as proxy:
        assert refusal("alice") in error_of(proxy)
        assert refusal("bare") in error_of(proxy, "bare")


def test_a_server_that_is_away_is_said_and_comes_back(servers):
    with Cluster("third") as third:
        third.query(f"CREATE ROLE alice LOGIN PASSWORD '{verifier(PASSWORD)}'")
        with proxy_with({"third": third}) as proxy:
            assert error_of(proxy) == ""
            proxy.ctl("reload")  # forgets
            third.stop()
            assert "cannot be looked up at the moment" in error_of(proxy)
            third.start()
            assert error_of(proxy) == ""
            third.restart()  # the connection that asks was lost in between
            proxy.ctl("reload")
            assert error_of(proxy) == ""


def test_stopping_does_not_wait_for_an_answer(servers):
    """The query hangs; the client is told that the daemon stops, and it stops."""
    with proxy_with(servers, query="SELECT pg_sleep(60)::text, $1") as proxy:
        client = subprocess.Popen(["psql", "-w", f"host={proxy.host} port={proxy.port} user=alice "
                                   "dbname=postgres"], stderr=subprocess.PIPE, text=True)
        wait_until(lambda: servers["blue"].value(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1, "the query")
        proxy.stop()
        assert "terminating connection" in client.communicate(timeout=60)[1]
        proxy.start()


def test_a_query_needs_a_login(servers):
    proxy = Sluice(servers, service={"auth": {"method": "md5", "query": "pg_authid"}, "admin": {}},
                   start=False)
    done = subprocess.run([program("pgsluice"), "-c", proxy.config_path, "--check"],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert 'expected "admin.user" or "auth.query_user"' in done.stdout + done.stderr
