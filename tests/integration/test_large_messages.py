"""Single messages of almost 1 GB, the most that the protocol has: they stream through, in either
direction, and the proxy's memory knows nothing of their size. The server is one that reads and
writes as much without having to hold it."""

# ctest: serial

import os
import re
import struct

import pytest

from support.fakes import FakeServer
from support.sluice import Sluice
from support.tls import TlsWire
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import Wire, frame, query

BODY_BYTES = 0x3FFF_FF00
PIECE = bytes(range(256)) * 4096
ALLOWED_KIB = 4 * 1024
READY = frame(b"Z", b"I")


def take(connection, size):
    """Reads exactly so much and keeps nothing; a checksum of where each byte stood."""
    scratch, seen, wrong = bytearray(len(PIECE)), 0, 0
    while seen < size:
        n = connection.recv_into(scratch, min(size - seen, len(scratch)))
        if n == 0:
            raise ConnectionError(f"{seen} of {size} bytes")
        at = seen % 256
        wrong += scratch[:n] != PIECE[at:at + n] and scratch[:n] != (PIECE + PIECE)[at:at + n]
        seen += n
    return wrong


def give(connection, kind):
    """Sends one message of BODY_BYTES."""
    connection.sendall(kind + struct.pack("!i", BODY_BYTES + 4))
    left = BODY_BYTES
    while left:
        connection.sendall(PIECE[:left])
        left -= min(left, len(PIECE))


def read_exactly(connection, size):
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("closed")
        data += more
    return data


class Endless:
    """A server for one client at a time; `damaged` counts pieces that came otherwise than sent."""

    def __init__(self):
        self.damaged = 0

    def talk(self, connection):
        read_exactly(connection, struct.unpack("!i", read_exactly(connection, 4))[0] - 4)
        connection.sendall(frame(b"R", b"\0\0\0\0") + frame(b"K", b"\0\0\0\7secr") + READY)
        while True:
            kind = read_exactly(connection, 1)
            size = struct.unpack("!i", read_exactly(connection, 4))[0] - 4
            if size > 1000:
                self.damaged += take(connection, size)
            else:
                read_exactly(connection, size)
            if kind == b"Q" and size < 1000:
                give(connection, b"D")
            if kind in (b"Q", b"S"):
                connection.sendall(frame(b"C", b"SELECT 1\0") + READY)


def peak_kib(proxy):
    with open(f"/proc/{proxy.process.pid}/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1))


@pytest.fixture(scope="module")
def server():
    endless = Endless()
    with FakeServer(endless.talk) as fake:
        fake.endless = endless
        yield fake


@pytest.fixture(scope="module")
def proxy(server, identity):
    service = {"tls": {"cert": identity.cert, "key": identity.key}}
    with Sluice({"blue": server}, service=service) as running:
        yield running


@pytest.mark.parametrize("front", [Wire, TlsWire])
@pytest.mark.parametrize("kind", [b"Q", b"B", b"P", b"d"])
def test_from_the_client(kind, front, proxy, server):
    with front(proxy.host, proxy.port, "postgres", timeout_s=120) as wire:
        wire.send(frame(b"S"))
        wire.read_ready()
        before = peak_kib(proxy)
        give(wire.socket, kind)
        if kind != b"Q":
            wire.send(frame(b"S"))
        wire.read_ready()
        assert server.endless.damaged == 0
        assert os.environ.get("PGSLUICE_SANITIZED") or peak_kib(proxy) - before < ALLOWED_KIB


@pytest.mark.parametrize("front", [Wire, TlsWire])
def test_from_the_server(front, proxy):
    with front(proxy.host, proxy.port, "postgres", timeout_s=120) as wire:
        wire.send(frame(b"S"))
        wire.read_ready()
        before = peak_kib(proxy)
        wire.send(query("SELECT 1"))
        assert read_exactly(wire.socket, 5) == b"D" + struct.pack("!i", BODY_BYTES + 4)
        assert take(wire.socket, BODY_BYTES) == 0
        wire.read_ready()
        assert os.environ.get("PGSLUICE_SANITIZED") or peak_kib(proxy) - before < ALLOWED_KIB
