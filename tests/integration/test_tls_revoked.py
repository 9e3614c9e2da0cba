"""Revocation lists, on both sides: who is refused, what a reload changes, and what is no list."""

import contextlib
import json
import os

import psycopg2
import pytest

from support.cluster import Cluster
from support.login import login_error
from support.sluice import Sluice
from support.tls import Authority, TlsWire
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import Wire, errors_of, startup

REVOKED = "certificate revoked"
OUTDATED = "CRL has expired"


@pytest.fixture
def signer():
    """An authority whose lists nobody else uses."""
    return Authority()


def reload_with(proxy, **tls):
    proxy.service["tls"].update(tls)
    proxy.write_config()
    return proxy.ctl("reload", check=False)


# --- clients ------------------------------------------------------------------------------------

@contextlib.contextmanager
def proxy_for_certificates(blue, identity, signer, tmp_path, **tls):
    rules = tmp_path / "rules.conf"
    rules.write_text("hostssl all all all cert\n")
    service = {"auth": {"hba_file": str(rules)},
               "tls": {"cert": identity.cert, "key": identity.key, "ca": signer.cert, **tls}}
    with Sluice({"blue": blue}, service=service) as proxy:
        yield proxy


class Person:
    """A client by its certificate; the role is made where there is none."""

    def __init__(self, name, signer):
        self.name, self.identity = name, signer.issue(name)
        os.chmod(self.identity.key, 0o600)

    def error(self, proxy):
        return login_error(proxy, self.name, sslmode="require", dbname="postgres",
                           sslcert=self.identity.cert, sslkey=self.identity.key)


@pytest.fixture
def people(blue, signer):
    for name in ("kept", "gone"):
        blue.query(f"DROP ROLE IF EXISTS {name}")
        blue.query(f"CREATE ROLE {name} LOGIN")
    return Person("kept", signer), Person("gone", signer)


def test_a_revoked_certificate_lets_nobody_in(blue, identity, signer, people, tmp_path):
    kept, gone = people
    crl = signer.revocations()
    with proxy_for_certificates(blue, identity, signer, tmp_path, crl=crl) as proxy:
        assert kept.error(proxy) == "" and gone.error(proxy) == ""
        signer.revocations(gone.identity)
        assert gone.error(proxy) == "", "the file is read by a reload"
        proxy.ctl("reload")
        assert "revoked" in gone.error(proxy) and kept.error(proxy) == ""
        proxy.wait_logged(REVOKED)
        with TlsWire(proxy.host, proxy.port) as nobody:  # shows none, which is not looked for
            nobody.send(startup("kept", "postgres"))
            assert errors_of(nobody.read_to_end()) == ["28000"]


def test_sessions_stay_when_their_certificate_is_revoked(blue, identity, signer, people, tmp_path):
    kept, gone = people
    crl = signer.revocations()
    with proxy_for_certificates(blue, identity, signer, tmp_path, crl=crl) as proxy:
        living = login(proxy, gone)
        signer.revocations(gone.identity)
        proxy.ctl("reload")
        assert "revoked" in gone.error(proxy)
        with contextlib.closing(living), living.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
        assert kept.error(proxy) == ""


def login(proxy, person):
    return psycopg2.connect(host=proxy.host, port=proxy.port, user=person.name, dbname="postgres",
                            sslmode="require", sslcert=person.identity.cert,
                            sslkey=person.identity.key, connect_timeout=20)


def test_without_a_list_in_force_nobody_is_let_in(blue, identity, signer, people, tmp_path):
    """As in the server: whoever takes the list away must not undo it."""
    kept, _ = people
    outdated = signer.revocations(days=-1)
    with proxy_for_certificates(blue, identity, signer, tmp_path, crl=outdated) as proxy:
        assert "expired" in kept.error(proxy)
        proxy.wait_logged(OUTDATED)
        others = Authority("another").revocations()
        assert reload_with(proxy, crl=others)[0] == 0
        assert kept.error(proxy) != ""
        proxy.wait_logged("unable to get certificate CRL")
        assert reload_with(proxy, crl=signer.revocations())[0] == 0
        assert kept.error(proxy) == ""


def test_a_directory_is_as_good_as_a_file(blue, identity, signer, people, tmp_path):
    kept, gone = people
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / ".bookkeeping").write_text("not a list")
    with proxy_for_certificates(blue, identity, signer, tmp_path) as proxy:
        code, answer = reload_with(proxy, crl=str(folder))
        assert code == 2 and "no revocation lists" in json.dumps(answer)
        Authority("another").revocations(to=str(folder / "another.crl"))
        signer.revocations(gone.identity, to=str(folder / "ours.crl"))
        os.symlink(folder / "ours.crl", folder / "0badcafe.r0")  # as openssl rehash does
        assert reload_with(proxy, crl=str(folder))[0] == 0
        assert "revoked" in gone.error(proxy) and kept.error(proxy) == ""
        (folder / "notes").write_text("not a list")
        code, answer = reload_with(proxy)
        assert code == 2 and "notes: it holds no revocation list" in json.dumps(answer)
        assert "revoked" in gone.error(proxy) and kept.error(proxy) == ""


# --- backends -----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def secured(authority):
    with Cluster("secured", **authority.server_settings("secured")) as server:
        yield server


def refusal(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("postgres", "postgres"))
        messages = wire.read_to_end()
        assert errors_of(messages) == ["57P03"]
        return messages[-1].fields()["D"]


class Shown:
    """The certificate of the server, for the authority to revoke."""

    def __init__(self, server):
        self.cert = server.value("SHOW ssl_cert_file")


def test_a_backend_with_a_revoked_certificate_is_refused(secured, authority):
    crl = authority.revocations(to="backends.crl")
    backend = {"host": secured.host, "port": secured.port,
               "tls": {"mode": "verify-full", "ca": authority.cert, "crl": crl}}
    with Sluice({"blue": secured}, service={"backends": {"blue": backend, "green": backend}},
                route="blue") as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as living:
            assert living.value("SHOW cluster_name") == "secured"
            code, answer = proxy.ctl("preflight", "--to", "green", check=False)
            assert "tls: " not in json.dumps(answer), answer
            authority.revocations(Shown(secured), to="backends.crl")
            proxy.ctl("reload")
            assert REVOKED in refusal(proxy)
            code, answer = proxy.ctl("preflight", "--to", "green", check=False)
            assert code == 1 and "tls: " in json.dumps(answer), answer
            assert living.value("SHOW cluster_name") == "secured", "sessions stay"
        authority.revocations(to="backends.crl")
        proxy.ctl("reload")
        with Wire(proxy.host, proxy.port, user="postgres") as again:
            assert again.value("SHOW cluster_name") == "secured"
