"""What leaves the proxy is what was said, byte for byte: nothing of earlier, longer messages comes
along as padding or behind an end, of this session or of others (CVE-2026-107315 of a driver)."""

import struct

import pytest

from support.cluster import wait_until
from support.fakes import FakeServer
from support.sluice import Sluice
from support.wire import (Wire, bind, cancel_request, execute, frame, parse, query, startup, sync,
                          terminate)

PID, SECRET = 4711, b"\xfe\xed\xbe\xef"
LOGGED_IN = (frame(b"R", b"\0\0\0\0") + frame(b"K", struct.pack("!i", PID) + SECRET) +
             frame(b"Z", b"I"))
READY = frame(b"C", b"SELECT 0\0") + frame(b"Z", b"I")
LONG = b"stale" * 20_000


class Scribe:
    """A server that lets everybody in, keeps what each connection says, and answers every Query
    and Sync with `answer`."""

    def __init__(self):
        self.heard = []
        self.answer = READY

    def __call__(self, connection):
        mine = bytearray()
        self.heard.append(mine)

        def wait_for(size):
            while len(mine) < size:
                more = connection.recv(65536)
                if not more:
                    raise ConnectionResetError
                mine.extend(more)

        wait_for(4)
        at = struct.unpack_from("!i", mine)[0]
        wait_for(at)
        if mine == cancel_request(PID, SECRET):
            connection.close()
            return
        connection.sendall(LOGGED_IN)
        while True:
            wait_for(at + 5)
            kind, size = struct.unpack_from("!ci", mine, at)
            at += 1 + size
            wait_for(at)
            if kind in b"QS":
                connection.sendall(self.answer)


@pytest.fixture(name="scribe")
def running_scribe():
    return Scribe()


@pytest.fixture(name="proxy")
def running_proxy(scribe):
    # One worker: its sessions share what they read into.
    with FakeServer(scribe) as server, Sluice({"blue": server}, workers=1) as running:
        yield running


def from_client(proxy, scribe):
    """A client, and what the server hears of it."""
    wire = Wire(proxy.host, proxy.port, "postgres")
    return wire, scribe.heard[-1]


SHORT = {
    "a statement": query("SELECT 1"),
    "the shortest one": query(""),
    "extended": parse("SELECT $1") + bind(b"x") + execute() + sync(),
    "a sync": sync(),
}


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("is_split", [False, True], ids=["at once", "byte by byte"])
def test_nothing_of_earlier_messages_leaves(name, is_split, proxy, scribe):
    talker, heard_of_talker = from_client(proxy, scribe)
    client, heard = from_client(proxy, scribe)
    said = startup("postgres", "postgres")
    assert heard == said
    for _ in range(3):
        talker.send(query(LONG.decode()))
        talker.read_ready()
        (client.send_bytewise if is_split else client.send)(SHORT[name])
        said += SHORT[name]
        wait_until(lambda: len(heard) >= len(said), "the short message")
        client.read_ready()
        assert heard == said
    assert b"stale" in heard_of_talker and b"stale" not in heard
    client.send(terminate())
    client.close()
    talker.close()


def test_nothing_of_earlier_answers_leaves(proxy, scribe):
    talker, _ = from_client(proxy, scribe)
    client, _ = from_client(proxy, scribe)
    for _ in range(3):
        scribe.answer = frame(b"D", struct.pack("!hi", 1, len(LONG)) + LONG) + READY
        talker.send(query("SELECT 'much'"))
        assert talker.read_ready()[0].row() == [LONG]
        scribe.answer = frame(b"D", struct.pack("!hi", 1, 1) + b"x") + READY
        client.send(query("SELECT 'x'"))
        answer = client.read_ready()
        assert b"".join(frame(m.kind.encode(), m.body) for m in answer) == scribe.answer
        assert client.silent(0.1)
    client.close()
    talker.close()


def test_nothing_but_the_key_is_in_a_cancel_request(proxy, scribe):
    talker, _ = from_client(proxy, scribe)
    client, heard = from_client(proxy, scribe)
    talker.send(query(LONG.decode()))
    talker.read_ready()
    client.send(parse("SELECT 1"))  # not at a boundary, so that there is something to cancel
    wait_until(lambda: heard.endswith(parse("SELECT 1")), "the statement")
    client.cancel()
    wait_until(lambda: scribe.heard[-1] == cancel_request(PID, SECRET), "the request")
    client.close()
    talker.close()
