"""A restart that has to finish a cutover, and is disturbed in that."""

import contextlib

from support.chaos import World, die_at, expect_death
from support.cluster import wait_until
from support.cutover_world import traced
from support.sluice import faults

WORLD = []
# Where the first process dies: before the commit record and after it.
DEATHS = {"cutover:fence:after": False, "journal_after:cutover_committed": True}


def world():
    if not WORLD:
        WORLD.append(World("logical"))
    return WORLD[0]


def points_of_recovery(death):
    with world().proxy(f"{death}=kill") as proxy:
        die_at(proxy, death)
        with traced() as path:
            proxy.start()
            recovered(proxy)
            with open(path) as lines:
                return list(dict.fromkeys(lines.read().split()))


def recovered(proxy):
    proxy.wait_status(lambda s: s["cutover"]["outcome"] != "running", "the end of the recovery")


def faults_of(_test):
    """(where the first process dies, where the second one does)."""
    return [Twice(death, point) for death in DEATHS for point in points_of_recovery(death)]


class Twice:
    def __init__(self, first, second):
        self.first, self.second = first, second

    def __str__(self):
        return f"{self.first}-{self.second}"


def test_a_recovery_that_is_killed_is_finished_by_the_next(fault):
    with world().proxy(f"{fault.first}=kill") as proxy, world().load(proxy) as ledger:
        die_at(proxy, fault.first)
        with faults(f"{fault.second}=kill"):
            proxy.start(wait=False)
        expect_death(proxy, fault.second)
        proxy.start()
        world().expect_one_side(proxy, ledger, DEATHS[fault.first])


@contextlib.contextmanager
def recovering_from_a_frozen_server(proxy):
    """The proxy died with the old server fenced, and that server does not answer when it is back:
    the recovery tries on, the gate is closed."""
    die_at(proxy, "cutover:fence:after")
    old = world().pair.old
    old.freeze()
    try:
        proxy.start(wait=False)
        wait_until(lambda: proxy.ctl("status", check=False)[0] == 0, "the control socket")
        proxy.wait_status(lambda s: s["gate"] != "open" and s["cutover"]["step"] == "abort",
                          "a recovery under way")
        yield
    finally:
        old.thaw()


def test_clients_are_held_until_the_fence_is_gone():
    with world().proxy("cutover:fence:after=kill") as proxy, world().load(proxy) as ledger:
        with recovering_from_a_frozen_server(proxy):
            assert proxy.status()["gate"] != "open"
        world().expect_one_side(proxy, ledger, False)


def test_sigterm_ends_a_recovery_that_hangs_and_the_next_start_does_the_rest():
    """hold.timeout is two minutes: stop() would not wait that long."""
    with world().proxy("cutover:fence:after=kill") as proxy, world().load(proxy) as ledger:
        with recovering_from_a_frozen_server(proxy):
            proxy.stop()
        assert world().pair.old.value("SHOW default_transaction_read_only") == "on"
        proxy.start()
        world().expect_one_side(proxy, ledger, False)


def test_sigterm_in_the_pause_takes_the_fence_down_before_it_ends():
    with world().proxy("cutover:catch_up:before=hold") as proxy, world().load(proxy) as ledger:
        running = proxy.ctl_start("cutover", "--to", "green")
        proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "catch_up",
                          "the pause")
        proxy.stop()
        assert running.finish()[0] != 0
        assert world().pair.old.value("SHOW default_transaction_read_only") == "off"
        world().pair.old.query("INSERT INTO ledger (key) VALUES ('directly')", dbname="app")
        proxy.start()
        world().expect_one_side(proxy, ledger, False)
