"""TLS towards clients: who gets it, who has to, what is said before it, and what is read."""

import contextlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess

import psycopg2
import pytest

from support.cluster import free_port, wait_until
from support.sluice import Sluice
from support.tls import Authority, Identity, TlsWire, client_context, is_asleep
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import (GSSENC_REQUEST, SSL_REQUEST, Wire, cancel_request, errors_of, frame,
                          kinds, query, startup)

MODES = ["disable", "allow", "prefer", "require"]
CLIENTS = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
STARTUP = startup("postgres", "postgres")


def tls_of(identity, mode="prefer"):
    return {"mode": mode, "cert": identity.cert, "key": identity.key}


@pytest.fixture(scope="module")
def proxy(blue, identity):
    """TLS for whoever wants it; `balanced` is an address for load balancers, `folder` one for
    unix sockets."""
    with Sluice({"blue": blue}, service={"tls": tls_of(identity)}, start=False) as running:
        running.balanced = free_port()
        running.service["listen"].append({"address": f"127.0.0.1:{running.balanced}",
                                          "proxy_protocol": "required", "trusted": ["127.0.0.1"]})
        running.write_config()
        running.start()
        yield running


def connect(proxy, **options):
    connection = psycopg2.connect(host=options.pop("host", "localhost"), hostaddr="127.0.0.1",
                                  port=proxy.port, user="postgres", dbname="postgres",
                                  connect_timeout=20, **options)
    connection.autocommit = True
    return connection


def one(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


# --- who gets TLS -------------------------------------------------------------------------------

@pytest.mark.parametrize("mode", MODES)
def test_each_client_gets_what_both_sides_allow(mode, blue, authority, identity):
    with Sluice({"blue": blue}, service={"tls": tls_of(identity, mode)}) as proxy:
        for wanted in CLIENTS:
            may_plain = wanted in ("disable", "allow", "prefer") and mode != "require"
            may_tls = wanted != "disable" and mode != "disable"
            expected = {"allow": may_tls and not may_plain}.get(wanted, may_tls)
            try:
                with contextlib.closing(connect(proxy, sslmode=wanted,
                                                sslrootcert=authority.cert)) as client:
                    assert client.info.ssl_in_use == expected, (mode, wanted)
                    assert one(client, "SELECT 1") == 1
                    assert may_plain or may_tls
            except psycopg2.OperationalError as error:
                assert not may_plain and not may_tls, (mode, wanted, error)


def test_plain_client_is_refused_where_tls_is_required(blue, identity, tmp_path):
    folder = str(tmp_path)
    with Sluice({"blue": blue}, service={"tls": tls_of(identity, "require")}, start=False) as proxy:
        proxy.service["listen"].append(f"{folder}:{proxy.port}")
        proxy.write_config()
        proxy.start()
        with Wire(proxy.host, proxy.port) as wire:
            wire.send(STARTUP)
            refused = wire.read_to_end()
            assert errors_of(refused) == ["28000"] and "TLS" in refused[0].fields()["M"]
        with Wire(folder, proxy.port, user="postgres") as local:
            assert local.value("SELECT 1") == "1"
        with TlsWire(proxy.host, proxy.port, user="postgres") as wire:
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: is_asleep(blue), "the statement to run")
            with Wire(proxy.host, proxy.port) as other:  # as PQcancel() does up to libpq 16
                other.send(cancel_request(*wire.key))
                assert other.read_to_end() == []
            assert errors_of(wire.read_ready()) == ["57014"]


def test_certificate_is_verified_by_every_client(proxy, authority):
    environment = {"PATH": os.environ["PATH"], "PGSSLMODE": "verify-full",
                   "PGSSLROOTCERT": authority.cert, "PGHOSTADDR": "127.0.0.1"}
    psql = subprocess.run(["psql", "-XAtc", "\\conninfo", "-h", "localhost", "-p",
                           str(proxy.port), "-U", "postgres", "postgres"], env=environment,
                          capture_output=True, text=True, check=False)
    assert psql.returncode == 0 and "TLSv1.3" in psql.stdout, psql.stderr
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        connect(proxy, host="elsewhere", sslmode="verify-full", sslrootcert=authority.cert)
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        connect(proxy, sslmode="verify-full", sslrootcert=Authority().cert)
    with TlsWire(proxy.host, proxy.port, context=client_context(authority)) as wire:
        assert wire.socket.version() == "TLSv1.3"


def test_versions_older_than_tls_1_2_are_refused(proxy):
    for version, accepted in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        context = client_context()
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if accepted:
            with TlsWire(proxy.host, proxy.port, "postgres", context=context) as wire:
                assert wire.value("SELECT 1") == "1"
        else:
            with pytest.raises(ssl.SSLError):
                TlsWire(proxy.host, proxy.port, context=context)


# --- direct TLS ---------------------------------------------------------------------------------

def test_direct_tls_needs_the_protocols_name(proxy, blue):
    with TlsWire(proxy.host, proxy.port, "postgres", direct=True) as wire:
        assert wire.socket.selected_alpn_protocol() == "postgresql"
        assert wire.value("SELECT 1") == "1"
    with TlsWire(proxy.host, proxy.port, direct=True, context=client_context(alpn=None)) as wire:
        refused = wire.read_to_end()
        assert errors_of(refused) == ["08P01"] and "ALPN" in refused[0].fields()["M"]
    with pytest.raises(ssl.SSLError):
        TlsWire(proxy.host, proxy.port, direct=True, context=client_context(alpn=["http/1.1"]))
    with Sluice({"blue": blue}) as bare, pytest.raises(ssl.SSLError):
        TlsWire(bare.host, bare.port, direct=True)


@pytest.mark.parametrize("direct", [False, True])
def test_load_balancers_header_stands_in_front_of_tls(direct, proxy):
    header = b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 5432\r\n"
    with TlsWire(proxy.host, proxy.balanced, "postgres", direct=direct, before=header) as wire:
        assert wire.value("SELECT 1") == "1"
        assert "10.1.2.3:4711" in [row["address"] for row in proxy.sessions()]


# --- what was not encrypted is never read as protocol -------------------------------------------

INJECTED = {
    "startup": STARTUP,
    "startup and statement": STARTUP + query("SELECT 'injected'"),
    "one byte": b"\0",
    "beginning of a handshake": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    "a cancel request": cancel_request(1, b"1234"),
}


@pytest.mark.parametrize("name", INJECTED)
def test_bytes_behind_the_request_for_tls_are_refused(name, proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(SSL_REQUEST + INJECTED[name])
        refused = wire.read_to_end()
        assert errors_of(refused) == ["08P01"] and kinds(refused) == "E"
        assert "unencrypted data after SSL request" in refused[0].fields()["M"]
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no sessions")


def test_bytes_in_front_of_the_handshake_end_it(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(SSL_REQUEST)
        assert wire.socket.recv(1) == b"S"
        wire.send(STARTUP, query("SELECT 'injected'"))
        with contextlib.suppress(ConnectionResetError):
            answer = wire.socket.recv(65536)
            assert answer == b"" or answer[0] == 0x15  # an alert of TLS at most
    proxy.wait_logged("tls_handshake_failed")


@pytest.mark.parametrize("request_code", [SSL_REQUEST, GSSENC_REQUEST])
@pytest.mark.parametrize("direct", [False, True])
def test_no_encryption_is_asked_for_inside_of_tls(request_code, direct, proxy):
    with TlsWire(proxy.host, proxy.port, direct=direct) as wire:
        wire.send(request_code, STARTUP)
        assert errors_of(wire.read_to_end()) == ["08P01"]


def test_gssapi_is_refused_and_tls_goes_on(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(GSSENC_REQUEST)
        assert wire.socket.recv(1) == b"N"
        wire.send(SSL_REQUEST)
        assert wire.socket.recv(1) == b"S"


# --- what comes through -------------------------------------------------------------------------

def test_statements_behind_the_startup_in_one_record_are_answered(proxy):
    """More than one read of the startup, so that TLS keeps some of it when the relay begins."""
    statements = [query(f"SELECT {n}, '{'x' * 50}'") for n in range(150)]
    for parts in ([STARTUP + b"".join(statements)], [STARTUP, *statements]):
        with TlsWire(proxy.host, proxy.port) as wire:
            for part in parts:
                wire.send(part)
            assert kinds(wire.finish_startup())[-1] == "Z"
            assert len(wire.read_ready(150)) == 150 * 4


def test_everything_sent_before_a_half_close_is_answered(proxy):
    with TlsWire(proxy.host, proxy.port, "postgres") as wire:
        wire.send(*[query("SELECT repeat('y', 100000)")] * 20)
        wire.half_close()
        rows = [m for m in wire.read_to_end() if m.kind == "D"]
        assert [len(row.row()[0]) for row in rows] == [100000] * 20


def test_client_that_reads_slowly_gets_everything(proxy):
    with TlsWire(proxy.host, proxy.port, "postgres", receive_bytes=4096) as wire:
        wire.send(query("SELECT repeat('z', 1000) FROM generate_series(1, 5000)"))
        rows = [m for m in wire.read_ready() if m.kind == "D"]
        assert len(rows) == 5000


def test_copy_goes_both_ways(proxy):
    lines = "".join(f"{n}\t{'c' * 500}\n" for n in range(4000))
    with contextlib.closing(connect(proxy, sslmode="require")) as client:
        with client.cursor() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS copied (n int, t text); TRUNCATE copied")
            with os.fdopen(os.memfd_create("in"), "w+") as source:
                source.write(lines)
                source.seek(0)
                cursor.copy_expert("COPY copied FROM STDIN", source)
            with os.fdopen(os.memfd_create("out"), "w+") as target:
                cursor.copy_expert("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", target)
                target.seek(0)
                assert target.read() == lines


def test_cancel_request_inside_of_tls(proxy, blue):
    with TlsWire(proxy.host, proxy.port, "postgres") as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: is_asleep(blue), "the statement to run")
        wire.cancel()
        assert errors_of(wire.read_ready()) == ["57014"]


def test_paused_client_waits_and_is_served(proxy):
    with TlsWire(proxy.host, proxy.port, "postgres") as wire:
        wire.value("SELECT 1")
        proxy.ctl("pause")
        wire.send(query("SELECT 'a'") + query("SELECT 'b'"))
        proxy.wait_status(lambda s: s["sessions"]["parked"] == 1, "a parked session")
        assert wire.silent()
        wait_until(lambda: any(row["waits"] for row in proxy.sessions()), "the session to wait")
        wire.send(query("SELECT 'c'"))
        proxy.ctl("resume")
        assert kinds(wire.read_ready(3)) == "TDCZ" * 3


def test_client_that_leaves_while_parked_is_noticed(proxy):
    for leave in (Wire.close, lambda w: w.send(frame(b"X")), lambda w: w.socket.unwrap()):
        wire = TlsWire(proxy.host, proxy.port, "postgres")
        proxy.ctl("pause")
        with contextlib.suppress(OSError):
            leave(wire)
        proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "the session to end")
        proxy.ctl("resume")
        wire.close()


def test_backend_that_goes_is_reported(proxy, blue):
    with TlsWire(proxy.host, proxy.port, "postgres") as wire:
        pid = wire.value("SELECT pg_backend_pid()")
        blue.query(f"SELECT pg_terminate_backend({pid})")
        assert errors_of(wire.read_to_end()) == ["57P01"]


# --- slow and broken handshakes -----------------------------------------------------------------

@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"])
def test_handshake_that_is_not_finished_ends_with_the_login_time(said, blue, identity):
    service = {"tls": tls_of(identity), "login_timeout": "300ms"}
    with Sluice({"blue": blue}, service=service) as proxy:
        for opening in (SSL_REQUEST, b""):
            with Wire(proxy.host, proxy.port) as wire:
                wire.send(opening)
                if opening:
                    assert wire.socket.recv(1) == b"S"
                wire.send(said)
                assert wire.read_to_end() == []
        proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no sessions")


def test_stop_does_not_wait_for_a_handshake(blue, identity):
    with Sluice({"blue": blue}, service={"tls": tls_of(identity)}) as proxy:
        with Wire(proxy.host, proxy.port) as wire:
            wire.send(SSL_REQUEST)
            assert wire.socket.recv(1) == b"S"
            proxy.stop()
            proxy.start()


def test_reset_in_the_middle_of_a_record_ends_the_session_alone(proxy):
    with TlsWire(proxy.host, proxy.port, "postgres") as other:
        wire = TlsWire(proxy.host, proxy.port, "postgres")
        descriptor = wire.socket.detach()
        with socket.socket(fileno=descriptor) as raw:
            raw.sendall(b"\x17\x03\x03\x40\0abc")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        proxy.wait_status(lambda s: s["sessions"]["total"] == 1, "one session less")
        assert other.value("SELECT 1") == "1"


def test_bytes_that_are_no_record_end_the_session_alone(proxy):
    with TlsWire(proxy.host, proxy.port, "postgres") as other:
        with TlsWire(proxy.host, proxy.port, "postgres") as wire:
            os.write(wire.socket.fileno(), query("SELECT 'in clear'"))
            proxy.wait_status(lambda s: s["sessions"]["total"] == 1, "one session less")
        assert other.value("SELECT 1") == "1"


# --- reload -------------------------------------------------------------------------------------

def served(proxy):
    """The certificate that a new client sees."""
    with TlsWire(proxy.host, proxy.port) as wire:
        return wire.socket.getpeercert(binary_form=True)


def test_reload_takes_a_new_certificate_and_keeps_sessions(blue, authority):
    current, renewed = authority.issue("current"), authority.issue("renewed")
    with Sluice({"blue": blue}, service={"tls": tls_of(current)}) as proxy:
        with TlsWire(proxy.host, proxy.port, "postgres") as wire:
            before = served(proxy)
            renewed.copy_to(current)
            assert served(proxy) == before
            proxy.reload()
            wait_until(lambda: served(proxy) == renewed.der(), "the new certificate")
            assert wire.value("SELECT 1") == "1"


def test_wrong_file_is_refused_and_the_old_certificate_stays(blue, authority, tmp_path):
    current, other = authority.issue("kept"), authority.issue("other")
    broken = Identity(str(tmp_path / "broken"))
    with Sluice({"blue": blue}, service={"tls": tls_of(current)}) as proxy:
        before = served(proxy)
        with open(broken.cert, "w") as out:
            out.write("not a certificate\n")
        for cert, key, why in ((broken.cert, current.key, "PEM"),
                               (str(tmp_path / "gone"), current.key, "No such file"),
                               (current.cert, other.key, "key values mismatch")):
            proxy.service["tls"] = {"cert": cert, "key": key}
            proxy.write_config()
            code, answer = proxy.ctl("reload", check=False)
            told = json.dumps(answer)
            assert code == 2 and why in told and f"{proxy.config_path}:" in told
            assert (key if "mismatch" in why else cert) in told
            assert served(proxy) == before
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_logged("key values mismatch")
        assert served(proxy) == before
        proxy.service["tls"] = tls_of(current)
        proxy.write_config()


def test_reload_turns_tls_on_and_off(blue, identity):
    with Sluice({"blue": blue}) as proxy:
        with pytest.raises(ConnectionError, match="no TLS"):
            TlsWire(proxy.host, proxy.port)
        for mode, works in (("require", True), ("disable", False)):
            proxy.service["tls"] = tls_of(identity, mode)
            proxy.write_config()
            proxy.ctl("reload")
            with contextlib.nullcontext() if works else pytest.raises(ConnectionError):
                TlsWire(proxy.host, proxy.port, "postgres").close()
