"""`client_address`: servers see where a client comes from, behind balancers and after moves too."""

import pytest

from support.balancer import connect_balanced, start_balanced
from support.cluster import wait_until
from support.sluice import Sluice
from support.wire import Wire, startup


def proxy_with(blue, green, how, **options):
    return Sluice({"blue": blue, "green": green}, service={"client_address": how}, **options)


def connect(proxy, name=None, **more):
    wire = Wire(proxy.host, proxy.port, source="127.0.7.7")
    names = {"application_name": name} if name else {}
    wire.send(startup("postgres", "postgres", **names, **more))
    wire.finish_startup()
    return wire


def local(wire):
    return "%s:%d" % wire.socket.getsockname()


@pytest.mark.parametrize("move_every", [0, 1])
def test_in_the_application_name(blue, green, move_every):
    with proxy_with(blue, green, "application_name", move_every=move_every) as proxy, \
            connect(proxy, "psql") as named, connect(proxy) as plain, \
            connect(proxy, "n" * 63) as long:
        for _ in range(3):
            assert named.value("SHOW application_name") == f"psql - {local(named)}"
        assert plain.value("SHOW application_name") == local(plain)
        shown = long.value("SHOW application_name")
        assert len(shown) == 63 and shown.endswith(f"n - {local(long)}")

        def seen():
            return blue.query("SELECT application_name FROM pg_stat_activity "
                              "WHERE application_name LIKE 'psql - %'")
        # A server that a session has left takes its time to end.
        wait_until(lambda: seen() == [(f"psql - {local(named)}",)], "one connection of that name")
        named.run("SET application_name = 'mine'")
        assert named.value("SHOW application_name") == "mine"
        proxy.ctl("retarget", "green")
        assert plain.value("SHOW application_name") == local(plain)
        assert named.value("SHOW application_name") == "mine"
        assert plain.value("SHOW port") == str(green.port)


def test_in_a_setting(blue, green):
    with proxy_with(blue, green, "setting") as proxy, connect(proxy, "psql") as wire:
        ask = "SELECT current_setting('pgsluice.client_address')"
        assert wire.value(ask) == local(wire)
        assert wire.value("SHOW application_name") == "psql"
        proxy.ctl("retarget", "green")
        assert wire.value(ask) == local(wire) and wire.value("SHOW port") == str(green.port)


def test_the_true_address_behind_a_balancer(blue, green):
    with start_balanced(proxy_with(blue, green, "setting", start=False)) as proxy, \
            connect_balanced(proxy, "10.1.2.3", 5000) as wire:
        ask = "SELECT current_setting('pgsluice.client_address')"
        assert wire.value(ask) == "10.1.2.3:5000"


def test_off_by_default(blue, green):
    with Sluice({"blue": blue, "green": green}) as proxy, connect(proxy, "psql") as wire:
        assert wire.value("SHOW application_name") == "psql"
        assert wire.value("SELECT current_setting('pgsluice.client_address', true)") is None
