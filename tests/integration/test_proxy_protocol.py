"""Clients behind load balancers: PROXY protocol headers, good, bad and from the real haproxy."""

import socket
import struct

import pytest

from support.balancer import haproxy, needs_haproxy
from support.cluster import free_port, wait_until
from support.sluice import Sluice
from support.wire import Closed, Wire, errors_of, kinds, query, rows_of, startup

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
STARTUP = startup("postgres", "postgres", application_name="behind")


def line(text):
    return b"PROXY " + text.encode() + b"\r\n"


def block(family, addresses, command=0x21, tlvs=b""):
    rest = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def ipv4(source, port=4711):
    return socket.inet_aton(source) + b"\x7f\0\0\1" + struct.pack("!HH", port, 5432)


def ipv6(source, port=4711):
    return (socket.inet_pton(socket.AF_INET6, source) + b"\0" * 15 + b"\1" +
            struct.pack("!HH", port, 5432))


AWS_TLVS = b"\x03\0\x04\xa9\xb8\x7e\x8f\xea\0\x0d\x01vpce-08d2bf15"

GOOD = [
    (line("TCP4 10.1.2.3 127.0.0.1 4711 5432"), "10.1.2.3:4711"),
    (line("TCP6 2001:db8::7 ::1 4711 5432"), "[2001:db8::7]:4711"),
    (block(0x11, ipv4("10.1.2.3")), "10.1.2.3:4711"),
    (block(0x11, ipv4("10.1.2.3"), tlvs=AWS_TLVS), "10.1.2.3:4711"),
    (block(0x11, ipv4("10.1.2.3"), tlvs=b"\x04\x0f\xf1" + b"x" * 4081), "10.1.2.3:4711"),
    (block(0x21, ipv6("2001:db8::7")), "[2001:db8::7]:4711"),
    (block(0x31, b"/run/client".ljust(108, b"\0") + b"/run/proxy".ljust(108, b"\0")), "unix"),
    (line("UNKNOWN"), None),
    (block(0x00, b"", command=0x20), None),
    (block(0x11, ipv4("10.1.2.3"), command=0x20), None),
]

BAD = {
    "no header": STARTUP,
    "encryption request": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "lower case": b"proxy TCP4 10.1.2.3 127.0.0.1 4711 5432\r\n",
    "no addresses": line("TCP4"),
    "bad address": line("TCP4 10.1.2.300 127.0.0.1 4711 5432"),
    "bad port": line("TCP4 10.1.2.3 127.0.0.1 4711 65536"),
    "line feed alone": b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 5432\n",
    "oversized line": b"PROXY UNKNOWN " + b"x" * 200,
    "oversized block": SIGNATURE + b"\x21\x11\x10\x01",
    "another version": SIGNATURE + b"\x31\x11\0\x0c",
    "datagrams": block(0x12, ipv4("10.1.2.3")),
    "cut addresses": block(0x11, ipv4("10.1.2.3")[:-1]),
}


@pytest.fixture(scope="module")
def proxy(blue):
    """A proxy with two addresses: `port` for clients and `balanced` for load balancers."""
    balanced = free_port()
    with Sluice({"blue": blue}, start=False) as running:
        running.balanced = balanced
        running.service["listen"].append({
            "address": f"127.0.0.1:{balanced}", "proxy_protocol": "required",
            "trusted": ["127.0.1.0/24"]})
        running.write_config()
        running.start()
        yield running


@pytest.fixture
def through(proxy):
    """Opens connections from a load balancer; each is closed at the end of the test."""
    opened = []

    def one(*first, source="127.0.1.9"):
        opened.append(Wire(proxy.host, proxy.balanced, source=source))
        opened[-1].send(*first)
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()
    proxy.ctl("admit", "all")
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "no sessions")


def behind(proxy):
    """The addresses of the sessions that came through a load balancer."""
    return [r["address"] for r in proxy.sessions() if r["application"] == "behind"]


@pytest.mark.parametrize("header, address", GOOD)
def test_address_in_a_header_is_the_clients(proxy, through, header, address):
    wire = through(header + STARTUP)
    assert kinds(wire.finish_startup())[-1] == "Z"
    assert wire.value("SELECT 1") == "1"
    assert behind(proxy) == [address or "127.0.1.9:%d" % wire.socket.getsockname()[1]]


@pytest.mark.parametrize("header", [GOOD[1][0], GOOD[3][0]])
def test_header_may_come_in_pieces(proxy, through, header):
    wire = through()
    wire.send_bytewise(header, STARTUP)
    assert kinds(wire.finish_startup())[-1] == "Z"
    assert len(behind(proxy)) == 1


@pytest.mark.parametrize("name", BAD)
def test_bad_header_is_told_and_nothing_else_happens(proxy, through, name):
    wire = through(BAD[name])
    error = wire.read_to_end()[0]
    assert error.sqlstate() == "08P01" and "PROXY protocol header" in error.fields()["M"]
    assert '"app"' in error.fields()["D"]
    assert kinds(through(GOOD[0][0] + STARTUP).finish_startup())[-1] == "Z"


def test_nobody_else_may_say_who_a_client_is(proxy, through, blue):
    before = blue.value("SELECT sum(sessions) FROM pg_stat_database")
    for header in GOOD[0][0], GOOD[2][0], b"":
        wire = through(header + STARTUP, source="127.0.2.9")
        assert errors_of(wire.read_to_end()) == ["28000"]
    assert blue.value("SELECT sum(sessions) FROM pg_stat_database") - before <= 1


def test_header_is_never_looked_for_elsewhere(proxy):
    for header, _ in GOOD[0], GOOD[2]:
        with Wire(proxy.host, proxy.port, source="127.0.1.9") as wire:
            wire.send(header + STARTUP)
            assert errors_of(wire.read_to_end()) == ["08P01"]


def test_partial_header_ends_with_its_connection(proxy, through):
    for cut in 0, 1, 10, len(GOOD[2][0]) - 1:
        wire = through(GOOD[2][0][:cut])
        wire.half_close()
        assert wire.read_to_end() == []


def test_slow_header_ends_by_its_deadline(proxy, through):
    """Whether nothing comes, or bytes trickle in for longer than anybody waits."""
    silent, trickle = through(GOOD[0][0][:7]), through(SIGNATURE + b"\x21\x11\x0f\xff")
    other = through(GOOD[0][0] + STARTUP)
    assert kinds(other.finish_startup())[-1] == "Z"

    def ended():
        try:
            trickle.send(b"x")
            return not trickle.silent(0.05)
        except OSError:
            return True

    wait_until(ended, "the end of the slow header")
    assert trickle.buffer == b""
    assert silent.read_to_end() == []
    assert other.value("SELECT 1") == "1"


def test_admission_goes_by_the_address_in_the_header(proxy, through):
    inside = through(GOOD[2][0] + STARTUP)
    mapped = through(block(0x21, ipv6("::ffff:10.1.9.9")) + STARTUP)
    outside = through(line("TCP4 10.2.2.3 127.0.0.1 4711 5432") + STARTUP)
    local = through(GOOD[6][0] + STARTUP)
    for wire in inside, mapped, outside, local:
        wire.finish_startup()
    done = proxy.ctl("admit", "10.1.0.0/16")[1]
    assert (done["inside"], done["outside"]) == (2, 2)
    for wire in outside, local:
        wire.send(query("SELECT 'waited'"))
    assert inside.value("SELECT 1") == mapped.value("SELECT 1") == "1"
    assert outside.silent() and local.silent()
    late = through(GOOD[2][0] + STARTUP)
    assert kinds(late.finish_startup())[-1] == "Z"
    proxy.ctl("admit", "10.2.0.0/16", "local")
    for wire in outside, local:
        assert rows_of(wire.read_ready()) == [("waited",)]


def test_cancel_comes_through_a_balancer_too(proxy, through, blue):
    wire = through(GOOD[0][0] + STARTUP)
    wire.finish_startup()
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: blue.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
               "sleep")
    pid, key = wire.key
    cancel = struct.pack("!iii", 12 + len(key), 80877102, pid) + key
    assert through(GOOD[2][0] + cancel).read_to_end() == []
    assert errors_of(wire.read_ready()) == ["57014"]


# --- the real program ---------------------------------------------------------------------------

def answers(port):
    try:
        with Wire("127.0.0.1", port, "postgres", timeout_s=5) as wire:
            return kinds(wire.startup)[-1] == "Z"
    except (OSError, Closed):
        return False


@needs_haproxy
@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn"])
def test_haproxy_tells_its_clients(proxy, how):
    with haproxy(proxy.balanced, server=f"{how} source 127.0.1.5 check inter 100ms") as port:
        wait_until(lambda: answers(port), "haproxy")
        with Wire("127.0.0.1", port, "postgres", source="127.0.5.7",
                  application_name="behind") as wire:
            assert wire.value("SELECT 1") == "1"
            assert behind(proxy) == ["127.0.5.7:%d" % wire.socket.getsockname()[1]]
            proxy.ctl("admit", "127.0.6.0/24")
            wire.send(query("SELECT 'waited'"))
            assert wire.silent()
            proxy.ctl("admit", "127.0.5.0/24")
            assert rows_of(wire.read_ready()) == [("waited",)]
        proxy.ctl("admit", "all")
