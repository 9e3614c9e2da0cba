"""Servers by name: every address is tried, and another one is found without a reload."""

import contextlib
import socket

import pytest

from support.cluster import Cluster, wait_until
from support.names import Hosts, can_replace
from support.sluice import Sluice
from support.wire import Wire, startup

FAST = {"dns": {"max_age": "100ms"}}
ONLY_AFTER_FAILURES = {"dns": {"max_age": "0s"}}


class Named:
    """A backend that is reached by a name."""

    def __init__(self, host, port):
        self.host, self.port = host, port


@pytest.fixture(scope="module")
def server():
    made = Cluster("named", listen_addresses="127.0.0.1,127.0.0.3")
    yield made
    made.destroy()


@pytest.fixture
def hosts():
    if not can_replace():
        pytest.skip("needs CAP_SYS_ADMIN for a hosts file of its own")
    with contextlib.closing(Hosts()) as made:
        yield made


@contextlib.contextmanager
def proxy_for(server, hosts, config):
    sluice = Sluice({"blue": Named("db.example", server.port)}, config=config, start=False)
    sluice.preexec = hosts.enter
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.2", 0))  # nobody listens on the server's port there
        sluice.start()
        with sluice:
            yield sluice


def client(proxy):
    return Wire(proxy.host, proxy.port, "postgres")


def sqlstate_of_a_new_client(proxy):
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("postgres", "postgres"))
        message = wire.read(30)
        return message.sqlstate() if message.kind == "E" else None


def expect_served(proxy):
    wait_until(lambda: sqlstate_of_a_new_client(proxy) is None, "a server at its new address")
    with client(proxy) as wire:
        assert wire.value("SHOW cluster_name") == "named"


def test_every_address_of_a_name_is_tried(server):
    """localhost is ::1 as well on most machines, where this server does not listen."""
    with Sluice({"blue": Named("localhost", server.port)}) as proxy, client(proxy) as wire:
        assert wire.value("SHOW cluster_name") == "named"


def test_a_failed_connection_finds_the_new_address(server, hosts):
    hosts.set(**{"db.example": ["127.0.0.2"]})
    with proxy_for(server, hosts, ONLY_AFTER_FAILURES) as proxy:
        assert sqlstate_of_a_new_client(proxy) == "57P03"
        hosts.set(**{"db.example": ["127.0.0.2", "127.0.0.3"]})
        assert sqlstate_of_a_new_client(proxy) in ("57P03", None)
        expect_served(proxy)
        assert f"127.0.0.3:{server.port}" in proxy.log_text()


def test_a_name_that_means_nothing_at_the_start_is_found_later(server, hosts):
    with proxy_for(server, hosts, FAST) as proxy:
        assert sqlstate_of_a_new_client(proxy) == "57P03"
        hosts.set(**{"db.example": ["127.0.0.3"]})
        expect_served(proxy)


def test_age_alone_finds_it_and_the_last_good_answer_stays(server, hosts):
    hosts.set(**{"db.example": ["127.0.0.1"]})
    with proxy_for(server, hosts, FAST) as proxy, client(proxy) as living:
        hosts.set(**{"db.example": ["127.0.0.3"]})
        moved = f"db.example is now 127.0.0.3:{server.port}"
        wait_until(lambda: moved in proxy.log_text(), "the new address")
        assert living.value("SHOW cluster_name") == "named", "sessions stay where they are"
        hosts.set()
        wait_until(lambda: "cannot resolve" in proxy.log_text(), "a name that is gone")
        expect_served(proxy)


def test_addresses_stay_while_a_pause_waits(server, hosts):
    hosts.set(**{"db.example": ["127.0.0.1"]})
    config = {**FAST, "log": {"level": "debug"}}
    with proxy_for(server, hosts, config) as proxy, client(proxy) as busy:
        busy.run("BEGIN")
        pause = proxy.ctl_start("pause", "--timeout", "20s")
        proxy.wait_status(lambda s: s["gate"] == "draining", "a pause that waits")
        hosts.set(**{"db.example": ["127.0.0.3"]})
        wait_until(lambda: "backend_move_waits" in proxy.log_text(), "a new address that waits")
        assert "is now" not in proxy.log_text()
        busy.run("COMMIT")
        assert pause.finish()[0] == 0
        wait_until(lambda: "is now" in proxy.log_text(), "the new address afterwards")
