# ctest: serial
"""A plan of one cutover: what it changes, hooks, attempts, and the limit of a pause."""

import contextlib

import pytest
import yaml

from support import cutover_world
from support.cutover_world import DB, connect, cutover, one, proxy_for, side
from support.ledger import Ledger


@pytest.fixture(scope="module")
def lasting():
    """A pair for cutovers that do not happen."""
    with cutover_world.logical_pair() as pair:
        yield pair


@pytest.fixture
def pair():
    with cutover_world.logical_pair() as made:
        yield made


@pytest.fixture
def plan(tmp_path):
    """Writes a plan and returns the arguments that name it."""
    def write(text):
        path = tmp_path / "plan.yaml"
        path.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return "--plan", str(path)
    return write


def log_to(path):
    return f'echo "$PGSLUICE_FROM $PGSLUICE_TO $PGSLUICE_TO_PORT ${{PGSLUICE_TEXT:-}}" >> {path}'


def steps_of(answer):
    return [step["step"] for step in answer["steps"]]


def test_a_wrong_plan_says_where(lasting, plan):
    with proxy_for(lasting, "logical") as proxy:
        code, answer = cutover(proxy, *plan("to: green\nattemps: 2\n"))
        assert code == 2 and "plan.yaml:2:1: unknown key \"attemps\"" in answer["error"]
        code, answer = cutover(proxy, "--plan", "/nowhere/plan.yaml")
        assert code == 2 and "/nowhere/plan.yaml:1:1" in answer["error"]
        code, answer = cutover(proxy, *plan("to: blue\n"))
        assert code == 2 and "a plan for a cutover to blue" in answer["error"]
        code, answer = cutover(proxy, *plan("from: green\n"))
        assert code == 4 and "the route is blue" in answer["error"]
        code, _answer = proxy.ctl("preflight", "--to", "green", *plan("nope: 1\n"), check=False)
        assert code == 2


def test_hooks_run_around_it_and_the_margin_is_left_out(pair, plan, tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as client:
        last = one(client, "SELECT nextval('ledger_id_seq')")
        code, answer = cutover(proxy, *plan({
            "before_command": log_to(before), "after_command": log_to(after),
            "sequence_margin": 1000, "verify_query": "SELECT count(*) >= 0 FROM public.ledger"}))
        assert code == 0, answer
        assert steps_of(answer)[1] == "before" and steps_of(answer)[-1] == "after"
        assert before.read_text() == after.read_text() == f"blue green {pair.new.port} \n"
        assert one(client, "SELECT nextval('ledger_id_seq')") == last + 1001


def test_a_verify_query_that_is_not_true_leads_back(lasting, plan, tmp_path):
    told = tmp_path / "told"
    with proxy_for(lasting, "logical") as proxy:
        code, answer = cutover(proxy, *plan({
            "verify_query": "SELECT count(*) < 0 FROM public.ledger",
            "abort_command": log_to(told)}))
        assert code == 1 and "verify_query is not true on green" in answer["error"]
        assert "verify_query is not true" in told.read_text()
        assert side(proxy) == "old"
        with contextlib.closing(connect(proxy)) as client:
            assert one(client, "SHOW default_transaction_read_only") == "off"


@pytest.mark.parametrize("keys, expected", [
    ({"before_command": "exit 3"}, "before_command ended with exit code 3"),
    ({"before_command": "sleep 60", "hook_timeout": "100ms"}, "did not end in time"),
    ({"verify_query": "SELECT nothing FROM nowhere"}, "nowhere"),
])
def test_what_cannot_succeed_ends_it_before_anybody_waits(lasting, plan, keys, expected):
    with proxy_for(lasting, "logical") as proxy:
        code, answer = cutover(proxy, *plan(keys))
        assert code in (1, 5) and expected in answer["error"], answer
        assert "drain" not in steps_of(answer)


def test_without_a_fence_the_old_server_keeps_writing(pair, plan):
    with proxy_for(pair, "logical") as proxy:
        code, answer = cutover(proxy, *plan({"fence": "none"}))
        assert code == 0 and "fence" not in steps_of(answer)
        assert pair.old.value("SHOW default_transaction_read_only") == "off"
        assert side(proxy) == "new"


def test_a_pause_that_cannot_complete_gives_up_after_its_attempts(lasting, plan):
    """Somebody is always in a transaction: nobody else stands still for longer than the limit."""
    limit_ms, attempts = 300, 3
    with proxy_for(lasting, "logical") as proxy, contextlib.closing(connect(proxy)) as busy, \
            Ledger(proxy, DB) as ledger:
        with busy.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 'the blocker'")
            code, answer = cutover(proxy, *plan({
                "long_transaction": "0s", "pause_limit": f"{limit_ms}ms", "attempts": attempts,
                "retry_after": "200ms"}))
            assert code == 5 and "(attempt 3 of 3)" in answer["error"]
            assert len(answer["rows"]) == 1 and "the blocker" in answer["rows"][0]
            assert answer["held_ms"] >= limit_ms
            cursor.execute("COMMIT")
        ledger.wait_for_progress()
        ledger.finish()
        assert ledger.errors() == []
        assert ledger.verdict(lasting.old) == []
        begun = [line for line in proxy.log_text().splitlines() if "step=begin" in line]
        assert len(begun) == attempts


def test_a_later_attempt_succeeds_and_an_abort_ends_the_wait_for_it(pair, plan):
    keys = {"long_transaction": "0s", "pause_limit": "200ms", "attempts": 3, "retry_after": "60m"}
    with proxy_for(pair, "logical") as proxy, contextlib.closing(connect(proxy)) as busy:
        cursor = busy.cursor()
        cursor.execute("BEGIN; SELECT 1")
        running = proxy.ctl_start("cutover", "--to", "green", *plan(keys))
        proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "retry", "a rest")
        assert proxy.status()["gate"] == "open"
        assert proxy.ctl("abort")[0] == 0
        assert running.finish()[0] == 5
        running = proxy.ctl_start("cutover", "--to", "green",
                                  *plan({**keys, "retry_after": "300ms"}))
        proxy.wait_status(lambda s: s["cutover"]["step"] == "retry", "a rest")
        cursor.execute("COMMIT")
        code, answer = cutover_world.answer_of(running.finish())
        assert code == 0, answer
        assert one(busy, "SHOW cluster_name") == "new"
