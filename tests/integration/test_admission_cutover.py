"""A cutover while only a part of the clients is admitted."""

from support.cutover_world import DB, cutover, logical_pair, proxy_for
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
