"""What a cutover tells about itself when it is over: how long clients waited, and the page."""

import contextlib
import time

import pytest

from support import cutover_world
from support.cluster import wait_until
from support.cutover_world import DB, answer_of, connect, proxy_for
from support.wire import Wire, query

# Everybody waits for the longest transaction.
ONE_PASS = {"cutover": {"long_transaction": "0s"}}


@pytest.fixture(scope="module")
def pair():
    with cutover_world.logical_pair() as pair:
        yield pair


def waits(proxy):
    return [row for row in proxy.sessions() if row["waits"]]


def expect_counted(answer, longer_than_ms):
    assert answer["longest_stall_ms"] >= longer_than_ms
    assert sum(row["waits"] for row in answer["stalls"]) >= 1
    last = answer["stalls"][-1]
    assert last["from_ms"] <= answer["longest_stall_ms"]
    assert last["to_ms"] is None or answer["longest_stall_ms"] < last["to_ms"]


def test_an_abort_counts_the_clients_that_waited_and_writes_the_page(pair, tmp_path):
    page = tmp_path / "report.html"
    with proxy_for(pair, "logical", service=ONE_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as busy, \
            contextlib.closing(Wire(proxy.host, proxy.port, "postgres", DB)) as waiting:
        with busy.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 1")
            running = proxy.ctl_start("cutover", "--to", "green", "--html", page)
            proxy.wait_status(lambda s: s["gate"] == "draining", "the drain")
            waiting.send(query("SELECT 1"))
            wait_until(lambda: waits(proxy), "a client that waits")
            begun = time.monotonic()
            proxy.wait_status(lambda s: s["cutover"]["elapsed_ms"] > 300, "a while")
            waited_ms = (time.monotonic() - begun) * 1000
            proxy.ctl("abort")
            code, answer = answer_of(running.finish())
            assert code == 1, answer
        assert waiting.read_ready()[-2].tag() == "SELECT 1"
    expect_counted(answer, waited_ms)
    assert "way_back" not in answer
    text = page.read_text()
    assert "Cutover from blue to green" in text and "aborted by the operator" in text
    assert "How long clients waited" in text and "<td>drain</td>" in text


def test_a_cutover_says_what_the_way_back_is(pair, tmp_path):
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as client:
        code, text = proxy.ctl("cutover", "--to", "green", "--html", tmp_path, json=False,
                               check=False)
        assert code == 2 and f"cannot write {tmp_path}" in text
        answer = proxy.status()
        assert answer["route"] == "green", "the page is written when all is over"
        with client.cursor() as cursor:
            cursor.execute("SELECT 1")
    assert "longest_stall" in text and "none was prepared (replication.reverse)" in text
