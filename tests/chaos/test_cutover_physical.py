"""Deaths around the promotion of a standby, which nothing can undo.

As with logical replication the commit record alone decides: without it the old server goes on, and
a standby that may have been promoted is left alone and named.
"""

import pytest

from support.chaos import World, die_at, go_on, stop_at
from support.cutover_world import answer_of

WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("physical"))
    return WORLD[0]


def faults_of(test):
    """From the last step on that is the same with both kinds of replication; the way back is."""
    found = [fault for fault in world().faults() if not fault.before]
    points = [fault.point for fault in found]
    found = found[points.index("cutover:catch_up:after"):]
    if test == "test_the_restart_finds_the_right_side":
        return found
    return [fault for fault in found if ":before" not in fault.point]


def test_the_restart_finds_the_right_side(fault):
    with world().proxy(fault.plant("kill")) as proxy, world().load(proxy) as ledger:
        die_at(proxy, fault.point)
        proxy.start()
        world().expect_one_side(proxy, ledger, fault.committed)


@pytest.mark.parametrize("victim", ["old", "new"])
def test_one_side_is_left_when_a_server_dies(fault, victim):
    with world().proxy(fault.plant("stop")) as proxy, world().load(proxy) as ledger:
        running = stop_at(proxy, fault.point)
        server = getattr(world().pair, victim)
        server.kill9()
        go_on(proxy)
        server.start()
        code, answer = answer_of(running.finish(100))
        committed = code in (0, 6)
        assert committed or code in (1, 5), answer
        assert committed or not fault.committed, "past the commit point there is no way back"
        if not committed and fault.point != "cutover:catch_up:after":
            assert "must be rebuilt" in answer["error"]
        world().expect_one_side(proxy, ledger, committed)
