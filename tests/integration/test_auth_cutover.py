# ctest: serial
"""Cutovers under load between servers that ask for SCRAM over TLS, on each version: whoever writes
goes on writing, and what the proxy knows of them are verifiers, never a password."""

import pytest

from support.cluster import bindir_of
from support.cutover_world import DB, cutover, logical_pair, proxy_for
from support.ledger import Ledger
from support.login import users_file, verifier
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.tls import only_tls_for

PASSWORD = "correct horse"
# Who is asked by the proxy, and whose login is relayed. The latter is bound to no TLS connection,
# as there are two.
LOGINS = {"asked": "channel_binding=require", "relayed": "channel_binding=disable"}
RULES = "hostssl all asked all scram-sha-256\nhostssl all relayed all passthrough\n"
GRANTS = "; ".join(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {role}"
                   for kind in ("TABLES", "SEQUENCES") for role in LOGINS)


@pytest.fixture(params=[14, 15, 17, 18])
def pair(request, authority):
    where = bindir_of(request.param)
    with logical_pair(bindirs=(where, where), **authority.server_settings("server")) as made:
        yield made


@pytest.fixture
def proxy(pair, authority, identity, tmp_path):
    secrets = {role: verifier(PASSWORD) for role in LOGINS}
    for server in (pair.old, pair.new):
        only_tls_for(server, secrets)
        server.query(GRANTS, dbname=DB)
    rules = tmp_path / "rules.conf"
    rules.write_text(RULES)
    auth = {"hba_file": str(rules), "users_file": users_file(tmp_path / "users.txt", secrets)}
    made = proxy_for(pair, "logical", start=False, service={
        "auth": auth, "tls": {"cert": identity.cert, "key": identity.key}})
    for backend in made.service["backends"].values():
        backend["tls"] = {"mode": "verify-full", "ca": authority.cert}
    made.write_config()
    with made.start():
        yield made


def test_clients_with_scram_over_tls_move_under_load(pair, proxy, authority):
    login = f"password='{PASSWORD}' sslmode=verify-full sslrootcert={authority.cert}"
    ledgers = [Ledger(proxy, DB, writers=4, login=f"user={role} {login} {binding}")
               for role, binding in LOGINS.items()]
    with ledgers[0], ledgers[1]:
        code, answer = cutover(proxy)
        assert code == 0, answer
        for ledger in ledgers:
            ledger.wait_for_progress()
    for ledger in ledgers:
        assert ledger.errors() == []
        assert ledger.verdict(pair.new, other=pair.old) == []
    assert answer["switched"] == answer["sessions"] == 8, answer
