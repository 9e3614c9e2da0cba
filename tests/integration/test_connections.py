"""Connections come and go: cancel, listeners, bad startups, lost peers, stop."""

import struct

import pytest

from support.cluster import Cluster, free_port, wait_until
from support.sluice import Sluice
from support.wire import (PROTOCOL_3_0, Wire, cancel_request, frame, kinds, query, startup)


@pytest.fixture(scope="module")
def proxy(blue):
    with Sluice({"blue": blue}) as running:
        yield running


def client(proxy, name="test", **options):
    return Wire(proxy.host, proxy.port, "postgres", application_name=name, **options)


def backends(server, name):
    return server.query("SELECT pid, state, wait_event FROM pg_stat_activity "
                        "WHERE application_name = %s", name)


def wait_gone(server, name):
    wait_until(lambda: not backends(server, name), f"end of the backend of {name}")


def first_error(endpoint, packet, half_close=False):
    """The SQLSTATE with which a startup is refused; the connection must end after it."""
    with Wire(endpoint.host, endpoint.port) as wire:
        wire.send(packet)
        if half_close:
            wire.half_close()
        messages = wire.read_to_end()
        assert kinds(messages) == "E"
        assert messages[0].fields()["S"] == "FATAL"
        return messages[0].fields()


def assert_serves(proxy):
    with client(proxy, "undisturbed") as other:
        assert other.value("SELECT 'served'") == "served"


# --- cancel -------------------------------------------------------------------------------------

def test_cancel_ends_the_running_query(proxy, blue):
    with client(proxy, "sleeper") as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: "PgSleep" in [b[2] for b in backends(blue, "sleeper")], "sleep")
        wire.cancel()
        assert [m.sqlstate() for m in wire.read_ready() if m.kind == "E"] == ["57014"]
        assert wire.value("SELECT 'usable'") == "usable"


def test_cancel_with_a_wrong_key_does_nothing(proxy, blue):
    with client(proxy, "sleeper") as wire:
        wire.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: "PgSleep" in [b[2] for b in backends(blue, "sleeper")], "sleep")
        pid, secret = wire.key
        wrong = bytes([secret[0] ^ 1]) + secret[1:]
        for request in (cancel_request(pid, wrong), cancel_request(pid ^ 1, secret),
                        cancel_request(0, b"\0\0\0\0")):
            with Wire(proxy.host, proxy.port) as other:
                other.send(request)
                assert other.read_to_end() == []
        assert wire.silent(0.3)
        wire.cancel()
        assert "57014" in [m.sqlstate() for m in wire.read_ready() if m.kind == "E"]


def test_keys_of_sessions_differ(proxy):
    wires = [client(proxy) for _ in range(20)]
    assert len({wire.key for wire in wires}) == 20
    for wire in wires:
        wire.close()


# --- listeners ----------------------------------------------------------------------------------

def test_every_kind_of_listener_serves(blue, tmp_path):
    port = free_port()
    listen = [f"127.0.0.1:{port}", f"[::1]:{port}", f"{tmp_path}:{port}"]
    with Sluice({"blue": blue}, listen=listen, start=False) as proxy:
        proxy.port = port
        proxy.start()
        for host in ("127.0.0.1", "::1", str(tmp_path)):
            with Wire(host, port, "postgres") as wire:
                assert wire.value("SELECT 42") == "42"
                wire.run("SET work_mem = '8MB'")
                wire.cancel()
    assert not list(tmp_path.iterdir())


def test_backend_on_a_unix_socket(blue):
    class Local:
        host, port = blue.top, blue.port
    with Sluice({"blue": Local}) as proxy, client(proxy) as wire:
        assert wire.value("SELECT inet_server_addr() IS NULL") == "t"


# --- bad startups -------------------------------------------------------------------------------

def packet(size, body):
    return struct.pack("!i", size) + body


BAD_STARTUPS = {
    "length too small": packet(4, b""),
    "length zero": packet(0, b"\0\0\0\0"),
    "length negative": packet(-5, b"\0\0\0\0"),
    "length of 100 MB": packet(100_000_000, struct.pack("!i", PROTOCOL_3_0)),
    "HTTP": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "protocol 2.0": packet(8, struct.pack("!i", 2 << 16)),
    "protocol 7.3": packet(8, struct.pack("!i", 7 << 16 | 3)),
    "no terminator": packet(12, struct.pack("!i", PROTOCOL_3_0) + b"user"),
    "no user": packet(9, struct.pack("!i", PROTOCOL_3_0) + b"\0"),
    "value missing": packet(14, struct.pack("!i", PROTOCOL_3_0) + b"user\0\0"),
}


@pytest.mark.parametrize("name", BAD_STARTUPS)
def test_bad_startup_is_refused_clearly(name, proxy):
    error = first_error(proxy, BAD_STARTUPS[name])
    assert error["C"] in ("08P01", "0A000", "28000")
    assert_serves(proxy)


def test_client_that_hangs_up_during_startup_disturbs_nobody(proxy):
    whole = startup("postgres", "postgres")
    for size in (0, 1, 4, 7, 8, 20, len(whole) - 1, len(whole)):
        with Wire(proxy.host, proxy.port) as wire:
            wire.send(whole[:size])
            wire.abort()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no session is left")
    assert_serves(proxy)


# --- lost peers ---------------------------------------------------------------------------------

def test_client_that_aborts_within_a_message_leaves_nothing_behind(proxy, blue):
    message = query("SELECT 'never complete'")
    for size in (1, 3, 5, len(message) - 1):
        wire = client(proxy, "aborter")
        wire.send(query("SELECT 1"))
        wire.read_ready()
        wire.send(message[:size])
        wire.abort()
        wait_gone(blue, "aborter")
    assert_serves(proxy)


def test_client_that_aborts_within_a_transaction_rolls_back(proxy, blue):
    blue.query("CREATE TABLE IF NOT EXISTS aborted (a int)")
    wire = client(proxy, "aborter")
    wire.run("BEGIN; INSERT INTO aborted VALUES (1)")
    wire.abort()
    wait_gone(blue, "aborter")
    assert blue.value("SELECT count(*) FROM aborted") == 0


def test_client_that_aborts_during_a_big_result(proxy, blue):
    wire = client(proxy, "aborter")
    wire.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 100000)"))
    wire.read()
    wire.abort()
    wait_gone(blue, "aborter")
    assert_serves(proxy)


def test_terminate_ends_the_backend(proxy, blue):
    wire = client(proxy, "leaver")
    wire.send(frame(b"X"))
    assert wire.read_to_end() == []
    wait_gone(blue, "leaver")


def test_backend_that_is_down_is_named(blue):
    class Nowhere:
        host, port = "127.0.0.1", free_port()
    with Sluice({"azure": Nowhere}) as proxy:
        error = first_error(proxy, startup("postgres", "postgres"))
        assert error["C"] in ("57P03", "08006")
        assert "azure" in " ".join(error.values())


def test_backend_that_dies_ends_its_sessions_with_08006():
    with Cluster("azure") as server, Sluice({"azure": server}) as proxy:
        idle, busy = client(proxy), client(proxy)
        busy.send(query("SELECT pg_sleep(60)"))
        wait_until(lambda: server.query("SELECT 1 FROM pg_stat_activity "
                                        "WHERE wait_event = 'PgSleep'"), "sleep")
        server.kill9()
        for wire in (idle, busy):
            errors = [m for m in wire.read_to_end() if m.kind == "E"]
            assert [e.sqlstate() for e in errors] == ["08006"]
            assert "azure" in " ".join(errors[0].fields().values())
        error = first_error(proxy, startup("postgres", "postgres"))
        assert error["C"] in ("57P03", "08006")
        server.start()
        assert_serves(proxy)


# --- stop ---------------------------------------------------------------------------------------

def test_stop_says_57P01_to_every_client(blue):
    proxy = Sluice({"blue": blue})
    wires = [client(proxy) for _ in range(10)]
    proxy.stop()
    for wire in wires:
        errors = [m.fields() for m in wire.read_to_end() if m.kind == "E"]
        assert [e["C"] for e in errors] == ["57P01"]
        assert '"app"' in errors[0]["D"]
        wire.close()
    with pytest.raises(OSError):
        Wire(proxy.host, proxy.port)


@pytest.mark.parametrize("sent", [b"", startup("postgres", "postgres")[:-5]],
                         ids=["silent", "half a startup packet"])
def test_stop_does_not_wait_for_a_client_that_says_nothing(blue, sent):
    """Their login deadline is a minute; Sluice.stop() waits for 20 s."""
    proxy = Sluice({"blue": blue})
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(sent)
        proxy.wait_status(lambda s: s["sessions"]["starting"] == 1, "the client")
        proxy.stop()
        assert [m.fields()["C"] for m in wire.read_to_end() if m.kind == "E"] in ([], ["57P01"])


def test_many_sessions_come_and_go(proxy, blue):
    for _ in range(5):
        wires = [client(proxy, "swarm") for _ in range(50)]
        for wire in wires:
            wire.send(query("SELECT 1"))
        for wire in wires:
            wire.read_ready()
            wire.close()
    wait_gone(blue, "swarm")
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no session is left")


def test_session_rows_name_the_client(proxy, blue):
    with client(proxy, "named one") as wire:
        wire.run("BEGIN")
        row = next(r for r in proxy.sessions() if r["application"] == "named one")
        assert row["user"] == "postgres" and row["database"] == "postgres"
        assert row["backend"] == "blue"
        assert row["pid"] in [b[0] for b in backends(blue, "named one")]
        status = proxy.status()
        assert status["sessions"]["in_transaction"] == 1
        assert status["route"] == "blue" and status["gate"] == "open"
        assert status["backends"]["blue"]["sessions"] == 1
