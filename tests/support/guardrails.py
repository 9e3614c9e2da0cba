"""What tests of the preflight share: its verdicts, and ways to plant a defect and to mend it."""

import contextlib
import os
import re

import psycopg2
import pytest

from .cluster import wait_until
from .cutover_world import DB, answer_of, logical_pair, proxy_for
from .sluice import REPOSITORY


class Verdicts:
    """The answer of `sluicectl preflight --json`."""

    def __init__(self, code, answer):
        self.code, self.answer = code, answer
        self.rows = answer.get("checks", [])

    def of(self, check):
        return [row for row in self.rows if row["check"] == check]

    def level(self, check):
        """The worst level of a check's rows; None when it was not made."""
        levels = [row["level"] for row in self.of(check)]
        order = ["off", "ok", "warn", "error"]
        return max(levels, key=order.index) if levels else None

    def finding(self, check, text):
        """The row of `check` that mentions `text`."""
        rows = [row for row in self.of(check) if text in row["text"]]
        assert rows, f"no {check} with {text!r} in {self.of(check)}"
        return rows[0]

    def errors(self):
        return [row for row in self.rows if row["level"] == "error"]


def preflight(proxy, to="green"):
    code, answer = answer_of(proxy.ctl("preflight", "--to", to, check=False))
    return Verdicts(code, answer)


def refuses(proxy, check, text):
    """The cutover ends in its preflight, names the check and leaves everything as it was."""
    code, answer = answer_of(proxy.ctl("cutover", "--to", "green", check=False, timeout_s=120))
    assert code == 1, answer
    assert [step["step"] for step in answer["steps"]] == ["preflight"], answer
    assert any(row.startswith(check + ": ") and text in row for row in answer["rows"]), answer
    status = proxy.status()
    assert (status["route"], status["gate"], status["generation"]) == ("blue", "open", 1)


def do_as_told(pair, hint):
    """Runs what a verdict says would mend it: `on blue: STATEMENT; or on green: ...`, literally."""
    parts = re.split(r"(?:; (?:or )?|^)on (blue|green): ", hint)[1:]
    assert parts, f"nothing to run in {hint!r}"
    for name, sql in zip(parts[::2], parts[1::2]):
        server = pair.old if name == "blue" else pair.new
        # ALTER SYSTEM wants to be alone; other texts may have semicolons of their own.
        for statement in sql.split("; ") if sql.startswith("ALTER SYSTEM") else [sql]:
            server.query(statement, dbname=DB)


def mend_all(pair, proxy, check):
    """Does what every verdict says until `check` and all errors are gone: a role that is missing
    takes its grants along, so that each round of mending may bring up the next one."""
    for _ in range(5):
        found = preflight(proxy)
        rows = [row for row in found.rows if row["level"] == "error" or
                (row["check"] == check and row["level"] == "warn")]
        if not rows:
            return
        last = None
        for row in rows:
            try:
                do_as_told(pair, row["hint"])
            except psycopg2.Error as error:
                last = error  # what it depends on comes in the next round
    raise AssertionError(f"still there: {rows}; {last}")


def set_server(server, name, value):
    """ALTER SYSTEM; returns when new sessions have it."""
    server.query(f"ALTER SYSTEM SET {name} = '{value}'")
    server.reload()
    wait_until(lambda: server.value(f"SHOW {name}") == value, "a reload")


@contextlib.contextmanager
def line_in_hba(server, line):
    """A first line in pg_hba.conf, in force."""
    path = os.path.join(server.data, "pg_hba.conf")
    with open(path) as rules:
        before = rules.read()
    try:
        with open(path, "w") as rules:
            rules.write(line + "\n" + before)
        server.reload()
        wait_until(lambda: server.value("SELECT count(*) FROM pg_hba_file_rules") >
                   len([x for x in before.splitlines() if x.strip() and x[0] != "#"]), "the file")
        yield
    finally:
        with open(path, "w") as rules:
            rules.write(before)
        server.reload()


def checks_of_the_table():
    """The names in the table of checks, from its source."""
    with open(os.path.join(REPOSITORY, "control", "config", "check_names.hpp")) as source:
        return re.findall(r'\{check_id::\w+, "([a-z-]+)"', source.read())


def guarded_pair(schema, **settings):
    """Fixtures `pair`, `proxy` and `clean` of a test file: two servers with that schema and logical
    replication, the proxy before them, and that each test leaves a pair without an error.
    """
    @pytest.fixture(scope="module")
    def pair():
        with logical_pair(schema, wal_retrieve_retry_interval="100ms", **settings) as made:
            yield made

    @pytest.fixture(scope="module")
    def proxy(pair):
        with proxy_for(pair, "logical") as made:
            yield made

    @pytest.fixture(autouse=True)
    def clean(proxy):
        yield
        found = preflight(proxy)
        assert found.code == 0, found.errors()

    return pair, proxy, clean
