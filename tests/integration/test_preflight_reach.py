"""Whether the control plane and everybody who is connected would get into the new server, and which
wall they hit: every layer is planted, named and mended.
"""

import contextlib

import psycopg2
import pytest

from support.cluster import free_port, wait_until
from support.cutover_world import DB, connect, logical_pair, proxy_for
from support.guardrails import line_in_hba, preflight, refuses


@pytest.fixture(scope="module")
def pair():
    with logical_pair("CREATE TABLE item (id int PRIMARY KEY, note text)") as made:
        yield made


@pytest.fixture(scope="module")
def proxy(pair):
    with proxy_for(pair, "logical") as made:
        yield made


def session(proxy, user, dbname=DB, **more):
    return contextlib.closing(psycopg2.connect(host=proxy.host, port=proxy.port, user=user,
                                               dbname=dbname, **more))


@contextlib.contextmanager
def with_backend(pair, **green):
    """A proxy whose new backend is described otherwise."""
    backends = {"blue": {"host": pair.old.host, "port": pair.old.port},
                "green": {"host": pair.new.host, "port": pair.new.port, **green}}
    with proxy_for(pair, "logical", service={"backends": backends}) as proxy:
        yield proxy


def test_login_layers(pair):
    with with_backend(pair, port=free_port()) as proxy:
        assert preflight(proxy).finding("login", "tcp: ")["hint"].startswith("start green")
        refuses(proxy, "login", "Connection refused")
    with with_backend(pair, host="no-such-host.invalid") as proxy:
        assert "`host` of backend green" in preflight(proxy).finding("login", "name: ")["hint"]
    with proxy_for(pair, "logical",
                   service={"admin": {"user": "postgres", "dbname": "nothing"}}) as proxy:
        assert "CREATE DATABASE nothing" in preflight(proxy).finding("login", "database: ")["hint"]


def test_login_password(pair, tmp_path):
    for server in (pair.old, pair.new):
        server.require_password("keeper", "secret")
        server.query("ALTER ROLE keeper SUPERUSER")
    passfile = tmp_path / "pgpass"
    admin = {"admin": {"user": "keeper", "dbname": DB, "passfile": str(passfile)}}
    with proxy_for(pair, "logical", service=admin) as proxy:
        for password in ("wrong", "secret"):
            passfile.write_text(f"*:*:*:*:{password}\n")
            passfile.chmod(0o600)
            if password == "wrong":
                refuses(proxy, "login", "password: ")
        assert preflight(proxy).code == 0


def test_reach(pair, proxy):
    pair.old.query("CREATE ROLE joe LOGIN")
    with session(proxy, "joe"):
        refuses(proxy, "reach", "joe in app: role: ")
        pair.new.query("CREATE ROLE joe LOGIN")
        assert preflight(proxy).level("reach") == "ok"
        pair.new.query(f"REVOKE CONNECT ON DATABASE {DB} FROM PUBLIC")
        refuses(proxy, "reach", "joe in app: database: ")
        pair.new.query(f"GRANT CONNECT ON DATABASE {DB} TO PUBLIC")
        with line_in_hba(pair.new, "host all joe 127.0.0.1/32 reject"):
            wait_until(lambda: preflight(proxy).level("reach") == "error", "the line")
            refuses(proxy, "reach", "joe in app: pg_hba: ")
        wait_until(lambda: preflight(proxy).level("reach") == "ok", "the file")
        with line_in_hba(pair.new, "host all joe 127.0.0.1/32 scram-sha-256"):
            wait_until(lambda: preflight(proxy).of("reach")[0]["text"] ==
                       "0 users let in, 1 asked for a password", "the line")
    for server in (pair.old, pair.new):
        server.query("DROP ROLE joe")


def test_reach_of_another_database(pair, proxy):
    pair.old.query("CREATE DATABASE aside")
    with session(proxy, "postgres", "aside"), contextlib.closing(connect(proxy)):
        refuses(proxy, "reach", "postgres in aside: database: ")
        pair.new.query("CREATE DATABASE aside")
        assert preflight(proxy).level("reach") == "ok"
