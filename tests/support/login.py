"""Logins by hand over `Wire`: the client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677)."""

import base64
import hashlib
import hmac
import os
import struct

from .wire import Wire, frame, startup, text

SASL, SASL_CONTINUE, SASL_FINAL = 10, 11, 12


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
        told = self.challenge
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(told["s"]),
                                     int(told["i"]))
        key = _hmac(salted, b"Client Key")
        final = b"c=" + base64.b64encode(self.header) + b",r=" + told["r"].encode()
        message = b",".join((self.bare, self.server_first, final))
        signature = _hmac(hashlib.sha256(key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(key, signature))
        self.wire.send(frame(b"p", final + b",p=" + base64.b64encode(proof)))
        self.seen += self.wire.finish_startup()
        return self.seen

    def error(self):
        """Fields of the error that ended the login."""
        assert self.seen[-1].kind == "E"
        return self.seen[-1].fields()
