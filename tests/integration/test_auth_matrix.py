"""Every way to ask a client, times every way a server asks, with and without TLS on either side, in
protocol 3.0 and 3.2, on each version of the server. What the proxy knows it has from `auth.query`:
verifiers and hashes, never a password.
"""

import hashlib
import itertools
import os

import pytest

from support.cluster import Cluster, bindir_of, wait_until
from support.login import log_in, login_error, verifier
from support.sluice import Sluice
from support.tls import TlsWire
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import PROTOCOL_3_0, PROTOCOL_3_2, Wire

PASSWORD = "correct horse"
METHODS = ["passthrough", "trust", "scram-sha-256", "md5"]
RULES = """
host all postgres all trust
host all free all trust
host all hashed all md5
host all clear all password
host all all all scram-sha-256
"""
ROLES = ["scram", "hashed", "clear", "free", "late"]


@pytest.fixture(scope="module", params=[14, 15, 17, 18])
def servers(request, authority):
    """Two servers of one version, on which every role has the same secret."""
    secrets = {role: verifier(PASSWORD) for role in ROLES}
    secrets["hashed"] = "md5" + hashlib.md5((PASSWORD + "hashed").encode()).hexdigest()
    where = bindir_of(request.param)
    settings = authority.server_settings("server")
    with Cluster("blue", where, **settings) as blue, Cluster("green", where, **settings) as green:
        for server in (blue, green):
            for role, secret in secrets.items():
                server.query(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")
            server.query("ALTER ROLE late VALID UNTIL '2001-01-01'")
            with open(os.path.join(server.data, "pg_hba.conf"), "w") as out:
                out.write(RULES)
            server.reload()
            wait_until(lambda at=server: login_error(at, "scram", "wrong"), "the rules")
        yield {"blue": blue, "green": green}


def expected_refusal(method, role, is_right):
    """The SQLSTATE of a login that has to fail, or nothing."""
    if role == "late":
        return "28P01"
    asks_itself = method in ("scram-sha-256", "md5")
    if role == "free" and not asks_itself:
        return ""
    if not is_right:
        return "28P01"
    if role == "hashed" and method == "scram-sha-256":
        return "28P01"  # a hash proves nothing there
    if role == "clear" and asks_itself:
        return "28000"  # the server wants the password itself, which nobody here has
    return ""


def proxy_of(servers, identity, method, backend_tls):
    service = {"auth": {"method": method, "query": "pg_authid"},
               "tls": {"cert": identity.cert, "key": identity.key}}
    proxy = Sluice(servers, service=service, on_pinned="terminate", start=False)
    for backend in proxy.service["backends"].values():
        backend["tls"] = {"mode": backend_tls}
    proxy.write_config()
    return proxy


@pytest.mark.parametrize("backend_tls", ["disable", "require"])
@pytest.mark.parametrize("method", METHODS)
def test_who_gets_in_and_who_moves(method, backend_tls, servers, identity):
    with proxy_of(servers, identity, method, backend_tls) as proxy:
        proxy.start()
        inside = []
        for wire_type, version, role, password in itertools.product(
                (Wire, TlsWire), (PROTOCOL_3_0, PROTOCOL_3_2), ROLES, (PASSWORD, "wrong")):
            wire = wire_type(proxy.host, proxy.port)
            last = log_in(wire, role, password, version)[-1]
            got = last.sqlstate() if last.kind == "E" else ""
            case = (wire_type.__name__, version, role, password)
            assert got == expected_refusal(method, role, password == PASSWORD), (case, last)
            if last.kind == "Z":
                assert wire.value("SELECT current_user") == role
                inside.append((wire, role))
        assert inside
        proxy.ctl("retarget", "green", timeout_s=60)
        moved = str(servers["green"].port)
        for wire, role in inside:
            if role == "clear":  # what it gave is known to nobody
                assert [m.sqlstate() for m in wire.read_to_end()] == ["57P01"]
            else:
                assert wire.value("SHOW port") == moved, role
            wire.close()
