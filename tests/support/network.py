"""A wire that can be cut: a relay on a port of its own in front of a server.

While it is cut it neither reads nor writes nor says goodbye, as if packets were lost; what was
under way comes through when it is mended, or every connection ends with a reset.
"""

import socket
import struct
import threading

LINGER_NONE = struct.pack("ii", 1, 0)  # close() sends RST


class Wire:
    """Stands for the server `target` (anything with host and port) wherever it is addressed."""

    def __init__(self, target):
        self.target = target
        self.host = "127.0.0.1"
        self._listener = socket.create_server((self.host, 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        self._whole = threading.Event()
        self._whole.set()
        self._pairs = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._whole.clear()

    def mend(self, reset=False):
        if reset:
            with self._lock:
                pairs = list(self._pairs)
            for pair in pairs:
                self._end(pair, reset=True)
        self._whole.set()

    def close(self):
        self._listener.close()
        self.mend(reset=True)

    def _accept(self):
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near):
        self._whole.wait()
        try:
            far = socket.create_connection((self.target.host, self.target.port), 20)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
            near.close()
            return
        for end in (near, far):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (near, far)
        with self._lock:
            self._pairs.add(pair)
        threading.Thread(target=self._relay, args=(near, far, pair), daemon=True).start()
        self._relay(far, near, pair)

    def _relay(self, source, sink, pair):
        is_reset = False
        try:
            while True:
                piece = source.recv(1 << 16)
                self._whole.wait()
                if not piece:
                    break
                sink.sendall(piece)
        except OSError:
            self._whole.wait()
            is_reset = True
        self._end(pair, is_reset)

    def _end(self, pair, reset):
        with self._lock:
            if pair not in self._pairs:
                return
            self._pairs.remove(pair)
        for end in pair:
            try:
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
                else:
                    end.shutdown(socket.SHUT_RDWR)  # wakes whoever reads there
            except OSError:
                pass
        if reset:
            for end in pair:
                _wake_and_close(end)


def _wake_and_close(end):
    """shutdown() wakes the reader, and the close() after it sends what linger asks for."""
    try:
        end.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    end.close()
