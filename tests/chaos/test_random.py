"""Cutovers that meet faults drawn at random, up to three in one run.

A run's seed decides everything that is drawn: the point where the proxy stands still (or a moment
after the command), and what happens there to the proxy, to the servers and to what is between them;
README.md has the table. Whatever happened, one side is left, with every acknowledged row exactly
once, and the command's answer, where there was one, told which.

30 runs with the seeds from 1; PGSLUICE_CHAOS_RUNS and PGSLUICE_CHAOS_SEED ask for others.
"""

import os
import time

import pytest

from support.chaos import World
from support.cluster import stopped, wait_until
from support.sluice import REPOSITORY
from support.strikes import FAULTS, Run, settled

RUNS = int(os.environ.get("PGSLUICE_CHAOS_RUNS", "30"))
FIRST = int(os.environ.get("PGSLUICE_CHAOS_SEED", "1"))
LATEST_MOMENT_S = 0.4

WORLDS = {}


def world():
    """For the whole file; another one after a run that failed and left who knows what."""
    if "logical" not in WORLDS:
        WORLDS["logical"] = World("logical", wired=True)
    return WORLDS["logical"]


@pytest.fixture(autouse=True)
def fresh_world_after_a_failure(request):
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed and "logical" in WORLDS:
        WORLDS.pop("logical").pair.destroy()


def is_over(run):
    return stopped(run.proxy.process.pid) or not run.commands[0].running()


def told(answer):
    code, text = answer
    return f"exit {code} {text.get('error', '') if isinstance(text, dict) else text}"


def expect_truth(answers, committed):
    """What was answered is true; who was refused (4) or lost the daemon was told nothing."""
    codes = [code for code, answer in answers if "went away" not in str(answer)]
    assert set(codes) <= {0, 1, 3, 4, 5, 6}, answers
    moved = any(code in (0, 6) for code in codes)
    assert committed or not moved, answers
    assert moved or not committed or len(codes) < len(answers), answers


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_one_side_is_left(seed):
    run = Run(world(), seed)
    fault = run.dice.choice(world().faults()) if run.dice.random() < 0.7 else None
    planted = fault.plant("stop") if fault else ""
    with world().proxy(planted, run.surroundings, service=run.service(),
                       number=seed) as proxy, \
            world().load(proxy) as ledger:
        try:
            run.begin()
            reached = False
            if fault:
                wait_until(lambda: is_over(run), f"the proxy at {fault.point}", 60)
                reached = stopped(proxy.process.pid)
            else:
                time.sleep(run.dice.uniform(0, LATEST_MOMENT_S))  # the fault is its moment
            for _ in range(run.dice.choice((1, 1, 2, 3))):
                run.strike()
            answers = run.finish()
            print(f"seed {seed}: at {fault}: {', '.join(run.done)};", *map(told, answers),
                  *run.left_out)
            committed = settled(proxy)["route"] == "green"
            expect_truth(answers, committed)
            assert committed or not (reached and fault.committed), "past the commit point"
            world().expect_one_side(proxy, ledger, committed)
        finally:
            run.close()


def test_the_readme_lists_every_fault():
    with open(os.path.join(REPOSITORY, "tests", "chaos", "README.md")) as page:
        text = page.read()
    assert [name for name in FAULTS if f"`{name}`" not in text] == []
