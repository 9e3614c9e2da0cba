"""Servers that are not there, or not what they should be."""

import socket
import threading

from .cluster import free_port


class Nowhere:
    """An address that refuses connections."""

    def __init__(self):
        self.host, self.port = "127.0.0.1", free_port()


class BlackHole:
    """An address where connecting gets no answer at all: its queue of connections is full."""

    FILLERS = 4

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.host, self.port = self.listener.getsockname()
        self.fillers = [socket.socket() for _ in range(self.FILLERS)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for each in (*self.fillers, self.listener):
            each.close()


class FakeServer:
    """Accepts everybody and runs `talk(connection)` with each; without it, says nothing."""

    def __init__(self, talk=None):
        self.talk = talk
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        self.open = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        try:
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                if self.talk:
                    threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        except OSError:
            pass  # the listener was closed: the test is over

    def _serve(self, connection):
        try:
            self.talk(connection)
        except OSError:
            pass  # the other side went first

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        # close() alone leaves accept() waiting for ever.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for connection in self.open:
            connection.close()
