"""`sluicectl admit plan`: ranges that split what the clients do, as a file for `admit --stages`."""

import contextlib
import os

import pytest

from support.sluice import Sluice
from support.wire import Wire, query


@pytest.fixture
def proxy(blue):
    with Sluice({"blue": blue}, workers=2) as running:
        yield running


@contextlib.contextmanager
def clients(proxy, sources):
    wires = [Wire(proxy.host, proxy.port, "postgres", source=source) for source in sources]
    yield wires
    for wire in wires:
        wire.close()


def plan(proxy, *words):
    return proxy.ctl("admit", "plan", "--stages", *words)[1]


def inside_after(proxy, *tokens):
    """How many sessions that set admits, tried out."""
    return proxy.ctl("admit", *tokens)[1]["inside"]


def test_sessions_are_split_into_parts_that_are_about_equal(proxy):
    sources = [f"127.{net}.0.{host}" for net in (1, 2, 4, 9) for host in range(1, 11)]
    with clients(proxy, sources):
        parts = plan(proxy, 4)["parts"]
        assert [part["percent"] for part in parts] == [25, 25, 25, 25]
        assert [inside_after(proxy, *part["admit"]) for part in parts] == [10, 20, 30, 40]
        assert parts[-1]["admit"] == ["all"]


def test_what_it_prints_is_what_stages_take(proxy):
    with clients(proxy, ["127.1.0.1", "127.2.0.1", "127.3.0.1"]):
        code, text = proxy.ctl("admit", "plan", "--stages", "3", json=False)
        path = os.path.join(proxy.top, "plan.yaml")
        with open(path, "w") as file:
            file.write(text)
        assert code == 0 and text.startswith("# Proposed from 3 client addresses, by sessions")
        done = proxy.ctl("admit", "--stages", path)[1]
        assert (done["stages"]["of"], done["inside"], done["outside"]) == (3, 1, 2)
        assert proxy.ctl("admit", "--skip")[0] == 0
        assert proxy.status()["admission"]["inside"] == 2
        proxy.ctl("abort")
        proxy.ctl("admit", "all")


def test_the_load_can_be_transactions_or_bytes(proxy):
    with clients(proxy, ["127.1.0.1", "127.2.0.1", "127.3.0.1"]) as (quiet, busy, heavy):
        for _ in range(200):
            busy.run("SELECT 1")
        for _ in range(20):
            heavy.run("SELECT repeat('x', 50000)")
        quiet.run("SELECT 1")
        first = plan(proxy, 2, "--by", "transactions")["parts"][0]
        assert first["percent"] > 80 and inside_after(proxy, *first["admit"]) == 2
        proxy.ctl("admit", "all")
        parts = plan(proxy, 2, "--by", "bytes")["parts"]
        assert parts[0]["percent"] < 10 and parts[1]["percent"] > 90
        assert parts[0]["addresses"] + parts[1]["addresses"] == 3


def test_without_clients_there_is_nothing_to_split(proxy):
    code, answer = proxy.ctl("admit", "plan", "--stages", "4", check=False)
    assert code == 4 and "no clients with sessions" in answer["error"]
    with clients(proxy, ["127.1.0.1"]) as (only,):
        only.send(query("SELECT 1"))
        assert [part["admit"] for part in plan(proxy, 4)["parts"]] == [["all"]]


@pytest.mark.parametrize("words, text", [
    (["plan"], "admit plan needs --stages"),
    (["plan", "--stages", "1"], "a whole number from 2 to 1000"),
    (["plan", "--stages", "four"], "a whole number from 2 to 1000"),
    (["plan", "--stages", "4", "--skip"], "admit plan takes --stages and --by alone"),
    (["plan", "--stages", "4", "--by", "users"], "expected sessions, transactions or bytes"),
    (["all", "--by", "bytes"], "--by belongs to admit plan"),
])
def test_bad_usage_is_told(proxy, words, text):
    code, answer = proxy.ctl("admit", *words, json=False, check=False)
    assert code == 2 and text in answer
