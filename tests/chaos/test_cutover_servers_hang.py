"""SIGSTOP of the old and of the new server before every step of a cutover, and on the way back.

The cutover ends at its deadline, or goes on; when the server goes on too, one side is left.
"""

import pytest

from support.chaos import World, go_on, stop_at
from support.cluster import stopped, wait_until
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


def stop_in_time(proxy, point):
    """A cutover that stands still at the point. A hung server uses up all the time there is, so it
    is short; one that was too short to come to the point is followed by a longer one."""
    for seconds in (2, 4, 8, 16, 32):
        running = proxy.ctl_start("cutover", "--to", "green", "--timeout", f"{seconds}s")
        wait_until(lambda: stopped(proxy.process.pid) or not running.running(), point, 60)
        if running.running():
            return running
        code, answer = answer_of(running.finish())
        assert code == 5, answer
    raise AssertionError(f"no cutover came to {point}")


@pytest.mark.parametrize("victim", ["old", "new"])
def test_one_side_is_left(fault, victim):
    with world().proxy(fault.plant("stop")) as proxy, world().load(proxy) as ledger:
        running = stop_in_time(proxy, fault.point)
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


def test_abort_ends_a_wait_for_a_server_that_hangs():
    with world().proxy("cutover:catch_up:before=stop") as proxy, world().load(proxy) as ledger:
        running = stop_at(proxy, "cutover:catch_up:before")
        world().pair.new.freeze()
        try:
            go_on(proxy)
            assert proxy.ctl("abort")[0] == 0
            assert running.finish()[0] == 1
        finally:
            world().pair.new.thaw()
        world().expect_one_side(proxy, ledger, False)


def test_a_fence_that_cannot_be_taken_down_is_taken_down_by_a_restart():
    """The hold timeout ends the pause although the old server is gone."""
    with world().proxy("cutover:catch_up:before=stop",
                       hold={"timeout": "1500ms", "notice_after": "1s"}) as proxy, \
            world().load(proxy) as ledger:
        running = stop_at(proxy, "cutover:catch_up:before")
        old = world().pair.old
        old.kill9()
        go_on(proxy)
        proxy.wait_status(lambda s: s["gate"] == "open", "an open gate in spite of it")
        assert proxy.ctl("abort")[0] == 0
        code, answer = answer_of(running.finish())
        assert code == 1 and "STILL REFUSES WRITES" in answer["error"]
        proxy.kill9()
        old.start()
        assert old.value("SHOW default_transaction_read_only") == "on"
        proxy.start()
        world().expect_one_side(proxy, ledger, False)
