"""kill -9 of the proxy on the way back to a server that an earlier cutover has fenced.

Until the commit record that server is read-only again after the restart, and the other one serves.
And cutovers back and forth in a row: 6, or as many as PGSLUICE_CHAOS_CUTOVERS says.
"""

import os

import pytest

from support.chaos import LATE_FAILURE, expect_death, few_checks
from support.cutover_world import (DB, LastingLogicalPair, cutover, follow_back, logical_pair,
                                   proxy_for, side, traced)
from support.cluster import wait_until
from support.ledger import Ledger
from support.sluice import Sluice, faults

WORLD = []
CUTOVERS = int(os.environ.get("PGSLUICE_CHAOS_CUTOVERS", "6"))
REVERSE = {"kind": "logical", "subscription": "app_sub", "reverse": "on"}


def world():
    """A pair and a proxy after a cutover from old to new; old follows new by now."""
    if not WORLD:
        pair = LastingLogicalPair()
        proxy = proxy_for(pair, "logical", service={"checks": few_checks()})
        assert cutover(proxy)[0] == 0
        follow_back(pair)
        WORLD.extend([pair, proxy])
    return WORLD


def faults_of(_test):
    """Every point that is passed until it is too late to go back, and those of going back."""
    _, proxy = world()
    with traced() as path:
        begin_with(proxy, LATE_FAILURE)
        assert cutover(proxy, to="blue")[0] == 1
        with open(path) as lines:
            found = list(dict.fromkeys(lines.read().split()))
    assert "cutover:lift:before" in found and "cutover:undo_lift:after" in found
    return found


def begin_with(proxy, planted):
    if proxy.running():
        proxy.stop()
    with faults(planted):
        proxy.start()


def is_fenced(server):
    return server.value("SHOW default_transaction_read_only") == "on"


def test_the_fences_are_as_before(fault):
    pair, proxy = world()
    begin_with(proxy, f"{LATE_FAILURE},{fault}=kill" if "undo" in fault or "abort" in fault
               else f"{fault}=kill")
    with Ledger(proxy, DB, writers=4) as ledger:
        running = proxy.ctl_start("cutover", "--to", "blue")
        expect_death(proxy, fault)
        running.finish()
        proxy.start()
        ledger.wait_for_progress()
    proxy.wait_status(lambda s: not s["cutover"] or s["cutover"]["outcome"] != "running",
                      "the end of the recovery")
    assert ledger.verdict(pair.new, pair.old) == []
    assert (proxy.status()["route"], side(proxy)) == ("green", "new")
    assert not is_fenced(pair.new)
    assert is_fenced(pair.old)
    wait_until(lambda: pair.new.value("SELECT bool_and(active) FROM pg_replication_slots"),
               "replication")


def test_a_cutover_back_that_is_left_alone_arrives():
    pair, proxy = world()
    begin_with(proxy, "")
    with Ledger(proxy, DB, writers=4) as ledger:
        code, answer = cutover(proxy, to="blue")
        assert code == 0, answer
        ledger.wait_for_progress()
    assert ledger.verdict(pair.old, pair.new) == []
    assert not is_fenced(pair.old) and is_fenced(pair.new)
    proxy.stop()


@pytest.mark.deadline(60 + 5 * CUTOVERS)
def test_back_and_forth_in_a_row_without_an_error():
    """Nobody's hand between them: each prepares the way of the next."""
    with logical_pair(wal_retrieve_retry_interval="100ms") as pair, \
            Sluice({"blue": pair.old, "green": pair.new}, dbname=DB, replication=REVERSE,
                   service={"checks": few_checks()}) as proxy:
        servers = {"blue": pair.old, "green": pair.new}
        with Ledger(proxy, DB, writers=4) as ledger:
            for number in range(CUTOVERS):
                to = "blue" if number % 2 else "green"
                code, answer = cutover(proxy, to=to)
                assert code == 0, (number, answer)
                assert "follow_back" in [step["step"] for step in answer["steps"]]
                ledger.wait_for_progress()
        assert ledger.errors() == []
        left = "green" if to == "blue" else "blue"
        assert ledger.verdict(servers[to], servers[left]) == []
        assert is_fenced(servers[left]) and not is_fenced(servers[to])
        assert proxy.status()["generation"] == 1 + CUTOVERS
