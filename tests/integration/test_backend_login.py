"""How pgsluice logs in at a backend: with a login of its own for all sessions, with a certificate,
bound to the connection or not.
"""

import contextlib
import os

import psycopg2
import pytest

from support.cluster import Cluster, wait_until
from support.login import connect, login_error, users_file, verifier
from support.sluice import Sluice
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

PASSWORD, POOLED = "correct horse", "battery staple"
RULES = """
host all postgres all trust
hostssl all shown all cert
hostssl all all all scram-sha-256
"""


@pytest.fixture(scope="module")
def servers(authority):
    """`pool` and `shown` are roles of the proxy's own; alice is not known there at all."""
    with contextlib.ExitStack() as stack:
        both = {}
        for name in ("blue", "green"):
            settings = {**authority.server_settings(name), "ssl_ca_file": authority.cert}
            server = both[name] = stack.enter_context(Cluster(name, **settings))
            server.query(f"CREATE ROLE pool LOGIN PASSWORD '{POOLED}'; CREATE ROLE shown LOGIN")
            server.query("CREATE DATABASE alice")
            with open(os.path.join(server.data, "pg_hba.conf"), "w") as out:
                out.write(RULES)
            server.reload()
            wait_until(lambda at=server: login_error(at, "pool", "wrong"), "the rules")
        yield both


@contextlib.contextmanager
def proxy_to(servers, identity, tmp_path, method="scram-sha-256", environment=None, tls=None,
             **login):
    """Both backends are logged in to as `login` says."""
    auth = {"method": method,
            "users_file": users_file(tmp_path / "users.txt", {"alice": verifier(PASSWORD)})}
    backends = {name: {"host": server.host, "port": server.port,
                       "tls": {"mode": "require", **(tls or {})}, **login}
                for name, server in servers.items()}
    service = {"auth": auth, "backends": backends,
               "tls": {"cert": identity.cert, "key": identity.key}}
    with Sluice(servers, service=service, start=False) as proxy:
        proxy.environment = environment or {}
        proxy.start()
        yield proxy


def one(session, sql):
    with session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def moves_as(proxy, servers, role, dbname="postgres"):
    """A session of alice's is `role` on either server."""
    with contextlib.closing(connect(proxy, "alice", PASSWORD, dbname=dbname)) as session:
        for side in ("green", "blue"):
            assert one(session, "SELECT session_user") == role
            assert one(session, "SELECT current_database()") == dbname
            proxy.ctl("retarget", side)
            assert one(session, "SHOW port") == str(servers[side].port)


@pytest.mark.parametrize("way", ["password_file", "password_env"])
def test_sessions_have_the_backends_own_login(way, servers, identity, tmp_path):
    path = tmp_path / "password"
    path.write_text(POOLED + "\n")
    login = {"password_file": str(path)} if way == "password_file" else {"password_env": "POOL"}
    with proxy_to(servers, identity, tmp_path, environment={"POOL": POOLED}, user="pool",
                  **login) as proxy:
        assert "password authentication failed" in login_error(proxy, "alice", "wrong")
        moves_as(proxy, servers, "pool")
        moves_as(proxy, servers, "pool", "alice")
        # Without a database in the startup packet it is the one named as the client.
        named_like_me = psycopg2.connect(host=proxy.host, port=proxy.port, user="alice",
                                         password=PASSWORD)
        assert one(named_like_me, "SELECT current_database()") == "alice"
        named_like_me.close()
        assert POOLED not in proxy.log_text(100000)


def test_a_wrong_password_of_the_backends_is_told(servers, identity, tmp_path):
    with proxy_to(servers, identity, tmp_path, environment={"POOL": "wrong"}, user="pool",
                  password_env="POOL") as proxy:
        assert "password authentication failed" in login_error(proxy, "alice", PASSWORD)


def test_a_password_that_is_not_there_refuses_the_start(servers, identity, tmp_path):
    with pytest.raises(Exception, match="NOT_THERE is not set"):
        with proxy_to(servers, identity, tmp_path, user="pool", password_env="NOT_THERE"):
            pass


def test_whom_nobody_asks_is_not_let_in(servers, identity, tmp_path):
    """A rule that lets the backend ask, which has a login of its own."""
    rules = tmp_path / "rules"
    rules.write_text("host all all all passthrough\n")
    backend = {"host": servers["blue"].host, "port": servers["blue"].port, "user": "pool",
               "password_env": "POOL", "tls": {"mode": "require"}}
    service = {"auth": {"hba_file": str(rules)}, "backends": {"blue": backend}}
    with Sluice({"blue": servers["blue"]}, service=service, start=False) as proxy:
        proxy.environment = {"POOL": POOLED}
        proxy.start()
        assert "nobody has asked this client" in login_error(proxy, "alice", PASSWORD)


def test_a_certificate_is_shown_to_the_backend(servers, authority, identity, tmp_path):
    mine = authority.issue("shown")
    os.chmod(mine.key, 0o600)
    with proxy_to(servers, identity, tmp_path, user="shown",
                  tls={"cert": mine.cert, "key": mine.key}) as proxy:
        moves_as(proxy, servers, "shown")
    with proxy_to(servers, identity, tmp_path, user="shown") as proxy:
        assert "requires a valid client certificate" in login_error(proxy, "alice", PASSWORD)


@pytest.mark.parametrize("binding", ["prefer", "require", "disable"])
def test_logins_are_bound_as_told(binding, servers, identity, tmp_path):
    with proxy_to(servers, identity, tmp_path, environment={"POOL": POOLED}, user="pool",
                  password_env="POOL", channel_binding=binding) as proxy:
        moves_as(proxy, servers, "pool")


def test_nothing_but_a_bound_login_is_made_where_that_is_required(servers, authority, identity,
                                                                  tmp_path):
    mine = authority.issue("shown")
    with proxy_to(servers, identity, tmp_path, user="shown", channel_binding="require",
                  tls={"cert": mine.cert, "key": mine.key}) as proxy:
        refused = login_error(proxy, "alice", PASSWORD)
        assert "without channel binding, which is required" in refused
    with proxy_to(servers, identity, tmp_path, method="passthrough",
                  channel_binding="require") as proxy:
        assert "cannot be relayed" in login_error(proxy, "pool", POOLED, sslmode="disable")
