#!/usr/bin/python3
"""How long a change of the admitted set takes until every worker goes by it, under many sessions.

    tests/bench/stage_change.py [SESSIONS [CHANGES]]      (default 5000 and 40)

Clients from as many addresses of 127.0.0.0/8 ask the proxy without a pause while the set changes
between halves, quarters, nobody and everybody of them. The server behind is a stand-in that answers
at once, so that the proxy is what is measured: the figure is its own `acknowledged_ms`.
"""

import os
import resource
import selectors
import socket
import statistics
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.sluice import Sluice  # noqa: E402  pylint: disable=wrong-import-position
from support.wire import query, startup  # noqa: E402  pylint: disable=wrong-import-position

LOGGED_IN = (b"R\0\0\0\x08\0\0\0\0" b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x01" b"Z\0\0\0\x05I")
ANSWER = b"C\0\0\0\x0dSELECT 1\0" b"Z\0\0\0\x05I"
ASK = query("SELECT 1")
SETS = [["127.0.0.0/9"], ["127.128.0.0/9"], ["127.0.0.0/8=25%"], ["none"], ["127.0.0.0/8=75%"],
        ["127.64.0.0/10", "127.192.0.0/10"], ["all"]]


def received(one):
    try:
        return one.recv(4096)
    except OSError:
        return b""


class Server(threading.Thread):
    """Lets everybody in and answers each message with the same words."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.host, self.port = self.listener.getsockname()
        self.listener.setblocking(False)
        self.start()

    def run(self):
        known, ready = set(), selectors.DefaultSelector()
        ready.register(self.listener, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is self.listener:
                    ready.register(self.listener.accept()[0], selectors.EVENT_READ)
                    continue
                data = received(key.fileobj)
                if not data or data[:1] == b"X":
                    ready.unregister(key.fileobj)
                    known.discard(key.fileobj)
                    key.fileobj.close()
                else:
                    key.fileobj.sendall(ANSWER if key.fileobj in known else LOGGED_IN)
                    known.add(key.fileobj)


class Clients(threading.Thread):
    """Sessions of which each has one question under way, for as long as it is answered."""

    def __init__(self, proxy, count):
        super().__init__(daemon=True)
        self.ready, self.answers = selectors.DefaultSelector(), 0
        for number in range(count):
            self._connect(proxy, number)
        self.start()

    def _connect(self, proxy, number):
        spread = number * 2654435761 % 2**24
        address = f"127.{spread >> 16}.{spread >> 8 & 255}.{spread & 255 or 1}"
        one = socket.create_connection((proxy.host, proxy.port), 30, (address, 0))
        one.sendall(startup("postgres", "postgres"))
        data = b""
        while not data.endswith(b"Z\0\0\0\x05I"):
            data += one.recv(4096)
        one.sendall(ASK)
        self.ready.register(one, selectors.EVENT_READ)

    def run(self):
        while True:
            for key, _ in self.ready.select():
                data = received(key.fileobj)
                if data and data[:1] != b"E":
                    self.answers += 1
                    key.fileobj.sendall(ASK)
                else:
                    self.ready.unregister(key.fileobj)


def main(sessions=5000, changes=40):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 3 * sessions + 1000), most))
    with Sluice({"blue": Server()}, service={"max_connections": sessions + 100}) as proxy:
        clients = Clients(proxy, sessions)
        took, answered = [], clients.answers
        for n in range(changes):
            done = proxy.ctl("admit", *SETS[n % len(SETS)])[1]
            assert done["inside"] + done["outside"] == sessions
            took.append(done["acknowledged_ms"])
        took.sort()
        print(f"{sessions} sessions, {done['workers']} workers, {changes} changes, "
              f"{clients.answers - answered} answers meanwhile")
        print(f"acknowledged_ms: median {statistics.median(took):.2f}, "
              f"p90 {took[len(took) * 9 // 10]:.2f}, longest {took[-1]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
