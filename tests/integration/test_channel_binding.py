"""SCRAM-SHA-256-PLUS: a login that is bound to the TLS connection it is made on, on either side.

What has to hold is that nobody can stand between with a certificate of its own, even where
certificates are not checked; `Impostor` tries.
"""

import contextlib
import os
import subprocess

import psycopg
import psycopg2
import pytest

from support.cluster import Cluster
from support.login import Scram, connect, users_file
from support.sluice import Sluice
from support.tls import Impostor, TlsWire
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

PASSWORD = "correct horse"
PLUS = "SCRAM-SHA-256-PLUS"
BINDING = b"p=tls-server-end-point,,"


@pytest.fixture(scope="module")
def server(authority):
    """Asks everybody but the control plane for SCRAM; over TLS it offers to bind."""
    with Cluster(**authority.server_settings("server")) as running:
        running.require_password("bob", PASSWORD)
        running.require_password("alice", PASSWORD)
        yield running


@contextlib.contextmanager
def proxy_to(server, identity, tmp_path, to=None, **service):
    secrets = {"alice": server.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'"),
               "bob": PASSWORD}
    auth = {"method": "scram-sha-256", "users_file": users_file(tmp_path / "users.txt", secrets)}
    at = to or server
    backend = {"host": at.host, "port": at.port, "tls": {"mode": "require"}}
    tls = {"cert": identity.cert, "key": identity.key}
    with Sluice({"blue": server}, start=False,
                service={"auth": auth, "tls": tls, **service}) as proxy:
        proxy.service["backends"] = {"blue": backend}
        proxy.write_config()
        proxy.start()
        yield proxy


def log_in(endpoint, user="alice", password=PASSWORD, **options):
    connect(endpoint, user, password, sslmode="require", **options).close()


def test_clients_may_insist_on_it(server, identity, tmp_path):
    with proxy_to(server, identity, tmp_path) as proxy:
        for user in ("alice", "bob"):
            for wanted in ("require", "prefer", "disable"):
                log_in(proxy, user, channel_binding=wanted)
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                log_in(proxy, user, "wrong", channel_binding="require")
        with psycopg.connect(host=proxy.host, port=proxy.port, user="alice", dbname="postgres",
                             password=PASSWORD, sslmode="require",
                             channel_binding="require") as client:
            assert client.execute("SELECT current_user").fetchone() == ("alice",)
        psql = subprocess.run(
            ["psql", "-XAtc", "SELECT current_user", f"host={proxy.host} port={proxy.port} "
             "user=alice dbname=postgres sslmode=require channel_binding=require"],
            env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, capture_output=True,
            text=True, check=False)
        assert (psql.stdout, psql.returncode) == ("alice\n", 0), psql.stderr


def test_a_client_behind_an_impostor_is_refused(server, authority, identity, tmp_path):
    with proxy_to(server, identity, tmp_path) as proxy:
        with Impostor(proxy, authority.issue("impostor")) as between:
            with pytest.raises(psycopg2.OperationalError, match="channel binding check failed"):
                log_in(between)
            log_in(between, channel_binding="disable")  # whoever does not bind is deceived
            assert between.passed > 0


@pytest.mark.parametrize("header, mechanism, expected", [
    (b"y,,", "SCRAM-SHA-256", "SCRAM channel binding negotiation error"),
    (b"n,,", PLUS, "malformed SCRAM message"),
    (b"y,,", PLUS, "malformed SCRAM message"),
    (BINDING, "SCRAM-SHA-256", "malformed SCRAM message"),
    (b"p=tls-unique,,", PLUS, "unsupported SCRAM channel-binding type"),
    (b"p=tls-server-end-point,a=x,", PLUS, "authorization identity"),
])
def test_downgrades_and_mixtures_are_refused(header, mechanism, expected, server, identity,
                                             tmp_path):
    with proxy_to(server, identity, tmp_path) as proxy:
        wire = TlsWire(proxy.host, proxy.port)
        login = Scram(proxy, "alice", header, mechanism, wire=wire)
        assert b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0" in login.seen[0].body
        assert expected in login.error()["M"]
        assert login.wire.read_to_end() == []


def test_a_proof_without_the_certificate_is_refused(server, identity, tmp_path):
    with proxy_to(server, identity, tmp_path) as proxy:
        login = Scram(proxy, "alice", BINDING, PLUS, wire=TlsWire(proxy.host, proxy.port))
        login.finish(PASSWORD)  # repeats the header and binds to nothing
        assert login.error()["C"] == "28000"
        assert login.error()["M"] == "SCRAM channel binding check failed"


def test_without_tls_it_is_not_offered(server, identity, tmp_path):
    with proxy_to(server, identity, tmp_path) as proxy:
        login = Scram(proxy, "alice", b"n,,")
        assert b"PLUS" not in login.seen[0].body
        assert login.finish(PASSWORD)[-1].kind == "Z"


@pytest.mark.parametrize("user", ["alice", "bob"])
def test_a_backend_that_is_an_impostor_gets_nobody_in(user, server, authority, identity, tmp_path):
    """The proxy does not check certificates here; a proof made for the impostor's is no good to
    the server. alice's key was learned, bob's password is known."""
    with Impostor(server, authority.issue("impostor")) as between:
        with proxy_to(server, identity, tmp_path, to=between) as proxy:
            with pytest.raises(psycopg2.OperationalError, match="channel binding check failed"):
                log_in(proxy, user)
            assert between.passed > 0
