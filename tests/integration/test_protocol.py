"""Bytes go through as they came: answers through the proxy equal the direct ones, byte by byte."""

import pytest

from support.cluster import settled
from support.conversations import CONVERSATIONS, SCHEMA, held
from support.sluice import Sluice, built
from support.wire import (GSSENC_REQUEST, PROTOCOL_3_0, SSL_REQUEST, Wire, bind, copy_data,
                          execute, flush, frame, kinds, parse, query, startup, sync, terminate)

BYTEWISE_MAX = 4000


@pytest.fixture(scope="module")
def server(blue):
    blue.query(SCHEMA)
    return blue


@pytest.fixture(scope="module")
def proxy(server):
    """Without a build the server stands in for the proxy, to show that the answers are stable."""
    if not built():
        yield server
        return
    with Sluice({"blue": server}) as running:
        yield running


@pytest.fixture(scope="module")
def mover(server):
    """A proxy that moves every session at every boundary."""
    if not built():
        yield server
        return
    with Sluice({"blue": server}, move_every=1) as running:
        yield running


def in_pieces(wire, size):
    def send(data):
        for at in range(0, len(data), size):
            wire.send(data[at:at + size])
    return send


def answers(endpoint, conversation, piece=None):
    with Wire(endpoint.host, endpoint.port, "postgres") as wire:
        return held(wire, conversation, in_pieces(wire, piece) if piece else wire.send)


def shorten(messages):
    return [(m.kind, m.body if len(m.body) < 200 else m.body[:200] + b"...") for m in messages]


def assert_equal(seen, expected):
    for step, (ours, theirs) in enumerate(zip(seen, expected)):
        if ours != theirs:
            assert shorten(ours) == shorten(theirs), f"step {step}"
        assert ours == theirs, f"step {step}"
    assert len(seen) == len(expected)


@pytest.fixture(scope="module")
def direct(server):
    known = {}

    def look(name):
        if name not in known:
            known[name] = answers(server, CONVERSATIONS[name])
        return known[name]

    return look


@pytest.mark.direct
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_answers_are_equal(name, proxy, direct):
    assert_equal(answers(proxy, CONVERSATIONS[name]), direct(name))


@pytest.mark.direct
@pytest.mark.parametrize("name", [n for n in CONVERSATIONS if n != "copy in, out of step"])
def test_answers_are_equal_when_sent_in_pieces(name, proxy, direct):
    size = sum(len(data) for data, _, _ in CONVERSATIONS[name])
    piece = 1 if size < BYTEWISE_MAX else 997
    assert_equal(answers(proxy, CONVERSATIONS[name], piece), direct(name))


@pytest.mark.direct
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_answers_are_equal_while_moving(name, mover, direct):
    assert_equal(answers(mover, CONVERSATIONS[name]), direct(name))


@pytest.mark.direct
def test_startup_answers_are_equal_but_for_the_key(proxy, server):
    def greeting(endpoint):
        with Wire(endpoint.host, endpoint.port, "postgres", application_name="hello",
                  options="-c work_mem=7MB -c app.x=1", TimeZone="Asia/Kolkata") as wire:
            assert wire.run("SELECT 1")
            assert len(wire.key[1]) == 4
            return [m for m in wire.startup if m.kind != "K"]
    assert greeting(proxy) == greeting(server)


@pytest.mark.direct
@pytest.mark.parametrize("parameters", [
    {"user": "nobody_known"}, {"user": "postgres", "dbname": "no such database"},
    {"user": "postgres", "options": "-c nonsense"}, {"user": "postgres", "unknown_key": "1"},
    {"user": "postgres", "client_encoding": "KLINGON"},
])
def test_refused_logins_are_equal(parameters, proxy, server):
    def refusal(endpoint):
        with Wire(endpoint.host, endpoint.port, **parameters) as wire:
            return wire.startup, wire.read_to_end()
    seen, expected = refusal(proxy), refusal(server)
    assert seen == expected
    assert kinds(seen[0])[-1] == "E"


@pytest.mark.direct
@pytest.mark.parametrize("minor, extra", [(2, {}), (0, {"_pq_.future": "1"})])
def test_protocol_negotiation_is_equal(minor, extra, proxy, server):
    def negotiation(endpoint):
        with Wire(endpoint.host, endpoint.port) as wire:
            packet = bytearray(startup("postgres", "postgres", **extra))
            packet[4:8] = (PROTOCOL_3_0 + minor).to_bytes(4, "big")
            wire.send(bytes(packet))
            wire.finish_startup()
            return [m for m in wire.startup if m.kind != "K"], wire.run("SELECT 1")
    assert negotiation(proxy) == negotiation(server)


@pytest.mark.direct
@pytest.mark.parametrize("piece", [None, 1])
def test_a_whole_session_sent_at_once(piece, proxy, server):
    """A client may send startup, work and Terminate without waiting for anything."""
    def session(endpoint):
        with Wire(endpoint.host, endpoint.port) as wire:
            data = startup("postgres", "postgres") + query("SELECT 1") + query("SELECT 2")
            (in_pieces(wire, piece) if piece else wire.send)(data + terminate())
            return [m for m in wire.read_to_end() if m.kind != "K"]
    assert session(proxy) == session(server)


def test_encryption_requests_are_refused_and_the_startup_goes_on(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        for request in (GSSENC_REQUEST, SSL_REQUEST):
            wire.send(request)
            assert wire.socket.recv(1) == b"N"
        wire.send(startup("postgres", "postgres"))
        wire.finish_startup()
        assert wire.value("SELECT 'plain'") == "plain"


@pytest.mark.direct
def test_half_closed_client_still_gets_its_answers(proxy, server):
    def session(endpoint):
        with Wire(endpoint.host, endpoint.port, "postgres") as wire:
            wire.send(query("SELECT 1"), query("SELECT repeat('x', 3000000)"), query("SELECT 3"))
            wire.half_close()
            return wire.read_to_end()
    assert session(proxy) == session(server)


@pytest.mark.direct
def test_half_closed_client_that_reads_slowly_still_gets_its_answers(proxy, server):
    """The server may be long gone when the client takes the rest: that is no lost backend."""
    def session(endpoint):
        with Wire(endpoint.host, endpoint.port, "postgres", application_name="slow",
                  receive_bytes=4096) as wire:
            wire.send(query("SELECT repeat('x', 100) FROM generate_series(1, 40000)"))
            wire.half_close()
            settled(lambda: tuple(server.query("SELECT state, wait_event FROM pg_stat_activity "
                                               "WHERE application_name = 'slow'")))
            return wire.read_to_end()
    assert session(proxy) == session(server)


@pytest.mark.direct
def test_notifications_arrive_while_idle(proxy, server):
    with Wire(proxy.host, proxy.port, "postgres") as wire:
        wire.run("LISTEN news")
        server.query("NOTIFY news, 'from elsewhere'")
        message = wire.read()
        assert message.kind == "A"
        assert message.body[4:] == b"news\0from elsewhere\0"


@pytest.mark.direct
def test_server_side_farewell_is_relayed(proxy, server):
    with Wire(proxy.host, proxy.port, "postgres", application_name="to be ended") as wire:
        server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                     "WHERE application_name = 'to be ended'")
        messages = wire.read_to_end()
        assert kinds(messages) == "E"
        assert messages[0].sqlstate() == "57P01"


@pytest.mark.parametrize("garbage", [
    frame(b"!", b"what is this"), b"Q\x00\x00\x00\x03", b"Q\xff\xff\xff\xff", b"Q\x7f\xff\xff\xff",
    frame(b"\x00"), frame(b"B", b"no terminator") + sync(), frame(b"P", b"\xff" * 20) + sync(),
], ids=repr)
def test_garbage_is_a_protocol_violation(garbage, proxy):
    """The client learns 08P01; it may then go on or be disconnected, as the server decides."""
    with Wire(proxy.host, proxy.port, "postgres", application_name="garbage") as wire:
        wire.send(garbage)
        assert wire.read_until("E")[-1].sqlstate() == "08P01"
    with Wire(proxy.host, proxy.port, "postgres") as other:
        assert other.value("SELECT 'undisturbed'") == "undisturbed"


@pytest.mark.direct
@pytest.mark.parametrize("earlier", [
    query("SELECT 1") + query("SELECT repeat('x', 3000000)"),
    query("SELECT pg_sleep(0.2), 'slow'"),
    parse("SELECT 'synced'") + bind() + execute() + sync(),
    parse("SELECT 'flushed'") + bind() + execute() + flush(),
    query("INSERT INTO wire.t VALUES (1000)") + query("DELETE FROM wire.t WHERE a = 1000"),
    query("BEGIN; SELECT 1"),
], ids=["queries", "a slow one", "extended", "flushed", "writes", "a transaction"])
@pytest.mark.parametrize("garbage", [frame(b"!", b"what"), frame(b"p", b"secret\0")], ids=repr)
def test_what_came_before_garbage_is_answered_first(earlier, garbage, proxy, server):
    def session(endpoint):
        with Wire(endpoint.host, endpoint.port, "postgres") as wire:
            wire.send(earlier + garbage)
            messages = wire.read_to_end()
            return messages[:-1], messages[-1].fields()["S"], messages[-1].sqlstate()
    seen, expected = session(proxy), session(server)
    assert shorten(seen[0]) == shorten(expected[0])
    assert seen == expected


def test_garbage_within_a_copy_ends_it_and_the_session(proxy, server):
    with Wire(proxy.host, proxy.port, "postgres") as wire:
        wire.send(query("TRUNCATE wire.t"), query("COPY wire.t FROM STDIN"))
        wire.read_until("G")
        wire.send(copy_data(b"1\tone\n"), frame(b"!", b"what"))
        assert wire.read_to_end()[-1].sqlstate() == "08P01"
    assert server.value("SELECT count(*) FROM wire.t") == 0
