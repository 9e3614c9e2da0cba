"""Messages of the server that come in pieces while a session is about to park, or parked: they are
one message to the client, whatever becomes of the session in between."""

import contextlib

import pytest

from support.cluster import Cluster, wait_until
from support.fakes import Splitter
from support.sluice import Sluice
from support.tls import TlsWire
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import Wire, kinds, query

# Where a NotificationResponse is cut: in its header, in the process id, in its text, at its end.
CUTS = [1, 4, 5, 7, 9, 12, 23]


@pytest.fixture(scope="module")
def green():
    with Cluster("green") as server:
        yield server


@pytest.fixture(scope="module")
def split(blue):
    with Splitter(blue) as between:
        yield between


@pytest.fixture(scope="module")
def proxy(split, green, identity):
    tls = {"cert": identity.cert, "key": identity.key}
    with Sluice({"blue": split, "green": green}, service={"tls": tls}) as running:
        yield running


@contextlib.contextmanager
def listener(proxy, front=Wire):
    with front(proxy.host, proxy.port, "postgres") as wire:
        wire.run("LISTEN news")
        yield wire


def say(server, split, cut):
    """A notification of which `cut` bytes are through."""
    split.hold_after(cut)
    server.query("NOTIFY news, 'a payload'")
    wait_until(lambda: split.holds, "a notification that is held up")


def heard(wire, payload=b"a payload"):
    message = wire.read()
    assert message.kind == "A" and message.body[4:] == b"news\0" + payload + b"\0"


@pytest.mark.parametrize("front", [Wire, TlsWire])
@pytest.mark.parametrize("cut", CUTS)
def test_a_session_parks_behind_a_notification_that_has_begun(cut, front, proxy, split, blue):
    with listener(proxy, front) as wire:
        say(blue, split, cut)
        pause = proxy.ctl_start("pause", "--timeout", "20s")
        proxy.wait_status(lambda s: s["gate"] == "draining", "a pause that waits")
        assert pause.running() and proxy.status()["sessions"]["parked"] == 0
        split.release()
        assert pause.finish()[0] == 0
        heard(wire)
        wire.send(query("SELECT 'behind it'"))
        proxy.ctl("resume")
        assert kinds(wire.read_ready()) == "TDCZ"


@pytest.mark.parametrize("cut", CUTS)
def test_a_parked_session_moves_behind_a_notification_that_has_begun(cut, proxy, split, blue,
                                                                     green):
    with listener(proxy) as wire:
        assert proxy.ctl("pause")[0] == 0
        say(blue, split, cut)
        move = proxy.ctl_start("retarget", "green")
        wait_until(lambda: "command name=retarget" in proxy.log_text(), "the command to begin")
        split.release()
        assert move.finish()[0] == 0
        proxy.ctl("resume")
        heard(wire)
        assert wire.value("SHOW cluster_name") == "green"
        green.query("NOTIFY news, 'over there'")
        heard(wire, b"over there")
    proxy.ctl("retarget", "blue")


def test_a_notification_of_ones_own_has_the_clients_pid_however_it_is_cut(proxy, split):
    """The only bytes that change on the way are those of the process id."""
    for cut in CUTS:
        with listener(proxy) as wire:
            split.hold_after(cut)
            wire.send(query("NOTIFY news, 'mine'"))
            wait_until(lambda: split.holds, "an answer that is held up")
            split.release()
            told = [m for m in wire.read_ready() if m.kind == "A"]
            assert told[0].body[:4] == wire.key[0].to_bytes(4, "big")
