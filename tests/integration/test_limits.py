"""Limits and deadlines: each ends in a clear error for the one it meets and for nobody else."""

import socket
import struct

import pytest

from support.cluster import Cluster, wait_until
from support.fakes import BlackHole, FakeServer, Nowhere
from support.sluice import Sluice
from support.wire import PROTOCOL_3_0, SSL_REQUEST, Wire, frame, kinds, query, startup

LOGIN = startup("postgres", "postgres")
PACKET_BYTES_MAX = 10_004  # MAX_STARTUP_PACKET_LENGTH of the server and the length word


def client(proxy, **options):
    return Wire(proxy.host, proxy.port, "postgres", **options)


def refusal(proxy, packet=LOGIN):
    """The fields of the error with which a startup ends; nothing but it may come."""
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(packet)
        messages = wire.read_to_end()
        assert kinds(messages) == "E"
        assert messages[0].fields()["S"] == "FATAL"
        return messages[0].fields()


def words(error):
    return " ".join(error.values())


def assert_serves(proxy):
    with client(proxy) as other:
        assert other.value("SELECT 'served'") == "served"


# --- max_connections ----------------------------------------------------------------------------

def test_more_clients_than_max_connections_get_53300(blue):
    with Sluice({"blue": blue}, service={"max_connections": 3}) as proxy:
        wires = [client(proxy) for _ in range(3)]
        for _ in range(3):
            error = refusal(proxy)
            assert error["C"] == "53300"
            assert '"app"' in words(error) and "max_connections = 3" in words(error)
        wires.pop().close()
        proxy.wait_status(lambda s: s["sessions"]["total"] == 2, "the end of one session")
        assert_serves(proxy)
        for wire in wires:
            assert wire.value("SELECT 1") == "1"
            wire.close()


def test_held_newcomers_count_as_clients_too(blue):
    with Sluice({"blue": blue}, service={"max_connections": 2}) as proxy:
        proxy.ctl("pause")
        waiting = [Wire(proxy.host, proxy.port) for _ in range(2)]
        for wire in waiting:
            wire.send(LOGIN)
        proxy.wait_status(lambda s: s["sessions"]["total"] == 2, "two held clients")
        assert refusal(proxy)["C"] == "53300"
        proxy.ctl("resume")
        for wire in waiting:
            wire.finish_startup()
            assert wire.value("SELECT 1") == "1"
            wire.close()


def test_cancel_requests_need_no_free_place(blue):
    with Sluice({"blue": blue}, service={"max_connections": 1}) as proxy, client(proxy) as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: blue.query("SELECT 1 FROM pg_stat_activity "
                                      "WHERE wait_event = 'PgSleep'"), "sleep")
        wire.cancel()
        assert [m.sqlstate() for m in wire.read_ready() if m.kind == "E"] == ["57014"]


def test_limit_of_the_server_itself_is_told_in_its_own_words():
    with Cluster("small", max_connections=4, superuser_reserved_connections=0,
                 max_wal_senders=0, wal_level="replica") as server, \
            Sluice({"blue": server}) as proxy:
        wires = []
        error = None
        for _ in range(10):
            wire = client(proxy)
            wires.append(wire)
            if wire.startup[-1].kind == "E":
                error = wire.startup[-1].fields()
                break
        assert error["C"] == "53300"
        assert "clients already" in error["M"]
        for wire in wires[:-1]:
            assert wire.value("SELECT 'undisturbed'") == "undisturbed"
        for wire in wires:
            wire.close()


# --- startup packets ----------------------------------------------------------------------------

def padded(size):
    """A startup packet of exactly `size` bytes."""
    bare = len(startup("postgres", "postgres", application_name=""))
    packet = startup("postgres", "postgres", application_name="x" * (size - bare))
    assert len(packet) == size
    return packet


def test_biggest_startup_packet_that_is_allowed(blue):
    with Sluice({"blue": blue}) as proxy:
        with Wire(proxy.host, proxy.port) as wire:
            wire.send(padded(PACKET_BYTES_MAX))
            wire.finish_startup()
            assert wire.value("SHOW application_name") == "x" * 63
        error = refusal(proxy, padded(PACKET_BYTES_MAX + 1))
        assert error["C"] == "08P01"
        assert "invalid length of startup packet" in error["M"]
        assert str(PACKET_BYTES_MAX) in words(error)
        assert_serves(proxy)


# --- login deadline -----------------------------------------------------------------------------

@pytest.mark.parametrize("sent", [b"", b"\x00\x00", LOGIN[:-3]],
                         ids=["nothing", "two bytes", "most of it"])
def test_slow_startup_meets_the_login_deadline(blue, sent):
    """Who has not even asked for anything is told nothing, as by the server itself."""
    with Sluice({"blue": blue}, service={"login_timeout": "1s"}) as proxy:
        with client(proxy) as logged_in, Wire(proxy.host, proxy.port) as slow:
            slow.send(sent)
            assert slow.read_to_end() == []
            assert logged_in.value("SELECT 'still here'") == "still here"
        assert_serves(proxy)


def test_client_that_gives_no_password_meets_the_login_deadline(blue):
    with Cluster("guarded") as guarded:
        guarded.require_password("carol", "secret")
        with Sluice({"guarded": guarded}, service={"login_timeout": "1s"}) as proxy:
            with Wire(proxy.host, proxy.port) as wire:
                wire.send(startup("carol", "postgres"))
                messages = wire.read_to_end()
                assert kinds(messages) == "RE"
                assert messages[1].fields()["S"] == "FATAL"
                assert messages[1].sqlstate() == "57014"
                assert '"app"' in words(messages[1].fields())
            assert_serves(proxy)


# --- backends that are not there ----------------------------------------------------------------

def test_backend_that_refuses_connections_is_named():
    with Sluice({"azure": Nowhere()}) as proxy:
        error = refusal(proxy)
        assert error["C"] == "57P03"
        assert '"azure"' in words(error) and '"app"' in words(error)


def test_backend_without_its_unix_socket_is_named(tmp_path):
    class Missing:
        host, port = str(tmp_path), 5432
    with Sluice({"azure": Missing}) as proxy:
        error = refusal(proxy)
        assert error["C"] == "57P03"
        assert '"azure"' in words(error) and str(tmp_path) in words(error)


def test_backend_that_cannot_be_reached_meets_the_connect_deadline():
    with BlackHole() as hole, \
            Sluice({"azure": hole}, service={"connect_timeout": "300ms"}) as proxy:
        error = refusal(proxy)
        assert error["C"] == "57P03"
        assert '"azure"' in words(error) and "within the time allowed" in words(error)


def test_backend_that_says_nothing_meets_the_login_deadline():
    with FakeServer() as deaf, Sluice({"azure": deaf}, service={"login_timeout": "500ms"}) as proxy:
        error = refusal(proxy)
        assert error["C"] == "08006"
        assert '"azure"' in words(error) and "within the time allowed" in words(error)


def test_frozen_server_hurts_only_who_needs_it():
    with Cluster("azure") as server, \
            Sluice({"azure": server}, service={"login_timeout": "1s"}) as proxy:
        with client(proxy) as wire:
            server.freeze()
            wire.send(query("SELECT 'answered late'"))
            assert refusal(proxy)["C"] == "08006"
            server.thaw()
            assert kinds(wire.read_ready()) == "TDCZ"
        assert_serves(proxy)


# --- backends that are no PostgreSQL ------------------------------------------------------------

def hang_up(connection):
    connection.recv(4096)
    connection.close()


def speak_http(connection):
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.recv(4096)


def send_endless_message(connection):
    connection.recv(4096)
    connection.sendall(b"S" + struct.pack("!i", 1 << 30) + b"x" * 100_000)
    connection.recv(4096)


@pytest.mark.parametrize("talk", [hang_up, speak_http, send_endless_message])
def test_backend_that_is_no_postgresql_is_named(talk):
    with FakeServer(talk) as odd, Sluice({"azure": odd}) as proxy:
        for _ in range(3):
            error = refusal(proxy)
            assert error["C"] == "08006"
            assert '"azure"' in words(error)


@pytest.mark.parametrize("fields", [b"\0", b"", b"SFATAL\0Mnever heard of you\0\0", b"Mcut",
                                    b"C\0M\0\0", b"C28P01\0" * 2000 + b"\0"], ids=repr)
def test_errors_of_a_server_need_no_fields(fields):
    """A refusal without SQLSTATE, or without anything (CVE-2026-6666), ends this login alone."""
    def talk(connection):
        connection.recv(4096)
        connection.sendall(frame(b"E", fields))
        connection.shutdown(socket.SHUT_WR)

    with FakeServer(talk) as odd, Sluice({"azure": odd}) as proxy:
        for _ in range(3):
            with Wire(proxy.host, proxy.port) as wire:
                wire.send(startup("postgres", "postgres"))
                heard = wire.read_to_end()
                assert [(m.kind, m.body) for m in heard] == [("E", fields)]
        assert proxy.status()["mode"] == "serving"


GREETING = (frame(b"R", struct.pack("!i", 0)) + frame(b"K", struct.pack("!ii", 1, 2))
            + frame(b"Z", b"I"))


@pytest.mark.parametrize("nonsense", [b"", b"T\x00", b"T\x00\x00\x00\x03", b"D\xff\xff\xff\xff"],
                         ids=repr)
def test_backend_that_goes_astray_ends_the_session_with_08006(nonsense):
    def talk(connection):
        connection.recv(4096)
        connection.sendall(GREETING)
        connection.recv(4096)
        connection.sendall(nonsense)
        connection.shutdown(socket.SHUT_WR)

    with FakeServer(talk) as odd, Sluice({"azure": odd}) as proxy, client(proxy) as wire:
        wire.send(query("SELECT 1"))
        error = wire.read()
        assert error.kind == "E" and error.sqlstate() == "08006"
        assert '"azure"' in words(error.fields())
        assert wire.read_to_end() == []


def test_third_request_for_encryption_is_a_protocol_violation(blue):
    with Sluice({"blue": blue}) as proxy, Wire(proxy.host, proxy.port) as wire:
        for _ in range(2):
            wire.send(SSL_REQUEST)
            assert wire.socket.recv(1) == b"N"
        wire.send(SSL_REQUEST)
        messages = wire.read_to_end()
        assert kinds(messages) == "E" and messages[0].sqlstate() == "08P01"


def test_replication_protocol_and_minor_versions_are_the_servers_business(blue):
    """What the proxy does not understand it hands on: the server answers as it would directly."""
    def greeting(endpoint):
        with Wire(endpoint.host, endpoint.port) as wire:
            packet = bytearray(startup("postgres", "postgres", replication="database"))
            packet[4:8] = (PROTOCOL_3_0 + 9).to_bytes(4, "big")
            wire.send(bytes(packet))
            wire.finish_startup()
            return [m for m in wire.startup if m.kind != "K"], kinds(wire.run("IDENTIFY_SYSTEM"))
    with Sluice({"blue": blue}) as proxy:
        assert greeting(proxy) == greeting(blue)
