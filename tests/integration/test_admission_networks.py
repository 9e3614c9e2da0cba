"""Staged admission of clients in other networks: network namespaces, each with IPv4 and IPv6."""

import contextlib
import ctypes
import os
import subprocess

import pytest

from support.sluice import Sluice
from support.wire import Wire, query

CLONE_NEWNET = 0x40000000


class Network:
    """A network of one client, joined to ours by a cable of its own; needs root."""

    def __init__(self, number):
        self.name = f"sluice{os.getpid()}n{number}"
        self.ours, self.theirs = f"198.18.{number}.1", f"198.18.{number}.2"
        self.ours6, self.theirs6 = f"fd5b:{number}::1", f"fd5b:{number}::2"
        near, far = f"sl{os.getpid() % 100000}n{number}", f"sl{os.getpid() % 100000}f{number}"
        self._ip("netns", "add", self.name)
        try:
            self._ip("link", "add", near, "type", "veth", "peer", "name", far,
                     "netns", self.name)
            self._up([], near, self.ours, self.ours6)
            self._up(["-n", self.name], far, self.theirs, self.theirs6)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _ip(*words):
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)

    def _up(self, where, device, address, address6):
        self._ip(*where, "address", "add", f"{address}/24", "dev", device)
        self._ip(*where, "address", "add", f"{address6}/64", "dev", device, "nodad")
        self._ip(*where, "link", "set", device, "up")

    def connect(self, host, port):
        """A client from there: a socket stays in the network in which it was made."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as home, open(f"/run/netns/{self.name}") as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                return Wire(host, port, "postgres")
            finally:
                assert libc.setns(home.fileno(), CLONE_NEWNET) == 0

    def close(self):
        self._ip("netns", "delete", self.name)


@pytest.fixture(scope="module")
def networks():
    with contextlib.ExitStack() as made:
        try:
            both = [made.enter_context(contextlib.closing(Network(n))) for n in (71, 72)]
        except (OSError, subprocess.CalledProcessError) as why:
            pytest.skip(f"no network namespaces: {why}")
        yield both


def test_clients_are_admitted_by_the_network_they_come_from(blue, networks):
    one, two = networks
    with Sluice({"blue": blue}, workers=2, start=False) as proxy:
        for each in networks:
            proxy.service["listen"] += [f"{each.ours}:{proxy.port}", f"[{each.ours6}]:{proxy.port}"]
        proxy.write_config()
        proxy.start()
        wires = {}
        for each in networks:
            wires[each.theirs] = each.connect(each.ours, proxy.port)
            wires[each.theirs6] = each.connect(each.ours6, proxy.port)
        sets = [([f"{one.theirs}/32"], {one.theirs}),
                (["198.18.72.0/24", "fd5b:71::/64"], {two.theirs, one.theirs6}),
                (["fd5b::/16", "fd5b:72::/32=0%"], {one.theirs6}),
                (["198.18.0.0/15"], {one.theirs, two.theirs}),
                (["::/0", "198.18.71.2"], {one.theirs, one.theirs6, two.theirs6}),
                (["all"], set(wires))]
        for tokens, inside in sets:
            assert proxy.ctl("admit", *tokens)[1]["inside"] == len(inside), tokens
            for address, wire in wires.items():
                wire.send(query(f"SELECT '{address}'"))
            for address in inside:
                assert wires[address].read_ready()[1].row() == [address.encode()], tokens
            assert all(wires[each].silent(0.1) for each in set(wires) - inside), tokens
            proxy.ctl("admit", "all")
            for address in set(wires) - inside:
                assert wires[address].read_ready()[1].row() == [address.encode()]
        for wire in wires.values():
            wire.close()
