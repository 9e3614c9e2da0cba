"""`sluicectl canary --stages`: sets whose clients go to another backend, one after the other."""

import pytest

from support.cluster import wait_until
from support.sluice import Sluice, faults
from support.stages import Load, events, states, wait_over, wait_state, write
from support.wire import Wire, errors_of

INSIDE, LATER = "127.0.1.1", "127.0.2.1"
ONE = "127.0.1.0/24"
STAGES = [{"admit": [ONE]}, {"admit": ["all"]}]

# What the same statement comes to on each of the servers.
ANSWERS = {"blue": "SELECT 1", "green": "SELECT 1 / 0"}
SLEEPS = {"blue": 0.001, "green": 0.05}


@pytest.fixture(scope="module", autouse=True)
def servers(blue, green):
    for name, server in (("blue", blue), ("green", green)):
        server.query(f"CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS '{ANSWERS[name]}'")
        server.query("CREATE FUNCTION slowly() RETURNS void LANGUAGE sql "
                     f"AS 'SELECT pg_sleep({SLEEPS[name]})'")


@pytest.fixture
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}, workers=2) as running:
        yield running


@pytest.fixture
def connect(proxy):
    """Opens connections that are closed at the end of the test."""
    opened = []

    def one(source=INSIDE, **options):
        opened.append(Wire(proxy.host, proxy.port, "postgres", source=source, **options))
        return opened[-1]

    yield one
    for wire in opened:
        wire.close()


def canary(proxy, *words, **options):
    return proxy.ctl("canary", *words, **options)


def start(proxy, dwell, guards=(), *words, stages=None):
    plan = {"dwell": dwell, "stages": stages or STAGES, "guards": list(guards)}
    if not guards:
        del plan["guards"]
    return canary(proxy, "--stages", write(proxy, plan), "--to", "green", *words)[1]


def errors_guard(**more):
    return {"errors": {"classes": ["22"], "max": "10%"}, "over": "5s", "at_least": 5,
            "on_fail": "fall_back", **more}


def side(wire):
    return wire.value("SHOW cluster_name")


def refused(proxy, *words):
    code, answer = proxy.ctl(*words, check=False)
    assert code == 4, answer
    return answer["error"]


def canaries(proxy):
    return [data for kind, data in events(proxy) if kind == "canary"]


# --- the course of things -----------------------------------------------------------------------

def test_everybody_gets_there_one_stage_after_the_other(proxy, connect):
    inside, later = connect(), connect(LATER)
    inside.run("PREPARE mine AS SELECT 'kept'")
    done = start(proxy, "2s")
    assert (done["canary"]["set"], done["canary"]["backend"]) == ([ONE], "green")
    assert (done["stages"]["what"], done["stages"]["stage"], done["stages"]["of"]) == (
        "canary", 1, 2)
    assert proxy.wait_status(lambda s: s["canary"]["sessions"] == 1, "the first to arrive")[
        "canary"]["elsewhere"] == 0
    assert (side(inside), side(later)) == ("green", "blue")
    assert (side(connect()), side(connect(LATER))) == ("green", "blue")
    assert errors_of(inside.run("CREATE TABLE never (i int)")) == ["25006"]
    wait_over(proxy, "done")
    proxy.wait_status(lambda s: s["canary"]["sessions"] == 4, "all of them on green")
    assert (side(inside), side(later), side(connect(LATER))) == ("green", "green", "green")
    assert inside.value("EXECUTE mine") == "kept"
    status = proxy.status()
    assert (status["canary"]["set"], status["route"]) == (["all"], "blue")
    assert [(data["stage"], data["of"], data["set"]) for data in canaries(proxy)] == [
        (1, 2, [ONE]), (2, 2, ["all"])]
    assert all(data["by"] for kind, data in events(proxy) if kind in ("canary", "stages"))
    assert [kind for kind, _ in events(proxy)] == ["route", "stages", "canary", "canary", "stages"]
    assert canary(proxy, "off")[0] == 0 and side(inside) == "blue"


def test_people_see_how_far_it_is(proxy):
    start(proxy, "1m", [{"held": {"max": 7}}], "--access", "read-write")
    text = proxy.ctl("status", json=False)[1]
    assert "stages of app:" in text and "canary of app:" in text and "elsewhere" in text
    shown = proxy.status()
    assert 0 < shown["stages"]["left_ms"] <= 60_000
    assert shown["canary"]["access"] == "read-write"
    assert "stage 1, of 2" in proxy.ctl("events", json=False)[1]


def test_pause_resume_skip_and_abort(proxy):
    start(proxy, "60m")
    assert canary(proxy, "--pause")[1]["stages"]["state"] == "paused"
    assert "stopped already" in refused(proxy, "canary", "--pause")
    assert canary(proxy, "--resume")[1]["stages"]["state"] == "running"
    assert canary(proxy, "--skip")[1]["stages"]["stage"] == 2
    assert proxy.status()["canary"]["set"] == ["all"]
    assert proxy.ctl("abort")[1]["aborted"] == "stages"
    assert proxy.status()["canary"]["set"] == ["all"], "the canary stays"
    for word in "--pause", "--resume", "--skip":
        assert "no canary in stages" in refused(proxy, "canary", word)
    assert states(proxy) == ["begun", "paused", "resumed", "over"]
    assert canary(proxy, "off")[0] == 0


def test_a_session_that_cannot_move_is_left_and_counted(proxy, connect):
    pinned, free = connect(), connect()
    pinned.run("CREATE TEMP TABLE mine (i int)")
    start(proxy, "500ms")
    proxy.wait_status(lambda s: s["canary"]["sessions"] == 1, "the other one")
    assert proxy.status()["canary"]["elsewhere"] == 1
    wait_over(proxy, "done")
    assert (side(pinned), side(free)) == ("blue", "green")


# --- guards -------------------------------------------------------------------------------------

def test_errors_there_fall_back_to_no_canary_and_say_why(proxy):
    start(proxy, "60m", [errors_guard()])
    with Load(proxy, INSIDE, "SELECT answer()"):
        back = wait_state(proxy, "fallen_back", 0)
        assert "answers were errors of class 22, at most 10%" in back["why"]
        proxy.wait_status(lambda s: s["canary"] is None, "everybody back on the route")
        assert {row["backend"] for row in proxy.sessions()} == {"blue"}
    last = canaries(proxy)[-1]
    assert (last["state"], last["stage"]) == ("off", 0)
    assert last["why"].startswith("fell back: errors: ")
    assert "in stages" in refused(proxy, "retarget", "green"), "it waits for the operator"
    assert canary(proxy, "--skip")[1]["stages"]["stage"] == 1
    assert proxy.status()["canary"]["set"] == [ONE]
    proxy.ctl("abort")


def test_from_a_later_stage_it_falls_back_to_the_one_before(proxy):
    start(proxy, "1s", [errors_guard()])
    wait_state(proxy, "running", 2)
    with Load(proxy, LATER, "SELECT answer()"):
        wait_state(proxy, "fallen_back", 1)
        wait_until(lambda: {row["backend"] for row in proxy.sessions()} == {"blue"}, "its way back")
    assert proxy.status()["canary"]["set"] == [ONE]


def test_from_the_first_stage_the_canary_before_comes_back(proxy):
    canary(proxy, "127.0.5.0/24", "--to", "green", "--access", "read-write")
    start(proxy, "60m", [errors_guard()])
    assert proxy.status()["canary"]["set"] == [ONE]
    with Load(proxy, INSIDE, "SELECT answer()"):
        wait_state(proxy, "fallen_back", 0)
    status = proxy.status()["canary"]
    assert (status["set"], status["access"]) == (["127.0.5.0/24"], "read-write")


def test_errors_on_the_route_are_not_the_canarys(proxy, connect):
    inside, later = connect(), connect(LATER)
    start(proxy, "60m", [errors_guard(over="5m")])
    proxy.wait_status(lambda s: s["canary"]["sessions"] == 1, "the move")
    for _ in range(50):
        assert errors_of(later.run("SELECT 1 / 0")) == ["22012"]
        assert errors_of(inside.run("SELECT 1")) == []
    reading = "errors: 0.0% of 50 answers were errors of class 22, at most 10%"
    proxy.wait_status(lambda s: s["stages"]["guards"][0]["guard"] == reading, "its answers alone")
    assert proxy.status()["stages"]["state"] == "running"


def test_errors_of_all_count_for_an_admission_beside_a_canary(proxy):
    canary(proxy, ONE, "--to", "green")
    path = write(proxy, {"stages": [{"admit": ["all"], "dwell": "60m"}], "guards": [
        errors_guard(on_fail="hold")]})
    proxy.ctl("admit", "--stages", path)
    with Load(proxy, INSIDE, "SELECT answer()"):
        assert "errors of class 22" in wait_state(proxy, "held")["why"]
    with Load(proxy, LATER, "SELECT 1"):
        wait_state(proxy, "running")
    with Load(proxy, LATER, "SELECT 1 / 0"):
        wait_state(proxy, "held")


def test_answers_that_are_slower_than_the_routes_fall_back(proxy):
    guard = {"latency": {"quantile": 90, "factor": 5}, "at_least": 3, "on_fail": "fall_back"}
    with Load(proxy, LATER, "SELECT slowly()"):
        start(proxy, "60m", [guard])
        with Load(proxy, INSIDE, "SELECT slowly()"):
            why = wait_state(proxy, "fallen_back", 0)["why"]
    assert "latency: p90 of" in why and "at most" in why


def test_connections_are_those_of_the_canary(proxy, connect):
    for source in (INSIDE, INSIDE, LATER, LATER, LATER):
        connect(source)
    start(proxy, "500ms", [{"backend_connections": {"max": 1}}], stages=[
        {"admit": [ONE], "dwell": "500ms"}])
    assert wait_state(proxy, "held", 1)["why"] == "backend_connections: 2, at most 1"


@pytest.mark.parametrize("is_live", [True, False])
def test_a_backend_out_of_reach_is_an_error_of_class_57(proxy, connect, green, is_live):
    guard = {"errors": {"classes": ["57"], "max": "0%"}, "at_least": 1, "on_fail": "fall_back"}
    live = [connect()] if is_live else []
    green.stop()
    try:
        start(proxy, "60m", [guard])
        if not is_live:
            live.append(connect())
        assert "errors of class 57" in wait_state(proxy, "fallen_back", 0)["why"]
        assert side(live[0]) == "blue", "nobody was told"
    finally:
        green.start()


# --- beside the rest ----------------------------------------------------------------------------

def test_what_a_run_bars_and_what_it_does_not(proxy):
    start(proxy, "60m")
    path = write(proxy, {"stages": STAGES, "dwell": "60m"})
    for words in (["canary", "off"], ["canary", ONE, "--to", "green"],
                  ["canary", "--stages", path, "--to", "green"], ["admit", "--stages", path],
                  ["cutover", "--to", "green"], ["retarget", "green"], ["rollback"]):
        assert "has a canary in stages; abort ends that" in refused(proxy, *words), words
    assert "admits nobody in stages" in refused(proxy, "admit", "--skip")
    assert proxy.ctl("admit", ONE)[0] == 0 and proxy.ctl("admit", "all")[0] == 0
    assert proxy.ctl("readonly", "on", "--fence", "none")[0] == 0
    assert proxy.ctl("readonly", "off")[0] == 0
    assert proxy.ctl("reload")[0] == 0
    assert proxy.ctl("pause")[0] == 0 and canary(proxy, "--skip")[1]["stages"]["stage"] == 2
    assert proxy.ctl("resume")[0] == 0
    proxy.ctl("abort")
    assert "a canary is on to green" in refused(proxy, "retarget", "green")
    canary(proxy, "off")
    assert proxy.ctl("retarget", "green")[0] == 0
    assert "the route is green already" in refused(
        proxy, "canary", "--stages", path, "--to", "green")


def test_after_a_crash_the_last_stage_stands_and_the_run_is_over(proxy, connect):
    start(proxy, "60m")
    proxy.kill9()
    proxy.start()
    status = proxy.status()
    assert status["canary"]["set"] == [ONE] and side(connect()) == "green"
    assert (status["stages"]["what"], status["stages"]["outcome"], status["stages"]["stage"]) == (
        "canary", "restart", 1)
    assert status["stages"]["why"] == "pgsluice was restarted; the canary stays"
    assert "no canary in stages" in refused(proxy, "canary", "--resume")
    proxy.restart()
    assert proxy.status()["stages"] is None, "told once"


@pytest.mark.parametrize("point, after", [("journal_before:canary", None),
                                          ("journal_after:canary", [ONE])])
def test_killed_amid_a_stage_change_the_journal_decides(proxy, point, after):
    proxy.stop()
    with faults(f"{point}=kill"):
        proxy.start()
        path = write(proxy, {"stages": [{"admit": [ONE]}]})
        assert canary(proxy, "--stages", path, "--to", "green", check=False)[0] == 6
    wait_until(lambda: not proxy.running(), "its end")
    proxy.start()
    status = proxy.status()
    assert (status["canary"] or {}).get("set") == after
    assert status["stages"]["outcome"] == "restart"


# --- what a user can do wrong -------------------------------------------------------------------

@pytest.mark.parametrize("text, place", [
    ("stages: [{admit: [all]}]\nrefuse: later\n", ":2:9: refuse has no meaning for a canary"),
    ("stages: [{admit: [none]}]\n", ":1:18: stage 1.admit: a canary of nobody"),
    ("stages: [{admit: [10.0.0.1/8]}]\n", ':1:19: stage 1.admit: "10.0.0.1/8" has bits set'),
])
def test_what_is_wrong_with_a_file_is_told_with_its_place(proxy, text, place):
    path = write(proxy, text)
    code, answer = canary(proxy, "--stages", path, "--to", "green", check=False)
    assert code == 2 and answer["error"].startswith(path) and place in answer["error"]
    assert proxy.status()["canary"] is None and proxy.status()["stages"] is None


@pytest.mark.parametrize("words, code, text", [
    (["--stages", "f"], 2, "canary needs --to"),
    (["--stages", "f", "--to", "gren"], 2, 'did you mean "green"'),
    (["--stages", "f", "--to", "blue"], 4, "the route is blue already"),
    (["--stages", "f", "--to", "green", "--timeout", "1s"], 2, "--timeout belongs to RANGES"),
    (["off", "--stages", "f"], 2, "takes --timeout alone"),
    ([ONE, "--to", "green", "--stages", "f"], 2, "canary takes one of RANGES"),
    (["--pause", "--skip"], 2, "canary takes one of RANGES"),
    (["--pause", "--to", "green"], 2, "--to and --access belong to RANGES or --stages"),
])
def test_bad_usage_is_told(proxy, words, code, text):
    ended, answer = canary(proxy, *words, json=False, check=False)
    assert ended == code and text in answer
    assert [kind for kind, _ in events(proxy)] == ["route"]
