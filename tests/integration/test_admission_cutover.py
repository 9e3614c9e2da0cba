"""A cutover while only a part of the clients is admitted."""

from support.cutover_world import DB, cutover, logical_pair, proxy_for
from support.sluice import faults
from support.wire import Wire, kinds, query, rows_of, startup

INSIDE, OUTSIDE = "127.0.1.1", "127.0.2.1"


def test_clients_outside_cross_over_and_stay_held():
    with logical_pair() as pair, proxy_for(pair, "logical") as proxy:
        inside, parked = (Wire(proxy.host, proxy.port, "postgres", DB, source=s)
                          for s in (INSIDE, OUTSIDE))
        parked.run("SET app.tenant = '7'; PREPARE p AS SELECT current_setting('app.tenant')")
        proxy.ctl("admit", "127.0.1.0/24")
        parked.send(query("EXECUTE p"))
        held = Wire(proxy.host, proxy.port, source=OUTSIDE)
        held.send(startup("postgres", DB))
        proxy.wait_status(lambda s: s["sessions"]["held"] == 1 and s["sessions"]["parked"] == 1,
                          "one parked session and one held client")
        code, answer = cutover(proxy)
        assert code == 0, answer
        assert (answer["switched"], answer["lost"]) == (2, 0)
        status = proxy.status()
        assert (status["route"], status["gate"]) == ("green", "staged")
        assert inside.value("SHOW cluster_name") == "new"
        assert parked.silent() and held.silent()
        proxy.ctl("admit", "all")
        assert rows_of(parked.read_ready()) == [("7",)]
        assert parked.value("SHOW cluster_name") == "new"
        assert kinds(held.finish_startup())[-1] == "Z"
        assert held.value("SHOW cluster_name") == "new"
        for wire in inside, parked, held:
            wire.close()


def plan_of(tmp_path, ranges):
    path = tmp_path / "plan.yaml"
    path.write_text(f"admit_after: {ranges}\n")
    return "--plan", path


def test_only_the_first_stage_works_on_the_new_server(tmp_path):
    with logical_pair() as pair, proxy_for(pair, "logical") as proxy:
        inside, outside = (Wire(proxy.host, proxy.port, "postgres", DB, source=s)
                           for s in (INSIDE, OUTSIDE))
        plan = plan_of(tmp_path, "127.0.1.0/24")
        code, answer = cutover(proxy, *plan, "--dry-run")
        assert code == 0, answer
        step = next(step for step in answer["plan"] if step["step"] == "open")
        assert step["does"] == "open the gate for 127.0.1.0/24, hold all others"
        assert outside.value("SHOW cluster_name") == "old" and proxy.status()["gate"] == "open"
        code, answer = cutover(proxy, *plan)
        assert code == 0 and answer["admitted"] == "127.0.1.0/24", answer
        assert (answer["switched"], answer["lost"]) == (2, 0)
        assert proxy.status()["gate"] == "staged"
        assert inside.value("SHOW cluster_name") == "new"
        outside.send(query("SHOW cluster_name"))
        assert outside.silent()
        newcomer = Wire(proxy.host, proxy.port, source=OUTSIDE)
        newcomer.send(startup("postgres", DB))
        assert newcomer.silent()
        proxy.ctl("admit", "all")
        assert rows_of(outside.read_ready()) == [("new",)]
        assert kinds(newcomer.finish_startup())[-1] == "Z"
        for wire in inside, outside, newcomer:
            wire.close()


def test_the_stage_is_committed_with_the_route(tmp_path):
    """After a crash behind the commit point nobody else gets to the new server first."""
    with logical_pair() as pair, proxy_for(pair, "logical", start=False) as proxy:
        with faults("cutover:commit:after=kill"):
            proxy.start()
        assert cutover(proxy, *plan_of(tmp_path, "127.0.1.0/24"))[0] != 0
        proxy.process.wait()
        proxy.start()
        proxy.wait_status(lambda s: s["gate"] == "staged", "the end of the recovery")
        inside = Wire(proxy.host, proxy.port, "postgres", DB, source=INSIDE)
        assert inside.value("SHOW cluster_name") == "new"
        outside = Wire(proxy.host, proxy.port, source=OUTSIDE)
        outside.send(startup("postgres", DB))
        assert outside.silent()
        inside.close()
        outside.close()


def test_a_cutover_that_goes_back_admits_as_before(tmp_path):
    with logical_pair() as pair, faults("cutover:commit:before=error"), \
            proxy_for(pair, "logical") as proxy:
        assert cutover(proxy, *plan_of(tmp_path, "127.0.1.0/24"))[0] == 1
        assert proxy.status()["gate"] == "open"
        wire = Wire(proxy.host, proxy.port, "postgres", DB, source=OUTSIDE)
        assert wire.value("SHOW cluster_name") == "old"
        wire.close()
        code, answer = cutover(proxy, *plan_of(tmp_path, "127.0.1.0/8"))
        assert code == 2 and "127.0.1.0/8" in answer["error"]
