"""`sluicectl admit --stages`: sets that are admitted one after the other, with guards."""

import os

import pytest

from support.cluster import Cluster, wait_until
from support.sluice import Sluice, faults
from support.stages import Load, events, states, wait_over, wait_state, write
from support.wire import Wire, query

INSIDE, LATER = "127.0.1.1", "127.0.2.1"
ONE, TWO = "127.0.1.0/24", "127.0.2.0/24"
STAGES = [{"admit": [ONE]}, {"admit": [ONE, TWO]}, {"admit": ["all"]}]


@pytest.fixture
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}, workers=2) as running:
        yield running


def admit(proxy, *words, **options):
    return proxy.ctl("admit", *words, **options)


def start(proxy, dwell, guards=(), stages=None, **more):
    plan = {"dwell": dwell, "stages": stages or STAGES, **more}
    if guards:
        plan["guards"] = guards
    return admit(proxy, "--stages", write(proxy, plan))[1]


def admitted(proxy):
    return sorted(proxy.status()["admission"]["set"])


def refused(proxy, *words):
    code, answer = proxy.ctl(*words, check=False)
    assert code == 4, answer
    return answer["error"]


def sets(proxy):
    return [data for kind, data in events(proxy) if kind == "admit"]


# --- the course of things -----------------------------------------------------------------------

def test_each_stage_is_admitted_after_the_other(proxy):
    with Wire(proxy.host, proxy.port, "postgres", source=INSIDE) as inside, \
            Wire(proxy.host, proxy.port, "postgres", source=LATER) as later:
        done = start(proxy, "1s")
        assert (done["gate"], done["inside"], done["outside"]) == ("staged", 1, 1)
        assert (done["stages"]["state"], done["stages"]["stage"], done["stages"]["of"]) == (
            "running", 1, 3)
        later.send(query("SELECT 'waited'"))
        assert inside.value("SELECT 1") == "1" and later.silent()
        wait_state(proxy, "running", 2)
        assert later.read_ready()[1].row() == [b"waited"]
        assert admitted(proxy) == [ONE, TWO]
        wait_over(proxy, "done")
        assert admitted(proxy) == ["all"] and proxy.status()["gate"] == "open"
    assert [(data["stage"], sorted(data["set"])) for data in sets(proxy)] == [
        (1, [ONE]), (2, [ONE, TWO]), (3, ["all"])]
    assert all(data["by"] for kind, data in events(proxy) if kind in ("admit", "stages"))
    assert admit(proxy, ONE)[0] == 0, "the set is the operator's again"


def test_people_see_how_far_it_is(proxy):
    assert proxy.status()["stages"] is None
    start(proxy, "1m", [{"held": {"max": 7}, "name": "waiting clients"}])
    text = proxy.ctl("status", json=False)[1]
    assert "stages of app:" in text and "waiting clients: 0, at most 7" in text
    shown = proxy.status()["stages"]
    assert 0 < shown["left_ms"] <= 60_000 and shown["guards"][0]["passes"] is True
    text = proxy.ctl("events", json=False)[1]
    assert "stage 1, of 3" in text and "begun" in text
    proxy.ctl("abort")


def test_pause_resume_skip_and_abort(proxy):
    start(proxy, "60m", refuse="later")
    assert admit(proxy, "--pause")[1]["stages"]["state"] == "paused"
    assert "stopped already" in refused(proxy, "admit", "--pause")
    assert admit(proxy, "--skip")[1]["stages"]["stage"] == 2
    assert proxy.status()["stages"]["state"] == "paused" and admitted(proxy) == [ONE, TWO]
    assert admit(proxy, "--resume")[1]["stages"]["state"] == "running"
    assert "were not paused" in refused(proxy, "admit", "--resume")
    assert proxy.ctl("abort")[1]["aborted"] == "stages"
    status = proxy.status()
    assert status["stages"]["outcome"] == "aborted"
    assert admitted(proxy) == [ONE, TWO], "the set stays"
    assert status["admission"]["message"] == "later"
    for word in "--pause", "--resume", "--skip":
        assert "in stages" in refused(proxy, "admit", word)
    start(proxy, "60m")
    for stage in 2, 3:
        assert admit(proxy, "--skip")[1]["stages"]["stage"] == stage
    assert admit(proxy, "--skip")[1]["stages"]["outcome"] == "done"
    assert states(proxy) == ["begun", "paused", "resumed", "over", "begun", "over"]


# --- guards -------------------------------------------------------------------------------------

def errors_guard(**more):
    return {"errors": {"classes": ["22"], "max": "10%"}, "over": "2s", "at_least": 5, **more}


def test_planted_errors_hold_the_stage(proxy):
    start(proxy, "2s", [errors_guard()])
    with Load(proxy, INSIDE, "SELECT 1/0"):
        held = wait_state(proxy, "held", 1)
        assert "answers were errors of class 22, at most 10%" in held["why"]
        assert held["guards"][0]["passes"] is False
    assert admitted(proxy) == [ONE]
    wait_state(proxy, "running", 2)
    held = next(data for kind, data in events(proxy) if data.get("state") == "held")
    assert "errors of class 22" in held["why"]
    proxy.ctl("abort")


def test_planted_errors_fall_back(proxy):
    start(proxy, "1s", [errors_guard(on_fail="fall_back")])
    wait_state(proxy, "running", 2)
    with Load(proxy, LATER, "SELECT 1/0"):
        back = wait_state(proxy, "fallen_back", 1)
        assert "errors of class 22" in back["why"]
        wait_until(lambda: any(r["state"] == "parked" for r in proxy.sessions()),
                   "the session that is outside again")
        assert admitted(proxy) == [ONE]
        last = sets(proxy)[-1]
        assert last["stage"] == 1 and last["why"].startswith("fell back: errors: ")
        admit(proxy, "--resume")
        wait_state(proxy, "fallen_back", 1)
        assert [data["stage"] for data in sets(proxy)] == [1, 2, 1, 2, 1]
    proxy.ctl("abort")


def test_other_errors_do_not_count(proxy):
    start(proxy, "1s", [errors_guard(on_fail="fall_back")])
    with Load(proxy, INSIDE, "SELECT nothing"):
        wait_over(proxy, "done")


def test_errors_are_counted_in_both_query_protocols_and_by_read_only_sessions(proxy):
    proxy.ctl("readonly", "on", "--fence", "none")
    guards = [{"errors": {"classes": ["25"], "max": "10%"}, "at_least": 5}]
    start(proxy, "1s", guards)
    with Load(proxy, INSIDE, "CREATE TABLE never (i int)"):
        assert "of class 25" in wait_state(proxy, "held", 1)["why"]
    proxy.ctl("abort")
    proxy.ctl("readonly", "off")


def test_slow_answers_fall_back(proxy):
    guard = {"latency": {"quantile": 90, "factor": 3}, "at_least": 3, "on_fail": "fall_back"}
    start(proxy, "1s", [guard])
    assert "of 3 answers for the baseline" in proxy.status()["stages"]["guards"][0]["guard"]
    with Load(proxy, INSIDE, "SELECT pg_sleep(0.002)") as inside:
        wait_state(proxy, "running", 2)
        inside.sql = "SELECT pg_sleep(0.1)"
        back = wait_state(proxy, "fallen_back", 1)
        assert "latency: p90 of" in back["why"] and "at most" in back["why"]
    proxy.ctl("abort")


def test_held_clients_and_connections_are_counted(proxy):
    guards = [{"backend_connections": {"max": 1}}]
    with Wire(proxy.host, proxy.port, "postgres", source=INSIDE), \
            Wire(proxy.host, proxy.port, "postgres", source=INSIDE) as second:
        start(proxy, "500ms", guards)
        assert wait_state(proxy, "held")["why"] == "backend_connections: 2, at most 1"
        second.close()
        wait_over(proxy, "done")


def test_statements_and_commands_are_asked(proxy, blue, green):
    blue.query("CREATE TABLE lag AS SELECT 5 AS bytes")
    green.query("CREATE TABLE lag AS SELECT 5 AS bytes")
    flag = os.path.join(proxy.top, "fine")
    with open(flag, "w"):
        pass
    guards = [{"name": "lag", "sql": {"query": "SELECT max(bytes) FROM public.lag", "max": 10},
               "every": "100ms"},
              {"name": "there", "sql": {"query": "SELECT true", "backend": "green"}},
              {"name": "flag", "command": {"run": f"test -e {flag}"}, "every": "100ms"}]
    start(proxy, "2s", guards)
    wait_state(proxy, "running", 2)
    blue.query("UPDATE lag SET bytes = 11")
    assert wait_state(proxy, "held")["why"] == "lag: 11, at most 10"
    blue.query("UPDATE lag SET bytes = 10")
    wait_state(proxy, "running")
    os.unlink(flag)
    assert wait_state(proxy, "held")["why"] == "flag: it ended with exit code 1"
    with open(flag, "w"):
        pass
    wait_over(proxy, "done")
    blue.query("DROP TABLE lag")
    green.query("DROP TABLE lag")


def test_a_statement_that_fails_or_takes_long_does_not_pass(proxy, blue):
    guard = {"name": "it", "sql": {"query": "SELECT missing"}, "every": "100ms"}
    start(proxy, "1s", [guard])
    assert 'column "missing" does not exist' in wait_state(proxy, "held")["why"]
    proxy.ctl("abort")
    slow = {"sql": {"query": "SELECT pg_sleep(60)"}, "timeout": "100ms", "every": "100ms"}
    start(proxy, "1s", [slow])
    wait_state(proxy, "held")
    assert admit(proxy, "--skip")[1]["stages"]["stage"] == 2, "commands do not wait for guards"
    proxy.ctl("abort")
    writes = {"sql": {"query": "CREATE TABLE never (i int)"}}
    start(proxy, "1s", [writes])
    assert "read-only transaction" in wait_state(proxy, "held")["why"]
    proxy.ctl("abort")


def test_lost_servers_are_errors_of_class_08():
    with Cluster("lost") as server, Sluice({"blue": server}) as proxy:
        guard = {"errors": {"classes": ["08"], "max": "0%"}, "at_least": 1}
        start(proxy, "60m", [guard])
        with Wire(proxy.host, proxy.port, "postgres", source=INSIDE):
            server.kill9()
            assert "of class 08" in wait_state(proxy, "held")["why"]


# --- beside the rest ----------------------------------------------------------------------------

def test_what_a_run_bars_and_what_it_does_not(proxy):
    start(proxy, "60m")
    path = write(proxy, {"stages": STAGES, "dwell": "60m"})
    for words in (["admit", "all"], ["admit", "--stages", path], ["cutover", "--to", "green"],
                  ["retarget", "green"], ["rollback"]):
        assert "in stages; abort ends that" in refused(proxy, *words), words
    assert proxy.ctl("drain")[0] == 0
    assert proxy.ctl("readonly", "on", "--fence", "none")[0] == 0
    assert proxy.ctl("readonly", "off")[0] == 0
    assert proxy.ctl("reload")[0] == 0
    assert proxy.ctl("pause")[0] == 0 and proxy.status()["gate"] == "paused"
    assert proxy.status()["stages"]["state"] == "running"
    assert admit(proxy, "--skip")[1]["stages"]["stage"] == 2
    assert proxy.ctl("resume")[1]["gate"] == "staged"
    proxy.ctl("abort")
    assert proxy.ctl("retarget", "green")[0] == 0


def test_a_run_waits_for_operations_and_stands_still_behind_a_closed_gate(proxy):
    with Wire(proxy.host, proxy.port, "postgres", source=INSIDE) as busy:
        busy.run("BEGIN")
        start(proxy, "300ms")
        pause = proxy.ctl_start("pause", "--timeout", "1m")
        proxy.wait_status(lambda s: s["gate"] == "draining", "a pause under way")
        assert "a pause is running" in refused(proxy, "admit", "--skip")
        assert proxy.ctl("abort")[1]["aborted"] == "pause", "the operation comes first"
        assert pause.finish()[0] == 1
        busy.run("COMMIT")
    assert proxy.ctl("pause")[0] == 0
    before = proxy.status()["stages"]
    wait_until(lambda: proxy.status()["stages"]["since_ms"] > before["since_ms"] + 500, "time")
    now = proxy.status()["stages"]
    assert (now["stage"], now["left_ms"]) == (before["stage"], before["left_ms"])
    proxy.ctl("resume")
    wait_over(proxy, "done")


def test_a_cutover_under_way_bars_stages(proxy):
    with Wire(proxy.host, proxy.port, "postgres", source=INSIDE) as busy:
        busy.run("BEGIN")
        move = proxy.ctl_start("retarget", "green")
        proxy.wait_status(lambda s: s["cutover"], "a retarget under way")
        path = write(proxy, {"stages": STAGES, "dwell": "60m"})
        assert "a retarget is running" in refused(proxy, "admit", "--stages", path)
        busy.run("COMMIT")
        assert move.finish()[0] == 0
    assert proxy.status()["stages"] is None


# --- crashes ------------------------------------------------------------------------------------

def test_after_a_crash_the_last_stage_stands_and_the_run_is_over(proxy):
    start(proxy, "500ms", stages=STAGES[:2] + [{"admit": ["all"], "dwell": "60m"}])
    wait_state(proxy, "running", 2)
    admit(proxy, "--pause")
    proxy.kill9()
    proxy.start()
    status = proxy.status()
    assert admitted(proxy) == [ONE, TWO] and status["gate"] == "staged"
    assert (status["stages"]["state"], status["stages"]["outcome"], status["stages"]["stage"]) == (
        "over", "restart", 2)
    assert "restarted" in status["stages"]["why"]
    assert "in stages" in refused(proxy, "admit", "--resume")
    proxy.restart()
    assert proxy.status()["stages"] is None, "told once"
    assert [data["outcome"] for _, data in events(proxy) if "outcome" in data] == ["restart"]
    assert start(proxy, "60m")["stages"]["stage"] == 1


@pytest.mark.parametrize("point, after", [("journal_before:admit", ONE),
                                          ("journal_after:admit", TWO)])
def test_killed_amid_a_stage_change_the_journal_decides(blue, point, after):
    with Sluice({"blue": blue}) as proxy:
        start(proxy, "60m")
        proxy.stop()
        assert proxy.start().status()["stages"] is None, "a shutdown ends it in order"
        assert admitted(proxy) == [ONE]
        proxy.stop()
        with faults(f"{point}=kill"):
            proxy.start()
            path = write(proxy, {"stages": [{"admit": [TWO]}]})
            code, _ = admit(proxy, "--stages", path, check=False)
        assert code == 6
        wait_until(lambda: not proxy.running(), "its end")
        proxy.start()
        status = proxy.status()
        assert admitted(proxy) == [after]
        assert status["stages"]["outcome"] == "restart"


# --- files --------------------------------------------------------------------------------------

@pytest.mark.parametrize("text, place", [
    ("stages:\n  - admit: [10.0.0.1/8]\n", ':2:13: stage 1.admit: "10.0.0.1/8" has bits set'),
    ("stages: [{admit: [all]}]\nguards: [{held: {max: many}}]\n", ":2:23: a guard.held.max"),
    ("stages: [", ": YAML: "),
])
def test_what_is_wrong_with_a_file_is_told_with_its_place(proxy, text, place):
    path = write(proxy, text)
    code, answer = admit(proxy, "--stages", path, check=False)
    assert code == 2 and answer["error"].startswith(path) and place in answer["error"]
    assert admitted(proxy) == ["all"] and proxy.status()["stages"] is None


@pytest.mark.parametrize("words, text", [
    ([ONE, "--skip"], "admit takes one of RANGES"),
    (["--pause", "--resume"], "admit takes one of RANGES"),
    (["--stages", "f", "--refuse", "x"], "belong to RANGES"),
    ([], "admit needs RANGES"),
])
def test_bad_usage_is_told(proxy, words, text):
    code, answer = admit(proxy, *words, json=False, check=False)
    assert code == 2 and text in answer


def test_the_run_is_in_the_journal_before_its_first_set(proxy):
    start(proxy, "60m")
    assert [kind for kind, _ in events(proxy)] == ["route", "stages", "admit"]
