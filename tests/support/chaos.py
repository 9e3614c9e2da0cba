"""Cutovers that meet a fault at a point, and what must hold afterwards, whatever it was.

The points are not listed here: a cutover that goes well and one that fails late are run once with
PGSLUICE_FAULT_TRACE, and every point that they pass is taken, in order.
"""

import collections
import contextlib
import os
import signal

from .cluster import stopped, wait_until
from .cutover_world import (DB, LastingLogicalPair, LastingPhysicalPair, WiredLogicalPair, connect,
                            cutover, one, proxy_for, side, traced)
from .guardrails import checks_of_the_table
from .ledger import Ledger
from .sluice import faults

# Written is enough: a record that reached the kernel survives the death of the process.
COMMITTED = "journal_written:cutover_committed"
# How clients may be told that their connection is over; nothing else may reach them: neither 25006
# nor a duplicate key of a sequence that was left behind.
ENDED = ("None", "57P01", "57P02", "57P03", "08006")
# The checks that a cutover between servers under a fault needs. The others compare schemas and rows
# of servers that are made alike here, for longer than all the rest of a cutover takes; they have
# tests of their own, and every tenth cutover makes all of them.
NEEDED_CHECKS = {"login", "reach", "old-server", "new-server", "one-server", "connections",
                 "read-only", "privileges", "configuration", "prepared-transactions",
                 "same-cluster", "standby", "subscription", "slot", "tables"}
ALL_CHECKS_EVERY = 10
# What makes a cutover fail as late as it can, for the points on the way back.
LATE_FAILURE = "cutover:commit:before=error"


class Fault(collections.namedtuple("Fault", "point before committed")):
    """A point, what has to be planted for it to be passed, and whether it is past the commit."""

    def __str__(self):
        return self.point

    def plant(self, action):
        return ",".join([*([self.before] if self.before else []), f"{self.point}={action}"])


def few_checks():
    """Levels that leave out what is not needed."""
    return {name: "off" for name in checks_of_the_table() if name not in NEEDED_CHECKS}


class World:
    """One pair for all faults of a file. `kind` is that of the replication; `wired`: so that it can
    be cut."""

    def __init__(self, kind, wired=False):
        self.kind = kind
        self.pair = {"logical": WiredLogicalPair if wired else LastingLogicalPair,
                     "physical": LastingPhysicalPair}[kind]()
        self.fresh = True
        self.proxies = 0
        self._faults = None

    def proxy(self, planted="", prepare=None, **settings):
        """A proxy before a pair that no fault has touched yet; `prepare` may do something about it
        before it starts. `number` counts the proxies where their order is not to matter."""
        if not self.fresh:
            self.pair.rewind()
        self.fresh = False
        service = settings.pop("service", {})
        if settings.pop("number", self.proxies) % ALL_CHECKS_EVERY != 0:
            service["checks"] = few_checks()
        self.proxies += 1
        proxy = proxy_for(self.pair, self.kind, start=False, service=service, **settings)
        if prepare is not None:
            prepare(proxy)
        with faults(planted):
            proxy.start()
        return proxy

    def faults(self):
        """Every point of a cutover that goes well, then those of the way back."""
        if self._faults is None:
            forward = self.points("")
            commit = forward.index(COMMITTED)
            self._faults = [Fault(point, "", at >= commit) for at, point in enumerate(forward)]
            back = self.points(LATE_FAILURE)
            self._faults += [Fault(point, LATE_FAILURE, False) for point in back
                             if point not in forward]
            assert len(self._faults) > len(forward) > 20
        return self._faults

    def points(self, planted):
        with traced() as path, self.proxy(planted) as proxy, \
                contextlib.closing(connect(proxy)) as client:
            one(client, "SELECT 1")
            begun = os.path.getsize(path)
            assert cutover(proxy)[0] == (1 if planted else 0)
            with open(path) as lines:
                lines.seek(begun)
                return list(dict.fromkeys(lines.read().split()))

    def load(self, proxy):
        return Ledger(proxy, DB, writers=4)

    def expect_one_side(self, proxy, ledger, committed):
        """Everybody goes on, on the right side, which has every acknowledged row exactly once; and
        a restart says the same."""
        truth, other = (self.pair.new, self.pair.old) if committed else (self.pair.old,
                                                                         self.pair.new)
        ledger.wait_for_progress()
        ledger.finish()
        proxy.wait_status(lambda s: not s["cutover"] or s["cutover"]["outcome"] != "running",
                          "the end of the cutover", 60)
        assert ledger.errors_beside(ENDED) == []
        assert ledger.verdict(truth, other) == []
        if proxy.running():
            proxy.restart()
        status = proxy.status()
        assert (status["route"], status["generation"], status["gate"]) == \
            (("green", 2, "open") if committed else ("blue", 1, "open"))
        assert side(proxy) == truth.name
        with contextlib.closing(connect(proxy)) as client:
            one(client, "INSERT INTO ledger (key) VALUES ('a new client') RETURNING id")
        fence = self.pair.old.value("SHOW default_transaction_read_only")
        assert fence == ("on" if committed else "off")


def stop_at(proxy, point):
    """A cutover that stands still, with the whole proxy, at the point."""
    running = proxy.ctl_start("cutover", "--to", "green")
    wait_until(lambda: stopped(proxy.process.pid), f"the proxy to stop at {point}", 60)
    return running


def go_on(proxy):
    os.kill(proxy.process.pid, signal.SIGCONT)


def die_at(proxy, point):
    """Runs a cutover into a point that kills; returns when the daemon is dead."""
    running = proxy.ctl_start("cutover", "--to", "green")
    expect_death(proxy, point)
    assert running.finish()[0] != 0


def expect_death(proxy, point):
    wait_until(lambda: not proxy.running(), f"kill -9 at {point}", 60)
    assert proxy.process.wait() == -signal.SIGKILL
