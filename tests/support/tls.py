"""Certificates made on the fly, and a raw client that speaks TLS."""

import contextlib
import datetime
import os
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from .cluster import temp_dir, wait_until
from .wire import SSL_REQUEST, Wire, cancel_request, startup

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
PROTOCOL = "postgresql"


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}:\n{done.stderr}")


class Identity:
    """Paths of a certificate and its key."""

    def __init__(self, stem):
        self.cert, self.key = stem + ".crt", stem + ".key"

    def copy_to(self, other):
        """Puts this certificate where another one is, as a renewal does."""
        shutil.copyfile(self.cert, other.cert)
        shutil.copyfile(self.key, other.key)

    def der(self):
        with open(self.cert) as pem:
            return ssl.PEM_cert_to_DER_cert(pem.read())


class Authority:
    """Signs certificates; `cert` is what those who trust it need."""

    def __init__(self, name="throwaway authority"):
        self.folder = temp_dir("pgsluice-tls-")
        self.own = Identity(os.path.join(self.folder, "ca"))
        self.cert = self.own.cert
        _openssl("req", "-x509", *NEW_KEY, "-keyout", self.own.key, "-out", self.own.cert,
                 "-subj", f"/CN={name}", "-days", "2")

    def issue(self, name, hosts="DNS:localhost,IP:127.0.0.1", days=2, key=NEW_KEY):
        """A certificate for `hosts`; less than no days makes it an expired one."""
        made = Identity(os.path.join(self.folder, name))
        request, names = made.cert + ".csr", made.cert + ".ext"
        with open(names, "w") as out:
            out.write(f"subjectAltName={hosts}\n")
        _openssl("req", *key, "-keyout", made.key, "-out", request, "-subj", f"/CN={name}")
        _openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.own.key,
                 "-CAcreateserial", "-days", str(days), "-extfile", names, "-out", made.cert)
        return made

    def revocations(self, *revoked, days=2, to="revoked.crl"):
        """The path of a list of certificates that are not valid any more; outdated with less than
        no days."""
        known, settings = (os.path.join(self.folder, name) for name in ("known", "ca.conf"))
        with open(settings, "w") as out:
            out.write("[ca]\ndefault_ca=us\n[us]\ndefault_md=sha256\ndefault_crl_days=2\n"
                      f"database={known}\n")
        open(known, "w").close()
        command = ["ca", "-config", settings, "-cert", self.cert, "-keyfile", self.own.key]
        for each in revoked:
            _openssl(*command, "-revoke", each.cert)
        path = to if os.path.isabs(to) else os.path.join(self.folder, to)
        day = datetime.timedelta(days=1)
        now = datetime.datetime.utcnow()
        until = [f"{time:%y%m%d%H%M%SZ}" for time in (now - 9 * day, now + days * day)]
        _openssl(*command, "-gencrl", "-out", path, "-crl_lastupdate", until[0],
                 "-crl_nextupdate", until[1])
        return path

    def server_settings(self, name, **arguments):
        """Settings of a Cluster that offers TLS. It only takes a key that is its own."""
        made = self.issue(name, **arguments)
        os.chmod(made.key, 0o600)
        if os.geteuid() == 0:
            shutil.chown(made.key, "postgres", "postgres")
        return {"ssl": "on", "ssl_cert_file": made.cert, "ssl_key_file": made.key}


def only_tls_for(server, secrets, attributes="LOGIN"):
    """Makes these roles with their secrets; they have to come by TLS and with a password."""
    for role, secret in secrets.items():
        server.query(f"CREATE ROLE {role} {attributes} PASSWORD '{secret}'")
    with open(os.path.join(server.data, "pg_hba.conf"), "r+") as rules:
        before = rules.read()
        rules.seek(0)
        rules.write("".join(f"hostssl all {role} 127.0.0.1/32 scram-sha-256\n"
                            f"hostnossl all {role} 127.0.0.1/32 reject\n" for role in secrets) +
                    before)
    server.reload()
    wait_until(lambda: server.value("SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostssl'")
               >= len(secrets), "the rules")


def is_asleep(server):
    """A statement waits in pg_sleep() there: from now on it can be cancelled."""
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 1


def client_context(authority=None, alpn=(PROTOCOL,)):
    """Trusts the authority's certificates, or everybody's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority:
        context.load_verify_locations(authority.cert)
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


class TlsWire(Wire):
    """A `Wire` with TLS, asked for by SSLRequest or, with `direct`, begun at once.

    `before` is sent in front, as a load balancer does. `session` is what to resume.
    """

    def __init__(self, host, port, user=None, dbname="postgres", direct=False, before=b"",
                 context=None, session=None, **parameters):
        self.resumes = session
        kernel = {k: parameters.pop(k) for k in ("receive_bytes", "timeout_s") if k in parameters}
        super().__init__(host, port, **kernel)
        context = context or client_context()
        if direct:
            self.socket = self._begin(context, before)
        else:
            self.send(before, SSL_REQUEST)
            answer = self.socket.recv(1)
            if answer != b"S":
                raise ConnectionError(f"no TLS: answer {answer!r}")
            self.socket = self._begin(context)
        if user:
            self.send(startup(user, dbname, **parameters))
            self.finish_startup()

    def _begin(self, context, before=b""):
        """The handshake, by hand where bytes go in front of its first message, in one packet."""
        if not before:
            return context.wrap_socket(self.socket, server_hostname="localhost",
                                       session=self.resumes)
        return _PrefixedTls(self.socket, context, before)

    def half_close(self):
        if isinstance(self.socket, ssl.SSLSocket):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)  # leaves TLS alone
        else:
            super().half_close()

    def cancel(self):
        with TlsWire(*self.address) as other:
            other.send(cancel_request(*self.key))
            other.read_to_end()


class _PrefixedTls:
    """TLS over a socket whose first packet begins with something else."""

    def __init__(self, plain, context, before):
        self.plain, self.inside, self.outside = plain, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside, server_hostname="localhost")
        self.before = before
        self._until(self.tls.do_handshake)

    def _until(self, action):
        while True:
            try:
                return action()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.plain.recv(65536)
                if not data:
                    self.inside.write_eof()
                self.inside.write(data)
            finally:
                self._flush()

    def _flush(self):
        out = self.before + self.outside.read()
        self.before = b""
        if out:
            self.plain.sendall(out)

    def sendall(self, data):
        self._until(lambda: self.tls.write(data))

    def recv(self, size):
        try:
            return self._until(lambda: self.tls.read(size))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def settimeout(self, timeout_s):
        self.plain.settimeout(timeout_s)

    def close(self):
        self.plain.close()


class Impostor:
    """Stands between a client and `target` with a certificate of its own, and passes on what it
    reads: whoever does not check certificates takes it for the server."""

    def __init__(self, target, identity):
        self.target, self.host = target, "127.0.0.1"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(identity.cert, identity.key)
        self.listener = socket.create_server((self.host, 0))
        self.port = self.listener.getsockname()[1]
        self.passed = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                threading.Thread(target=self._stand_between, args=(client,), daemon=True).start()

    def _stand_between(self, client):
        with contextlib.suppress(OSError), client:
            if client.recv(8) != SSL_REQUEST:
                return
            client.sendall(b"S")
            with self.context.wrap_socket(client, server_side=True) as inside:
                with TlsWire(self.target.host, self.target.port) as outside:
                    self._pass_on(inside, outside.socket)

    def _pass_on(self, inside, outside):
        ends = {inside: outside, outside: inside}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)
                self.passed += len(data)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.listener.close()


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def identity(authority):
    """The proxy's own certificate; a test file imports both."""
    return authority.issue("proxy")
