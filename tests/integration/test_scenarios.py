# ctest: serial
"""The scenarios of docs/scenarios.md, with their commands; -s prints the output."""

import contextlib
import http.server
import json
import os
import subprocess
import threading

import pytest

from support.cluster import Cluster, bin_dir, run_tool
from support.cutover_world import COUNTED, DB, connect, one, physical_pair, proxy_for
from support.ledger import Ledger, schema
from support.pairs import LogicalPair
from support.sluice import REPOSITORY

SWITCHOVER = ("curl -fsS -m 60 -X POST -d '{{\"leader\":\"'$PGSLUICE_FROM'\","
              "\"candidate\":\"'$PGSLUICE_TO'\"}}' http://127.0.0.1:{port}/switchover")


def bindir_of(version):
    done = subprocess.run([os.path.join(REPOSITORY, "tools", "postgres"), version], check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def tell(proxy, *command):
    """A command as an operator gives it; what it prints."""
    print(f"$ sluicectl {' '.join(command)}")
    code, text = proxy.ctl(*command, json=False, check=False, timeout_s=120)
    print(text, end="")
    print(f"[exit {code}]")
    assert code == 0, text
    return text


def expect_moved(proxy, pair, ledger):
    ledger.wait_for_progress()
    ledger.finish()
    assert ledger.errors() == []
    assert ledger.verdict(pair.new, pair.old) == []
    assert proxy.status()["route"] == "green"


def test_logical_across_major_versions():
    settings = {"dbname": DB, "scripts": (schema(fill=False),), "data": (COUNTED,),
                "bindirs": (bindir_of("15"), bindir_of("17"))}
    with LogicalPair(**settings) as pair, proxy_for(pair, "logical") as proxy, \
            Ledger(proxy, DB) as ledger, contextlib.closing(connect(proxy)) as client:
        assert one(client, "SHOW server_version_num").startswith("15")
        tell(proxy, "preflight", "--to", "green")
        tell(proxy, "cutover", "--to", "green", "--dry-run")
        tell(proxy, "cutover", "--to", "green")
        assert one(client, "SHOW server_version_num").startswith("17")
        expect_moved(proxy, pair, ledger)


def test_physical():
    with physical_pair() as pair, proxy_for(pair, "physical") as proxy, \
            Ledger(proxy, DB) as ledger:
        tell(proxy, "preflight", "--to", "green")
        tell(proxy, "cutover", "--to", "green")
        expect_moved(proxy, pair, ledger)


class Orchestrator(http.server.BaseHTTPRequestHandler):
    """Answers POST /switchover as Patroni's REST API does, and promotes `candidate`."""

    candidate = None
    asked = []

    def do_POST(self):  # noqa: N802  pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, json.loads(body)))
        done = self.candidate.value("SELECT pg_promote()")
        self.send_response(200 if done else 503)
        self.end_headers()
        self.wfile.write(b'Successfully switched over to "green"\n')

    def log_message(self, *unused):  # pylint: disable=arguments-differ
        pass


@pytest.fixture
def orchestrator():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Orchestrator)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_physical_promoted_by_an_orchestrator(orchestrator):
    command = SWITCHOVER.format(port=orchestrator.server_address[1])
    with physical_pair() as pair, proxy_for(
            pair, "physical", service={"cutover": {"promote_command": command}}) as proxy, \
            Ledger(proxy, DB) as ledger:
        Orchestrator.candidate = pair.new
        tell(proxy, "cutover", "--to", "green")
        assert Orchestrator.asked == [("/switchover", {"leader": "blue", "candidate": "green"})]
        expect_moved(proxy, pair, ledger)


class Copies:
    """Two servers that know nothing of each other, the second one empty."""

    def __init__(self):
        self.old, self.new = Cluster("old"), Cluster("new")
        self.old.create_database(DB, schema(fill=True))
        self.new.create_database(DB)

    def copy(self):
        """pg_dump of the one into the other; clients stand still."""
        script = os.path.join(self.new.top, "dump.sql")
        run_tool(bin_dir(), ["pg_dump", "-h", "127.0.0.1", "-p", str(self.old.port), "-U",
                             "postgres", "-f", script, DB])
        run_tool(bin_dir(), ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p",
                             str(self.new.port), "-U", "postgres", "-f", script, "-o", "/dev/null",
                             DB])


def test_retarget_without_replication():
    pair = Copies()
    with pair.old, pair.new, proxy_for(pair, "none") as proxy, Ledger(proxy, DB) as ledger:
        tell(proxy, "pause", "--timeout", "10s")
        pair.copy()
        tell(proxy, "retarget", "green")
        tell(proxy, "resume")
        expect_moved(proxy, pair, ledger)
