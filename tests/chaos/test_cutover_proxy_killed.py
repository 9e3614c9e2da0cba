"""kill -9 of the proxy at every step and journal record of a cutover, then a restart.

Without a commit record everything is as before: the old server, writable. With one it is the new
server and the rest is done. Either way every acknowledged row is there, once, on that side.
"""

from support.chaos import World, die_at

WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("logical"))
    return WORLD[0]


def faults_of(_test):
    return world().faults()


def test_the_restart_finds_the_right_side(fault):
    with world().proxy(fault.plant("kill")) as proxy, world().load(proxy) as ledger:
        die_at(proxy, fault.point)
        proxy.start()
        world().expect_one_side(proxy, ledger, fault.committed)
        enabled = world().pair.new.value("SELECT subenabled FROM pg_subscription")
        assert enabled is not fault.committed
