"""Tests that the documentation names exist, and the commands of docs/first-cutover.md work."""

import contextlib
import glob
import os
import re

import psycopg2
import pytest

from support.cluster import Cluster
from support.guide import Guide, blocks, commands
from support.sluice import REPOSITORY

NAMED = re.compile(r"`([\w/]+\.(?:py|cpp))`: `(\w+)`")


def texts_of(name):
    """All tests live in files of different names."""
    paths = glob.glob(os.path.join(REPOSITORY, "tests", "**", name), recursive=True)
    assert paths, f"there is no {name}"
    for path in paths:
        with open(path) as source:
            yield source.read()


@pytest.mark.direct
def test_tests_that_are_named_exist():
    named = 0
    for page in glob.glob(os.path.join(REPOSITORY, "docs", "*.md")):
        with open(page) as text:
            for file, test in NAMED.findall(text.read()):
                named += 1
                pattern = rf"def {test}\(|TEST(_F)?\(\w+, {test}\)"
                assert any(re.search(pattern, each) for each in texts_of(file)), (page, file, test)
    assert named > 50


APP = ("CREATE TABLE account (id bigserial PRIMARY KEY, name text NOT NULL);"
       "INSERT INTO account (name) SELECT 'n' || i FROM generate_series(1, 100) i;"
       "ALTER TABLE account OWNER TO app")


@pytest.fixture
def servers():
    """`blue` has the database, `green` nothing yet; both ask the role app for its password."""
    with Cluster("blue") as blue, Cluster("green") as green:
        for server in (blue, green):
            server.require_password("app", "secret")
        green.query("DROP ROLE app")
        blue.create_database("app", APP)
        blue.query("ALTER DATABASE app OWNER TO app")
        yield {"10.0.0.1": blue, "10.0.0.2": green}


def read(client):
    """The server that a session is on, by what the session itself sees."""
    with client.cursor() as cursor:
        cursor.execute("SELECT current_setting('cluster_name'), count(*) FROM account")
        return cursor.fetchone()[0]


def test_commands_of_the_first_cutover(servers):
    guide = Guide(servers, "secret")
    sides = []
    with contextlib.ExitStack() as stack:
        stack.callback(guide.stop)
        for language, text in blocks("first-cutover.md"):
            if language != "console":
                guide.write_block(text)
                continue
            for command, shown in commands(text):
                if not command.startswith("pgsluice -c"):
                    guide.run(command, shown)
                    continue
                guide.start(command)
                client = stack.enter_context(contextlib.closing(psycopg2.connect(
                    host=guide.host, port=guide.port, user="app", dbname="app",
                    password="secret")))
                client.autocommit = True
            if guide.daemon is not None:
                sides.append(read(client))
    moved = [side for side, before in zip(sides, [None, *sides]) if side != before]
    assert moved == ["blue", "green", "blue", "green"]
