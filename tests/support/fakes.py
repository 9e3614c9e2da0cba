"""Servers that are not there, or not what they should be."""

import contextlib
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


class Splitter:
    """Stands in front of a server and passes everything on, but for the pieces that it is told to
    hold up: what comes behind the first bytes of the next NotificationResponse."""

    def __init__(self, target):
        self.target = target
        self._wanted = None
        self._held = threading.Event()
        self._goes_on = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold_after(self, size):
        """Of the next notification `size` bytes go through before release()."""
        self._held.clear()
        self._goes_on.clear()
        self._wanted = size

    @property
    def holds(self):
        return self._held.is_set()

    def release(self):
        self._goes_on.set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                server = socket.create_connection((self.target.host, self.target.port))
                self.open += [client, server]
                for one, other, filtered in ((client, server, False), (server, client, True)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass_on, args=(one, other, filtered),
                                     daemon=True).start()

    def _pass_on(self, one, other, filtered):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                at = data.find(b"A\0\0\0") if filtered and self._wanted is not None else -1
                if at >= 0:
                    cut, self._wanted = at + self._wanted, None
                    other.sendall(data[:cut])
                    self._held.set()
                    self._goes_on.wait()
                    data = data[cut:]
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._goes_on.set()
        for connection in self.open:
            connection.close()
