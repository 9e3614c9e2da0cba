"""Logins by hand over `Wire`: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

import base64
import hashlib
import hmac
import os
import struct

import psycopg2

from .wire import PROTOCOL_3_0, Wire, frame, startup, text

CLEARTEXT, MD5, SASL, SASL_CONTINUE = 3, 5, 10, 11


def _hmac(key, message):
    return hmac.digest(key, message, "sha256")


def verifier(password, salt=None, iterations=4096):
    """What pg_authid holds of a password."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(_hmac(salted, b"Client Key")).digest()
    keys = ":".join(base64.b64encode(k).decode() for k in (stored, _hmac(salted, b"Server Key")))
    return f"SCRAM-SHA-256${iterations}:{base64.b64encode(salt).decode()}${keys}"


def users_file(path, users):
    """Writes users and their secrets as PgBouncer's userlist.txt."""
    with open(path, "w") as out:
        for user, secret in users.items():
            quoted = secret.replace('"', '""')
            out.write(f'"{user}" "{quoted}"\n')
    os.chmod(path, 0o600)
    return str(path)


def request_code(message):
    return struct.unpack("!i", message.body[:4])[0]


def initial_response(mechanism, data):
    return frame(b"p", text(mechanism) + struct.pack("!i", len(data)) + data)


def _connect(endpoint, user, password, dbname, **options):
    return psycopg2.connect(host=endpoint.host, port=endpoint.port, user=user, dbname=dbname,
                            password=password, connect_timeout=20, **options)


def connect(endpoint, user, password=None, dbname="postgres", **options):
    """A psycopg2 connection in autocommit."""
    connection = _connect(endpoint, user, password, dbname, **options)
    connection.autocommit = True
    return connection


def login_error(endpoint, user, password=None, dbname="postgres", **options):
    """Why a login fails, or nothing."""
    try:
        _connect(endpoint, user, password, dbname, **options).close()
        return ""
    except psycopg2.OperationalError as error:
        return str(error)


def answer_to(message, user, password, scram):
    """What a client says to an Authentication request; `scram` keeps its state between two."""
    code, data = request_code(message), message.body[4:]
    if code == CLEARTEXT:
        return frame(b"p", text(password))
    if code == MD5:
        inner = hashlib.md5((password + user).encode()).hexdigest().encode()
        return frame(b"p", text(b"md5" + hashlib.md5(inner + data).hexdigest().encode()))
    if code == SASL:
        scram["bare"] = b"n=,r=" + base64.b64encode(os.urandom(18))
        return initial_response("SCRAM-SHA-256", b"n,," + scram["bare"])
    if code == SASL_CONTINUE:
        return frame(b"p", client_final(scram["bare"], data, b"n,,", password))
    return b""


def log_in(wire, user, password, version=PROTOCOL_3_0, dbname="postgres"):
    """The whole login by hand, whatever the server asks for: its messages up to ReadyForQuery or
    an error."""
    wire.send(startup(user, dbname, version))
    seen, scram = [], {}
    while True:
        seen.append(wire.read())
        if seen[-1].kind in "ZE":
            return seen
        if seen[-1].kind == "R":
            wire.send(answer_to(seen[-1], user, password, scram))


def client_final(bare, server_first, header, password):
    """client-final-message for a password."""
    told = dict(part.split("=", 1) for part in server_first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(told["s"]),
                                 int(told["i"]))
    key = _hmac(salted, b"Client Key")
    final = b"c=" + base64.b64encode(header) + b",r=" + told["r"].encode()
    message = b",".join((bare, server_first, final))
    signature = _hmac(hashlib.sha256(key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(key, signature))
    return final + b",p=" + base64.b64encode(proof)


class Scram:
    """One exchange, step by step; `seen` keeps the messages of the server."""

    def __init__(self, proxy, user, header=b"n,,", mechanism="SCRAM-SHA-256", wire=None,
                 **parameters):
        self.wire = wire or Wire(proxy.host, proxy.port)
        self.header, self.seen, self.server_first = header, [], b""
        self.wire.send(startup(user, "postgres", **parameters))
        self.read()
        if self.seen[-1].kind != "R" or request_code(self.seen[-1]) != SASL:
            return
        self.bare = b"n=,r=" + base64.b64encode(os.urandom(18))
        self.wire.send(initial_response(mechanism, header + self.bare))
        self.read()
        if self.seen[-1].kind == "R":
            self.server_first = self.seen[-1].body[4:]

    def read(self):
        self.seen.append(self.wire.read())

    @property
    def challenge(self):
        """Nonce, salt and iterations of the server."""
        return dict(part.split("=", 1) for part in self.server_first.decode().split(","))

    def finish(self, password):
        """Sends the proof; the messages up to ReadyForQuery or an error."""
        final = client_final(self.bare, self.server_first, self.header, password)
        self.wire.send(frame(b"p", final))
        self.seen += self.wire.finish_startup()
        return self.seen

    def error(self):
        """Fields of the error that ended the login."""
        assert self.seen[-1].kind == "E"
        return self.seen[-1].fields()
