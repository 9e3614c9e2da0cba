"""Session tickets: who gets one, who is taken by one, and what ends them."""

import contextlib
import ssl

import pytest

from support.login import log_in, users_file, verifier
from support.sluice import Sluice
from support.tls import TlsWire, client_context
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def tls_of(identity, **more):
    return {"cert": identity.cert, "key": identity.key, **more}


@contextlib.contextmanager
def proxy_with(blue, identity, workers=2, **more):
    with Sluice({"blue": blue}, service={"tls": tls_of(identity, **more)},
                workers=workers) as proxy:
        yield proxy


def context_of(version, authority=None):
    context = client_context(authority)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    return context


def visit(proxy, context, session=None, user="postgres"):
    """Logs in; (whether that resumed the session, what the next one can resume)."""
    with TlsWire(proxy.host, proxy.port, user, context=context, session=session) as wire:
        assert wire.value("SELECT 1") == "1"
        return wire.socket.session_reused, wire.socket.session


def has_ticket(session):
    return session is not None and session.has_ticket


@pytest.mark.parametrize("version", VERSIONS)
def test_each_worker_takes_the_tickets_of_the_others(version, blue, identity):
    with proxy_with(blue, identity, session_tickets="60m") as proxy:
        context = context_of(version)
        was_resumed, session = visit(proxy, context)
        assert not was_resumed and has_ticket(session) and session.ticket_lifetime_hint <= 3600
        for _ in range(16):  # the system spreads them over the workers
            was_resumed, session = visit(proxy, context, session)
            assert was_resumed


@pytest.mark.parametrize("version", VERSIONS)
def test_by_default_there_are_none(version, blue, identity):
    with proxy_with(blue, identity) as proxy:
        context = context_of(version)
        _, session = visit(proxy, context)
        assert not has_ticket(session)
        assert not visit(proxy, context, session)[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reload_ends_those_of_before(version, blue, identity, authority):
    """With the certificate of then a resumed session would be bound to the wrong one."""
    with proxy_with(blue, identity, session_tickets="60m") as proxy:
        context = context_of(version)
        _, session = visit(proxy, context)
        proxy.ctl("reload")
        for tls in (tls_of(authority.issue("renewed"), session_tickets="60m"),
                    tls_of(identity, ca=authority.cert), tls_of(identity)):
            proxy.service["tls"] = tls
            proxy.write_config()
            proxy.ctl("reload")
            assert not visit(proxy, context, session)[0], tls


def test_no_ticket_stands_for_a_certificate(blue, identity, authority):
    """Who has shown a certificate has to show it each time: it may have been revoked."""
    with proxy_with(blue, identity, ca=authority.cert) as proxy:
        shown = authority.issue("postgres")
        for version in VERSIONS:
            context = context_of(version)
            context.load_cert_chain(shown.cert, shown.key)
            _, session = visit(proxy, context)
            assert not has_ticket(session)
            assert not visit(proxy, context, session)[0]
        proxy.service["tls"]["session_tickets"] = "60m"
        proxy.write_config()
        code, answer = proxy.ctl("reload", check=False)
        assert code == 2 and "nobody looks at again" in str(answer)
        proxy.service["tls"].pop("session_tickets")
        proxy.write_config()


def test_who_resumes_is_asked_for_the_password_all_the_same(blue, identity, tmp_path):
    blue.query("DROP ROLE IF EXISTS alice")
    blue.query(f"CREATE ROLE alice LOGIN PASSWORD '{verifier('correct horse')}'")
    listed = users_file(tmp_path / "users.txt", {"alice": verifier("correct horse")})
    service = {"tls": tls_of(identity, session_tickets="60m"),
               "auth": {"method": "scram-sha-256", "users_file": listed}}
    with Sluice({"blue": blue}, service=service) as proxy:
        context, session = client_context(), None
        for password, resumed, end in (("correct horse", False, "Z"), ("correct horse", True, "Z"),
                                       ("wrong", True, "E")):
            with TlsWire(proxy.host, proxy.port, context=context, session=session) as wire:
                assert log_in(wire, "alice", password)[-1].kind == end
                assert wire.socket.session_reused == resumed
                session = wire.socket.session
