"""SIGSTOP of the old and of the new server before every step of a cutover, and on the way back.

The cutover ends at its deadline, or goes on; when the server goes on too, one side is left.
"""

import pytest

from support.chaos import World, go_on, stop_at
from support.cluster import wait_until
from support.cutover_world import answer_of

WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("logical"))
    return WORLD[0]


def faults_of(_test):
    return [fault for fault in world().faults() if fault.point.endswith(":before")]


def has_noticed(proxy, running):
    """The cutover is on its way back, is past the commit point, or has ended."""
    if not running.running():
        return True
    status = proxy.status()
    return status["route"] == "green" or status["cutover"]["step"] in ("abort", "unfence")


@pytest.mark.parametrize("victim", ["old", "new"])
def test_one_side_is_left(fault, victim):
    with world().proxy(fault.plant("stop")) as proxy, world().load(proxy) as ledger:
        running = stop_at(proxy, fault.point, "--timeout", "2s")
        server = getattr(world().pair, victim)
        server.freeze()
        try:
            go_on(proxy)
            wait_until(lambda: has_noticed(proxy, running), "the cutover to notice", 60)
        finally:
            server.thaw()
        code, answer = answer_of(running.finish(100))
        committed = code in (0, 6)
        assert committed or code in (1, 5), answer
        assert committed or not fault.committed, "past the commit point there is no way back"
        world().expect_one_side(proxy, ledger, committed)
