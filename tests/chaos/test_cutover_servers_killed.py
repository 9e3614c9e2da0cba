"""kill -9 of the old and of the new server after every step and journal record of a cutover.

Whatever the cutover then answers is true: with 0 or 6 the new server is the truth, else the old
one. It has every acknowledged row exactly once, and clients go on there.
"""

import pytest

from support.chaos import World, go_on, stop_at
from support.cutover_world import answer_of

WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("logical"))
    return WORLD[0]


def faults_of(_test):
    """Where a step or a record ends, the next begins."""
    return [fault for fault in world().faults() if ":before" not in fault.point]


@pytest.mark.parametrize("victim", ["old", "new"])
def test_one_side_is_left(fault, victim):
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
        assert not (committed and fault.before), "it was to fail"
        world().expect_one_side(proxy, ledger, committed)
