"""Runs the suites and probes of tests/clients, one for each client library."""

import difflib
import os
import subprocess

from .sluice import REPOSITORY

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
PROBES = {
    **{client: [PYTHON, "probe.py", client] for client in ("psycopg2", "psycopg3", "asyncpg",
                                                           "libpq")},
    "node-postgres": ["node", "--no-deprecation", "probe_node.js"],
    "pgjdbc": ["java", "-cp", JDBC, "ProbeJdbc.java"],
}
# Their suites draw from a sequence in one transaction and ask lastval() in the next.
ASK_CURRVAL = {"psycopg2", "pgjdbc"}


def node_path():
    tool = os.path.join(REPOSITORY, "tools", "node-modules")
    return subprocess.run([tool], check=True, capture_output=True, text=True).stdout.strip()


def environment(endpoint, **more):
    """What tells a suite or probe where to connect, and nothing else of libpq's."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    env.update(PGHOST=endpoint.host, PGPORT=str(endpoint.port), PGUSER="postgres",
               PGDATABASE="postgres", NODE_PATH=node_path(), LC_ALL="C.UTF-8", TZ="UTC",
               PYTHONDONTWRITEBYTECODE="1")
    env.update(more)
    return env


def run_suite(client, server, endpoint, **more):
    """Runs a suite against an endpoint of `server`, with a fresh schema; the lines it printed."""
    with open(os.path.join(CLIENTS, "schema.sql")) as script:
        server.query(script.read())
    done = subprocess.run(COMMANDS[client], cwd=CLIENTS, env=environment(endpoint, **more),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400,
                          check=False)
    if done.returncode != 0:
        print(done.stdout[-20000:], done.stderr[-5000:])
    return [*done.stdout.splitlines(), f"exit code {done.returncode}"]


def compare(expected, seen, mode):
    changes = list(difflib.unified_diff(expected, seen, "direct", mode, n=0, lineterm=""))
    assert not changes, "\n".join(line[:2000] for line in changes)


class Probe:
    """One connection of one client library, in a process of its own that does what it is told:
    `ask SQL` answers `= VALUE` or `! WHY`, `sleep` begins a long statement, `cancel` ends it."""

    def __init__(self, client, endpoint, **more):
        self.process = subprocess.Popen(PROBES[client], cwd=CLIENTS,
                                        env=environment(endpoint, **more), text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.greeting = self.process.stdout.readline().rstrip("\n")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, sql):
        self.say(f"ask {sql}")
        return self.process.stdout.readline().rstrip("\n")

    def sleep(self):
        self.say("sleep")

    def cancel(self):
        """Has the client library cancel what runs; how that ended."""
        self.say("cancel")
        return self.process.stdout.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
