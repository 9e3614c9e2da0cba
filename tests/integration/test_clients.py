"""Every client library works the same through the proxy, and while it is moved all the time.

Each suite in tests/clients prints what its client saw. The output through the proxy, and with
`testing.move_every: 1` (every session moves to a fresh connection at every boundary), must equal
the output without a proxy, line by line.
"""

import difflib
import os
import subprocess

import psycopg2
import pytest

from support import sluice
from support.sluice import REPOSITORY, Sluice

CLIENTS = os.path.join(REPOSITORY, "tests", "clients")
JDBC = "/usr/share/java/postgresql.jar"
PYTHON = "/usr/bin/python3"
COMMANDS = {
    "psql": [PYTHON, "smoke_psql.py"],
    "pgbench": [PYTHON, "smoke_pgbench.py"],
    "psycopg2": [PYTHON, "smoke_psycopg2.py"],
    "psycopg3": [PYTHON, "smoke_psycopg3.py"],
    "asyncpg": [PYTHON, "smoke_asyncpg.py"],
    "node-postgres": ["node", "--no-deprecation", "smoke_node.js"],
    "pgjdbc": ["java", "-cp", JDBC, "SmokeJdbc.java"],
}
# Without a build the suites show that they are deterministic: that is what the rest relies on.
MODES = ["proxied", "moved"] if sluice.built() else ["direct"]


@pytest.fixture(scope="module")
def node_path():
    tool = os.path.join(REPOSITORY, "tools", "node-modules")
    return subprocess.run([tool], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def run_suite(blue, node_path):
    """Runs a suite against an endpoint, with a fresh schema; gives the lines it printed."""
    with open(os.path.join(CLIENTS, "schema.sql")) as script:
        schema = script.read()

    def run(client, endpoint):
        blue.query(schema)
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        env.update(PGHOST=endpoint.host, PGPORT=str(endpoint.port), PGUSER="postgres",
                   PGDATABASE="postgres", NODE_PATH=node_path, LC_ALL="C.UTF-8", TZ="UTC",
                   PYTHONDONTWRITEBYTECODE="1")
        done = subprocess.run(COMMANDS[client], cwd=CLIENTS, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=400, check=False)
        if done.returncode != 0:
            print(done.stdout[-20000:], done.stderr[-5000:])
        return [*done.stdout.splitlines(), f"exit code {done.returncode}"]

    return run


@pytest.fixture(scope="module")
def direct(run_suite, blue):
    """The output of a suite without a proxy; each suite runs once for all tests."""
    known = {}

    def look(client):
        if client not in known:
            known[client] = run_suite(client, blue)
            assert known[client][-1] == "exit code 0"
        return known[client]

    return look


def compare(expected, seen, mode):
    changes = list(difflib.unified_diff(expected, seen, "direct", mode, n=0, lineterm=""))
    assert not changes, "\n".join(line[:2000] for line in changes)


# Their suites draw from a sequence in one transaction and ask lastval() in the next.
ASK_CURRVAL = {"psycopg2", "pgjdbc"}


@pytest.mark.direct
@pytest.mark.deadline(900)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", COMMANDS)
def test_client_sees_no_difference(client, mode, run_suite, direct, blue):
    expected = direct(client)
    if mode == "direct":
        compare(expected, run_suite(client, blue), mode)
        return
    service = {"pins": {"currval": "defined"}} if client in ASK_CURRVAL else {}
    with Sluice({"blue": blue}, move_every=1 if mode == "moved" else 0, service=service) as proxy:
        seen = run_suite(client, proxy)
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
