"""A client keeps the cancel key that it was given when its session moves between servers whose keys
are of another length: 32 bytes with protocol 3.2 (PostgreSQL 18), 4 bytes before.
"""

import pytest

from support.cluster import Cluster, bindir_of, wait_until
from support.sluice import Sluice
from support.wire import (PROTOCOL_3_0, PROTOCOL_3_2, Closed, Wire, cancel_request, errors_of,
                          query, startup)

LONG, SHORT = 32, 4
SLEEPING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


@pytest.fixture(scope="module", params=[15, 17])
def servers(request):
    """`old` knows short keys alone."""
    with Cluster("old", bindir_of(request.param)) as old, Cluster("new", bindir_of(18)) as new:
        yield {"old": old, "new": new}


def logged_in(proxy, version):
    wire = Wire(proxy.host, proxy.port)
    wire.send(startup("postgres", "postgres", version))
    wire.finish_startup()
    return wire


def send_cancel(proxy, pid, key):
    """Returns when the request was taken, whether or not it led anywhere."""
    with Wire(proxy.host, proxy.port) as other:
        try:
            other.send(cancel_request(pid, key))
            other.read_to_end()
        except (Closed, ConnectionResetError):
            pass


def begin_sleep(wire, server):
    wire.send(query("SELECT pg_sleep(60)"))
    wait_until(lambda: server.query(SLEEPING), f"the statement to run on {server.name}")


def cancels_on(wire, server):
    """The client's own key ends what it runs, on this server; the session goes on."""
    begin_sleep(wire, server)
    wire.cancel()
    assert errors_of(wire.read_ready()) == ["57014"]
    assert wire.value("SHOW cluster_name") == server.name


@pytest.mark.parametrize("first, second, version, key_bytes", [
    ("new", "old", PROTOCOL_3_2, LONG),
    ("new", "old", PROTOCOL_3_0, SHORT),
    ("old", "new", PROTOCOL_3_2, SHORT),
    ("old", "new", PROTOCOL_3_0, SHORT),
], ids=["long to short", "3.0 on the new one first", "short to long", "3.0 on the old one first"])
def test_the_clients_key_stays_valid_both_ways(first, second, version, key_bytes, servers):
    with Sluice({name: servers[name] for name in (first, second)}) as proxy:
        with logged_in(proxy, version) as wire:
            assert len(wire.key[1]) == key_bytes
            cancels_on(wire, servers[first])
            for side in (second, first, second):
                proxy.ctl("retarget", side)
                cancels_on(wire, servers[side])
            assert proxy.sessions()[0]["moves"] == 3


def test_no_part_of_a_long_key_is_a_key(servers):
    """Not even where the server behind the proxy has a key of that length."""
    with Sluice({name: servers[name] for name in ("new", "old")}) as proxy:
        with logged_in(proxy, PROTOCOL_3_2) as wire:
            proxy.ctl("retarget", "old")
            begin_sleep(wire, servers["old"])
            pid, key = wire.key
            for wrong in (key[:SHORT], key[:-1], key + b"\0", key[:-1] + bytes([key[-1] ^ 1])):
                send_cancel(proxy, pid, wrong)
            assert servers["old"].query(SLEEPING)
            wire.cancel()
            assert errors_of(wire.read_ready()) == ["57014"]
