"""`send_proxy`: a backend that is a proxy hears for whom each connection is, before all else."""

import contextlib
import os
import socket
import struct
import threading

import pytest

from support.balancer import connect_balanced, haproxy, needs_haproxy, start_balanced
from support.cluster import free_port, temp_dir, wait_until
from support.sluice import Sluice
from support.wire import Wire, errors_of, query, startup

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
SOURCE = "127.0.7.7"


def parsed(take):
    """What a header says, as ("PROXY", source, destination), read by its own rules."""
    first = take(6)
    if first == b"PROXY ":
        line = b""
        while not line.endswith(b"\r\n"):
            line += take(1)
        assert len(line) <= 101
        words = line[:-2].decode().split(" ")
        if words == ["UNKNOWN"]:
            return ("UNKNOWN",)
        family, source, destination, port, port_there = words
        assert family == ("TCP6" if ":" in source else "TCP4")
        packed = socket.AF_INET6 if family == "TCP6" else socket.AF_INET
        source, destination = (socket.inet_ntop(packed, socket.inet_pton(packed, address))
                               for address in (source, destination))
        return ("v1", (source, int(port)), (destination, int(port_there)))
    assert first + take(6) == SIGNATURE
    command, family, size = struct.unpack("!BBH", take(4))
    rest = take(size)
    assert command == 0x21
    if family == 0x31:
        assert size == 216
        return ("unix",)
    kind, width = {0x11: (socket.AF_INET, 4), 0x21: (socket.AF_INET6, 16)}[family]
    assert size == 2 * width + 4
    ports = struct.unpack("!HH", rest[2 * width:])
    return ("v2", (socket.inet_ntop(kind, rest[:width]), ports[0]),
            (socket.inet_ntop(kind, rest[width:2 * width]), ports[1]))


class Behind:
    """A listener in front of a server: takes a header off each connection and relays the rest."""

    def __init__(self, server):
        self.server, self.headers, self.first = server, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self.listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            try:
                self.headers.append(parsed(lambda n: _exactly(client, n)))
            except (AssertionError, ValueError, KeyError) as wrong:
                self.headers.append(("wrong", repr(wrong)))
                return
            start = _exactly(client, 8)
            self.first.append(start[4:])
            with socket.create_connection((self.server.host, self.server.port)) as behind:
                behind.sendall(start)
                threading.Thread(target=_pump, args=(behind, client), daemon=True).start()
                _pump(client, behind)

    def close(self):
        self.listener.close()


def _exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


def _pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def behind(blue):
    listener = Behind(blue)
    yield listener
    listener.close()


def proxy_with(backends, version, **more):
    made = Sluice(backends, start=False, **more)
    for backend in made.service["backends"].values():
        backend["send_proxy"] = version
    made.write_config()
    return made.start()


def local(wire):
    return wire.socket.getsockname()[:2]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_connection_says_whose_it_is(blue, behind, version):
    with proxy_with({"blue": behind}, version) as proxy:
        there = (proxy.host, proxy.port)
        with Wire(proxy.host, proxy.port, "postgres", source=SOURCE) as wire:
            assert wire.value("SELECT 1") == "1"
            assert behind.headers == [(version, local(wire), there)]
            proxy.ctl("reconnect")
            proxy.ctl("wait-close", "--timeout", "20s")
            assert behind.headers == [(version, local(wire), there)] * 2
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: blue.query(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "sleep")
            wire.cancel()
            assert errors_of(wire.read_ready()) == ["57014"]
            assert behind.headers == [(version, local(wire), there)] * 3
            assert behind.first[2] == struct.pack("!i", 80877102)


def test_ipv6_and_unix_clients(behind):
    port = free_port()
    for version, unix in ("v1", ("UNKNOWN",)), ("v2", ("unix",)):
        behind.headers.clear()
        top = temp_dir()
        listen = [f"127.0.0.1:{port}", f"[::1]:{port}", f"{top}:{port}"]
        with proxy_with({"blue": behind}, version, listen=listen) as proxy:
            proxy.wait_status(lambda s: s["gate"] == "open", "its start")
            with Wire("::1", port, "postgres") as wire:
                assert behind.headers == [(version, local(wire), ("::1", port))]
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(os.path.join(top, f".s.PGSQL.{port}"))
                client.sendall(startup("postgres", "postgres"))
                assert client.recv(1) == b"R"
            assert behind.headers[1] == unix


def test_in_front_of_tls_and_for_the_balancers_client(behind):
    with proxy_with({"blue": behind}, "v2") as proxy:
        proxy.service["backends"]["blue"]["tls"] = {"mode": "prefer"}
        proxy.stop()
        start_balanced(proxy)
        with connect_balanced(proxy, "10.1.2.3", 5000) as wire:
            assert wire.value("SELECT 1") == "1"
        assert behind.headers == [("v2", ("10.1.2.3", 5000), ("127.0.0.1", proxy.port))]
        assert behind.first == [struct.pack("!i", 80877103)]  # SSLRequest


def test_other_words_are_refused():
    with Sluice({"blue": Nowhere}, start=False) as proxy:
        proxy.service["backends"]["blue"]["send_proxy"] = "v3"
        proxy.write_config()
        proxy.start(wait=False)
        assert proxy.process.wait(20) != 0
        assert 'send_proxy: "v3" is not valid, expected off, v1 or v2' in proxy.log_text()
        proxy.process = None


class Nowhere:  # pylint: disable=too-few-public-methods
    host, port = "127.0.0.1", 1


# --- the real program ---------------------------------------------------------------------------

@needs_haproxy
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_believes_it(blue, version):
    """Client, pgsluice, haproxy, pgsluice, server: the last proxy sees the client's address."""
    with Sluice({"blue": blue}, start=False) as inner:
        start_balanced(inner)
        with haproxy(inner.port, bind="accept-proxy", server="send-proxy-v2") as port:
            at = type("At", (), {"host": "127.0.0.1", "port": port})
            with proxy_with({"haproxy": at}, version) as outer, \
                    Wire(outer.host, outer.port, "postgres", source=SOURCE) as wire:
                assert wire.value("SELECT 1") == "1"
                assert [s["address"] for s in inner.sessions()] == ["%s:%d" % local(wire)]
                wire.send(query("SELECT pg_sleep(60)"))
                wait_until(lambda: [s for s in inner.sessions() if s["state"] == "active"], "it")
                wire.cancel()
                assert errors_of(wire.read_ready()) == ["57014"]
