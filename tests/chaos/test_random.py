"""Cutovers that meet faults drawn at random, up to three in one run.

A run's seed decides everything that is drawn: the point where the proxy stands still (or a moment
after the command), and what happens there to the proxy and to the servers, as in FAULTS. Whatever
happened, one side is left, with every acknowledged row exactly once, and the command's answer,
where there was one, told which.

30 runs with the seeds from 1; PGSLUICE_CHAOS_RUNS and PGSLUICE_CHAOS_SEED ask for others.
"""

import os
import random
import time

import pytest

from support.chaos import World, go_on, stopped
from support.cluster import wait_until
from support.cutover_world import answer_of

RUNS = int(os.environ.get("PGSLUICE_CHAOS_RUNS", "30"))
FIRST = int(os.environ.get("PGSLUICE_CHAOS_SEED", "1"))
LONGEST_FREEZE_S = 1.0
LATEST_MOMENT_S = 0.4

WORLDS = {}


def world():
    """For the whole file; another one after a run that failed and left who knows what."""
    if "logical" not in WORLDS:
        WORLDS["logical"] = World("logical")
    return WORLDS["logical"]


class Run:
    """One cutover and what is done to it."""

    def __init__(self, proxy, dice):
        self.proxy, self.dice = proxy, dice
        self.command = proxy.ctl_start("cutover", "--to", "green", "--timeout", "4s")
        self.done = []

    def restart_proxy(self):
        self.proxy.kill9()
        self.proxy.start()

    def terminate_proxy(self):
        if stopped(self.proxy.process):
            go_on(self.proxy)
        self.proxy.stop()
        self.proxy.start()

    def kill_server(self, name):
        server = getattr(world().pair, name)
        server.kill9()
        self.wake()
        server.start()

    def freeze_server(self, name):
        server = getattr(world().pair, name)
        server.freeze()
        try:
            self.wake()
            time.sleep(self.dice.uniform(0, LONGEST_FREEZE_S))  # the fault is its length
        finally:
            server.thaw()

    def abort(self):
        self.wake()
        self.proxy.ctl("abort", check=False)

    def wake(self):
        if self.proxy.running() and stopped(self.proxy.process):
            go_on(self.proxy)

    def strike(self):
        name = self.dice.choice(sorted(FAULTS))
        self.done.append(name)
        FAULTS[name](self)


FAULTS = {
    "abort": Run.abort,
    "freeze new": lambda run: run.freeze_server("new"),
    "freeze old": lambda run: run.freeze_server("old"),
    "kill -9 new": lambda run: run.kill_server("new"),
    "kill -9 old": lambda run: run.kill_server("old"),
    "kill -9 proxy": Run.restart_proxy,
    "terminate proxy": Run.terminate_proxy,
}


def is_over(run):
    return stopped(run.proxy.process) or not run.command.running()


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_one_side_is_left(seed):
    dice = random.Random(seed)
    fault = dice.choice(world().faults()) if dice.random() < 0.7 else None
    with world().proxy(fault.plant("stop") if fault else "") as proxy, \
            world().load(proxy) as ledger:
        run = Run(proxy, dice)
        if fault:
            wait_until(lambda: is_over(run), f"the proxy at {fault.point}", 60)
        else:
            time.sleep(dice.uniform(0, LATEST_MOMENT_S))  # the fault is its moment
        for _ in range(dice.choice((1, 1, 2, 3))):
            run.strike()
        run.wake()
        code, answer = run.command.finish(100)
        print(f"seed {seed}: at {fault}: {', '.join(run.done)}; exit {code}")
        proxy.wait_status(lambda s: not s["cutover"] or s["cutover"]["outcome"] != "running",
                          "the end of the cutover", 60)
        committed = proxy.status()["route"] == "green"
        if "went away" not in str(answer):  # else there was nobody left to answer
            assert code in (0, 1, 5, 6)
            assert committed == (code in (0, 6)), answer_of((code, answer))
        assert committed or not (fault and fault.committed), "past the commit point"
        world().expect_one_side(proxy, ledger, committed)
