"""`sluicectl abort` at every step of a cutover: before the commit point it leads back."""

from support.chaos import World
from support.cluster import wait_until
from support.cutover_world import answer_of, traced

WORLD = []


def world():
    if not WORLD:
        WORLD.append(World("logical"))
    return WORLD[0]


def faults_of(_test):
    return [fault for fault in world().faults() if fault.point.startswith("cutover:")]


def last_line(path):
    with open(path) as lines:
        return lines.read().split()[-1:]


def test_before_the_commit_point_it_leads_back(fault):
    with traced() as path, world().proxy(fault.plant("hold")) as proxy, \
            world().load(proxy) as ledger:
        running = proxy.ctl_start("cutover", "--to", "green")
        wait_until(lambda: last_line(path) == [fault.point], f"the cutover at {fault.point}")
        refused = proxy.ctl("abort", check=False)[0]
        code, answer = answer_of(running.finish())
        assert (refused, code) in ((0, 1), (4, 0)), answer
        # While the record is being written it is too late, too.
        too_late = fault.committed or fault.point == "cutover:commit:before"
        assert (code == 0) == too_late
        world().expect_one_side(proxy, ledger, code == 0)
