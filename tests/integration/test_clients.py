"""Every client library works the same through the proxy, and while it is moved all the time.

Each suite in tests/clients prints what its client saw. The output through the proxy, and with
`testing.move_every: 1` (every session moves to a fresh connection at every boundary), must equal
the output without a proxy, line by line.
"""

import psycopg2
import pytest

from support import sluice
from support.sluice import Sluice
from support.suites import ASK_CURRVAL, COMMANDS, compare, run_suite

# Without a build the suites show that they are deterministic: that is what the rest relies on.
MODES = ["proxied", "moved"] if sluice.built() else ["direct"]


@pytest.fixture(scope="module")
def direct(blue):
    """The output of a suite without a proxy; each suite runs once for all tests."""
    known = {}

    def look(client):
        if client not in known:
            known[client] = run_suite(client, blue, blue)
            assert known[client][-1] == "exit code 0"
        return known[client]

    return look


@pytest.mark.direct
@pytest.mark.deadline(900)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", COMMANDS)
def test_client_sees_no_difference(client, mode, direct, blue):
    expected = direct(client)
    if mode == "direct":
        compare(expected, run_suite(client, blue, blue), mode)
        return
    service = {"pins": {"currval": "defined"}} if client in ASK_CURRVAL else {}
    with Sluice({"blue": blue}, move_every=1 if mode == "moved" else 0, service=service) as proxy:
        seen = run_suite(client, blue, proxy)
    compare(expected, seen, mode)


@pytest.mark.skipif(not sluice.built(), reason="needs a build")
@pytest.mark.parametrize("policy", ["called", "defined"])
def test_first_currval_after_a_move(policy, blue):
    blue.query("DROP TABLE IF EXISTS drawn; CREATE TABLE drawn (id serial)")
    service = {"pins": {"currval": policy}}
    with Sluice({"blue": blue}, move_every=1, service=service) as proxy:
        session = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                                   dbname="postgres")
        session.autocommit = True

        def ask(sql):
            with session.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0] if cursor.description else None

        assert len({ask("SELECT pg_backend_pid()") for _ in range(3)}) == 3, "it is not moved"
        ask("INSERT INTO drawn DEFAULT VALUES")
        if policy == "called":
            with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
                ask("SELECT lastval()")
            ask("INSERT INTO drawn DEFAULT VALUES")
        drawn = blue.value("SELECT max(id) FROM drawn")
        assert (ask("SELECT lastval()"), ask("SELECT currval('drawn_id_seq')")) == (drawn, drawn)
        session.close()
