"""A raw client of PostgreSQL's frontend/backend protocol 3.0 for exact tests.

Functions named after the protocol's messages give bytes; `Wire` sends bytes and reads messages.
Nothing is hidden: what is not sent here is not on the wire. Authority: chapter 55 of the manual.
"""

import socket
import struct
from typing import NamedTuple

PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = PROTOCOL_3_0 + 2
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
GSSENC_REQUEST = struct.pack("!ii", 8, 80877104)


def frame(kind, body=b""):
    return kind + struct.pack("!i", len(body) + 4) + body


def text(value):
    """A string in a message: encoded and terminated."""
    return (value if isinstance(value, bytes) else value.encode()) + b"\0"


def startup(user, database, version=PROTOCOL_3_0, **parameters):
    pairs = {"user": user, "database": database, **parameters}
    body = b"".join(text(k) + text(v) for k, v in pairs.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, version) + body


def cancel_request(pid, secret):
    return struct.pack("!ii", 12 + len(secret), 80877102) + struct.pack("!i", pid) + secret


def query(sql):
    return frame(b"Q", text(sql))


def parse(sql, name="", types=()):
    return frame(b"P", text(name) + text(sql) + struct.pack("!h", len(types))
                 + b"".join(struct.pack("!I", oid) for oid in types))


def bind(*values, statement="", portal="", results=()):
    """Parameters in text format (str or None) or binary format (bytes)."""
    out = text(portal) + text(statement) + struct.pack("!h", len(values))
    for value in values:
        out += struct.pack("!h", isinstance(value, bytes))
    out += struct.pack("!h", len(values))
    for value in values:
        raw = value.encode() if isinstance(value, str) else value
        out += struct.pack("!i", -1) if raw is None else struct.pack("!i", len(raw)) + raw
    out += struct.pack("!h", len(results)) + b"".join(struct.pack("!h", r) for r in results)
    return frame(b"B", out)


def describe_statement(name=""):
    return frame(b"D", b"S" + text(name))


def describe_portal(name=""):
    return frame(b"D", b"P" + text(name))


def execute(portal="", rows=0):
    return frame(b"E", text(portal) + struct.pack("!i", rows))


def close_statement(name=""):
    return frame(b"C", b"S" + text(name))


def close_portal(name=""):
    return frame(b"C", b"P" + text(name))


def sync():
    return frame(b"S")


def flush():
    return frame(b"H")


def copy_data(data):
    return frame(b"d", data)


def copy_done():
    return frame(b"c")


def copy_fail(reason):
    return frame(b"f", text(reason))


def function_call(oid, *values):
    """Fastpath call with binary arguments and a binary result."""
    out = struct.pack("!Ihhh", oid, 1, 1, len(values))
    for value in values:
        out += struct.pack("!i", len(value)) + value
    return frame(b"F", out + struct.pack("!h", 1))


def terminate():
    return frame(b"X")


class Message(NamedTuple):
    """One message of the backend; `kind` is its type as a one-letter string."""

    kind: str
    body: bytes

    def fields(self):
        """Fields of an ErrorResponse or NoticeResponse by their code letters."""
        parts = self.body.rstrip(b"\0").split(b"\0")
        return {chr(p[0]): p[1:].decode() for p in parts if p}

    def sqlstate(self):
        return self.fields()["C"]

    def row(self):
        """Values of a DataRow as bytes or None."""
        count, at, values = struct.unpack("!h", self.body[:2])[0], 2, []
        for _ in range(count):
            size = struct.unpack("!i", self.body[at:at + 4])[0]
            at += 4
            values.append(None if size < 0 else self.body[at:at + size])
            at += max(size, 0)
        return values

    def tag(self):
        return self.body.rstrip(b"\0").decode()

    def parameter(self):
        """Name and value of a ParameterStatus."""
        name, value = self.body.split(b"\0")[:2]
        return name.decode(), value.decode()


class Closed(Exception):
    """The server ended the connection; `.partial` are bytes of an incomplete message."""

    def __init__(self, partial=b""):
        super().__init__(f"connection closed by the server, {len(partial)} stray bytes")
        self.partial = partial


def _connected(address, timeout_s, receive_bytes, source):
    if receive_bytes is None:
        return socket.create_connection(address, timeout_s, source and (source, 0))
    plain = socket.socket()
    plain.settimeout(timeout_s)
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)  # before connecting
    plain.connect(address)
    return plain


class Wire:
    """A connection. With `user` the startup is sent and its answer read into `.startup`.

    `receive_bytes` limits what the kernel takes in for a client that does not read. `source` is the
    address to come from, such as another one of 127.0.0.0/8.
    """

    def __init__(self, host, port, user=None, dbname="postgres", timeout_s=30, receive_bytes=None,
                 source=None, **parameters):
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = _connected((host, port), timeout_s, receive_bytes, source)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = (host, port)
        self.buffer = b""
        self.startup, self.key, self.parameters = [], None, {}
        if user:
            self.send(startup(user, dbname, **parameters))
            self.finish_startup()

    def finish_startup(self):
        """Reads up to ReadyForQuery, or to the error that ends the startup."""
        self.startup = self.read_until("Z", "E")
        for message in self.startup:
            if message.kind == "K":
                self.key = (struct.unpack("!i", message.body[:4])[0], message.body[4:])
            elif message.kind == "S":
                self.parameters.update([message.parameter()])
        return self.startup

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def send_bytewise(self, *parts):
        """One system call and, with TCP_NODELAY, usually one packet for each byte."""
        for byte in b"".join(parts):
            self.socket.sendall(bytes([byte]))

    def _fill(self, size):
        chunks, have = [self.buffer], len(self.buffer)
        while have < size:
            data = self.socket.recv(min(max(size - have, 65536), 1 << 20))
            if not data:
                self.buffer = b""
                raise Closed(b"".join(chunks))
            chunks.append(data)
            have += len(data)
        self.buffer = b"".join(chunks)

    def read(self, timeout_s=None):
        """The next message; raises Closed, or TimeoutError when it does not come in time."""
        if timeout_s is not None:
            self.socket.settimeout(timeout_s)
        if len(self.buffer) < 5:
            self._fill(5)
        size = struct.unpack("!i", self.buffer[1:5])[0] + 1
        if len(self.buffer) < size:
            self._fill(size)
        message = Message(chr(self.buffer[0]), self.buffer[5:size])
        self.buffer = self.buffer[size:]
        return message

    def read_until(self, *kinds):
        """Messages up to and including the first of one of these kinds."""
        messages = []
        while not messages or messages[-1].kind not in kinds:
            messages.append(self.read())
        return messages

    def read_ready(self, count=1):
        """Messages up to the count-th ReadyForQuery."""
        messages = []
        for _ in range(count):
            messages += self.read_until("Z")
        for message in messages:
            if message.kind == "S":
                self.parameters.update([message.parameter()])
        return messages

    def read_to_end(self):
        """All messages until the server closes the connection in an orderly way."""
        messages = []
        try:
            while True:
                messages.append(self.read())
        except Closed as end:
            if end.partial:
                raise
            return messages

    def silent(self, for_s=0.2):
        """Whether nothing arrives in the given time. Only to show that something does NOT come."""
        if self.buffer:
            return False
        self.socket.settimeout(for_s)
        try:
            self.buffer = self.socket.recv(65536)
            return False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(30)

    def run(self, sql):
        """A simple query; its messages, ErrorResponse included."""
        self.send(query(sql))
        return self.read_ready()

    def rows(self, sql):
        """Rows of a simple query as tuples of str; an error is raised as RuntimeError."""
        return rows_of(self.run(sql))

    def value(self, sql):
        return self.rows(sql)[0][0]

    def cancel(self):
        """Sends a CancelRequest with this connection's key; returns when it was taken."""
        with Wire(*self.address) as other:
            other.send(cancel_request(*self.key))
            other.read_to_end()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def abort(self):
        """Closes with RST, as a crashed client does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def rows_of(messages):
    """Rows in an answer as tuples of str or None; raises RuntimeError for an ErrorResponse."""
    rows = []
    for message in messages:
        if message.kind == "E":
            raise RuntimeError(f"{message.sqlstate()}: {message.fields()['M']}")
        if message.kind == "D":
            rows.append(tuple(v if v is None else v.decode() for v in message.row()))
    return rows


def kinds(messages):
    """The types of messages as one word, e.g. 'TDCZ'."""
    return "".join(message.kind for message in messages)


def errors_of(messages):
    return [message.sqlstate() for message in messages if message.kind == "E"]
