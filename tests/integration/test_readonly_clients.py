"""Forced read-only under the load of every client library and tool: while it is switched on and off
nobody's reads fail, writers get 25006, and write again on the same connection afterwards."""

import os
import subprocess
import threading

import pytest

from support.cluster import wait_until
from support.readonly import on
from support.sluice import Sluice
from support.suites import CLIENTS, JDBC, PYTHON, environment

LOADS = {
    **{client: [PYTHON, "load.py", client] for client in ("psycopg2", "psycopg3", "asyncpg",
                                                          "sqlalchemy", "django")},
    "node-postgres": ["node", "--no-deprecation", "load_node.js"],
    "pgjdbc": ["java", "-cp", JDBC, "LoadJdbc.java"],
}
PSQL = """
\\set ON_ERROR_STOP on
SELECT count(*) FROM book; SELECT count(*) FROM author;
BEGIN; DECLARE c CURSOR FOR SELECT id FROM book ORDER BY id; FETCH 3 FROM c; COMMIT;
\\copy (SELECT * FROM author) TO '/dev/null'
\\d book
\\set FETCH_COUNT 100
SELECT id FROM book ORDER BY id;
"""


class Load:
    """A client library at work; `wrong` is what its process said when it failed."""

    def __init__(self, name, endpoint):
        self.name, self.written, self.refused, self.rounds, self.wrong = name, 0, 0, 0, ""
        self.process = subprocess.Popen(
            LOADS[name], cwd=CLIENTS, env=environment(endpoint), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        for line in self.process.stdout:
            self.written, self.refused = map(int, line.split())
            self.rounds += 1
        self.wrong = self.process.stderr.read()

    def counts(self):
        assert self.process.poll() is None, f"{self.name} ended: {self.wrong}"
        return self.rounds, self.written, self.refused

    def stop(self):
        try:
            self.process.stdin.write("stop\n")
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.thread.join(60)
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()
        return code


class Tool(threading.Thread):
    """A program that only reads, run again and again; its output must never change."""

    def __init__(self, command, endpoint, **how):
        super().__init__()
        self.command, self.how, self.rounds, self.wrong = command, how, 0, ""
        self.environment = environment(endpoint)
        self.expected, self.over = None, threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set() and not self.wrong:
            done = subprocess.run(self.command, env=self.environment, capture_output=True,
                                  text=True, timeout=60, check=False, **self.how)
            seen = "".join(line for line in done.stdout.splitlines(True)
                           if not line.startswith(("\\restrict", "\\unrestrict")))
            self.expected = self.expected or seen
            if done.returncode != 0 or done.stderr or seen != self.expected:
                self.wrong = f"{self.command}: {done.returncode} {done.stderr}{seen}"
            self.rounds += 1

    def counts(self):
        assert not self.wrong, self.wrong
        return self.rounds

    def stop(self):
        self.over.set()
        self.join(60)


@pytest.fixture(scope="module")
def shop(blue):
    with open(os.path.join(CLIENTS, "load.sql")) as script:
        blue.query(script.read())
    return blue


def tools(endpoint, server, directory):
    """psql with a script, pg_dump plainly and with two connections that share a snapshot. On 14 and
    15 the default fence revokes rights, which a dump would tell."""
    dump = [os.path.join(server.bindir, "pg_dump"), "--exclude-table-data=visit*", "--no-acl"]
    parallel = ["sh", "-c", 'rm -rf "$0"/* && "$@" --jobs=2 -Fd -f "$0/dump"', str(directory)]
    return [Tool([os.path.join(server.bindir, "psql"), "-X", "-A"], endpoint, input=PSQL),
            Tool(dump, endpoint), Tool([*parallel, *dump], endpoint)]


def wait_rounds(proxy, loads, enough, what):
    """Until enough(before, now) holds for each; nobody may have failed."""
    before = [load.counts() for load in loads]

    def look():
        return all(enough(old, load.counts()) for old, load in zip(before, loads))

    try:
        wait_until(look, what, 60)
    except TimeoutError as late:
        slow = [load.name for old, load in zip(before, loads) if not enough(old, load.counts())]
        raise AssertionError(f"{late}: {slow}\n{proxy.log_text()}") from None


def switch(proxy, loads, readers, fence):
    """On and off; meanwhile each client has read, was refused, and writes again."""
    assert on(proxy, "--fence", fence, "--timeout", "60s")["access"] == "read-only"
    before = written(proxy)
    # The first round may have begun before the switch.
    wait_rounds(proxy, loads, lambda old, now: now[2] >= old[2] + 2, f"refusals, fence {fence}")
    seen = [reader.counts() for reader in readers]
    wait_until(lambda: all(r.counts() > old for r, old in zip(readers, seen)), "psql, pg_dump", 60)
    assert written(proxy) == before
    assert proxy.ctl("readonly", "off")[1]["access"] == "read-write"
    wait_rounds(proxy, loads, lambda old, now: now[1] >= old[1] + 2, "writes afterwards")


def written(proxy):
    return proxy.database.value("SELECT count(*) FROM visit")


@pytest.mark.deadline(300)
def test_clients_work_on_while_read_only_comes_and_goes(shop, tmp_path):
    with Sluice({"blue": shop}, workers=2) as proxy:
        proxy.database = shop
        loads = [Load(name, proxy) for name in LOADS]
        readers = tools(proxy, shop, tmp_path)
        try:
            wait_rounds(proxy, loads, lambda old, now: now[1] >= 2, "writes of every client")
            for fence in ("none", "default", "none", "default"):
                switch(proxy, loads, readers, fence)
        finally:
            codes = [load.stop() for load in loads]
            for reader in readers:
                reader.stop()
        assert codes == [0] * len(loads), [load.wrong for load in loads]
        assert [reader.wrong for reader in readers] == [""] * len(readers)
        # What was acknowledged is there, and nothing else.
        assert written(proxy) == sum(load.written for load in loads)
