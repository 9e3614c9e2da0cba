"""`sluicectl drain`: sessions end at their boundary with 57P01, new ones go on."""

import contextlib

import pytest

from support.cluster import wait_until
from support.sluice import Sluice
from support.wire import Wire, query, startup


@pytest.fixture
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}) as running:
        yield running


def connect(proxy, user="postgres"):
    wire = Wire(proxy.host, proxy.port)
    wire.send(startup(user, "postgres"))
    wire.read_ready()
    return contextlib.closing(wire)


def last_code(wire):
    return [m.fields()["C"] for m in wire.read_to_end() if m.kind == "E"]


def works(wire):
    return [m.kind for m in wire.run("SELECT 1")][-1] == "Z"


def test_ends_everybody_at_a_boundary_and_nobody_new(proxy):
    with connect(proxy) as idle, connect(proxy) as busy:
        busy.run("BEGIN")
        running = proxy.ctl_start("drain")
        assert last_code(idle) == ["57P01"]
        with connect(proxy) as late:
            assert works(late) and works(busy)
            assert running.running()
            busy.send(query("COMMIT"))
            kinds = [m.kind for m in busy.read_to_end()]
            assert kinds == ["C", "Z", "E"], "answered first"
            code, answer = running.finish()
            assert code == 0 and answer["ended"] == 2
            assert works(late)


def test_who_does_not_come_to_a_boundary_goes_on(proxy):
    with connect(proxy) as busy, connect(proxy) as idle:
        busy.run("BEGIN; SELECT 'the long one'")
        code, answer = proxy.ctl("drain", "--timeout", "300ms", check=False)
        assert code == 5 and "1 session did not" in answer["error"]
        assert answer["ended"] == 1 and "the long one" in str(answer["left"])
        assert last_code(idle) == ["57P01"]
        idle.close()
        busy.run("COMMIT")
        assert works(busy) and works(busy)
        proxy.wait_status(lambda s: s["sessions"]["total"] == 1, "the end of the drained one")


def test_abort_ends_it(proxy):
    with connect(proxy) as busy:
        busy.run("BEGIN")
        running = proxy.ctl_start("drain", "--timeout", "60s")
        wait_until(lambda: proxy.ctl("abort", check=False)[0] == 0, "a drain to be ended")
        code, answer = running.finish()
        assert code == 1 and "ended" in answer["error"]
        busy.run("COMMIT")
        assert works(busy)


def test_filters_choose(proxy, blue, green):
    for server in (blue, green):
        server.query("DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN")
    with connect(proxy) as one, connect(proxy, "app") as other:
        assert proxy.ctl("drain", "--user", "app")[1]["ended"] == 1
        assert last_code(other) == ["57P01"] and works(one)
        assert proxy.ctl("drain", "--backend", "green")[1]["ended"] == 0
        assert proxy.ctl("drain", "--cidr", "10.0.0.0/8")[1]["ended"] == 0
        assert works(one)
        assert proxy.ctl("drain", "--cidr", "127.0.0.0/8", "--backend", "blue")[1]["ended"] == 1
        assert last_code(one) == ["57P01"]


@pytest.mark.parametrize("arguments, expected", [
    (("--backend", "grun"), "expected blue or green"), (("--cidr", "10.0.0.1/8"), "10.0.0.1/8"),
    (("--timeout", "1"), "has no unit")])
def test_wrong_arguments_are_refused(proxy, arguments, expected):
    with connect(proxy) as wire:
        code, answer = proxy.ctl("drain", *arguments, check=False)
        assert code == 2 and expected in str(answer)
        assert works(wire)


def test_at_a_closed_gate_and_in_a_cutover(proxy):
    with connect(proxy) as wire:
        proxy.ctl("pause")
        assert proxy.ctl("drain")[1]["ended"] == 1
        assert last_code(wire) == ["57P01"]
        assert proxy.status()["gate"] == "paused"
        proxy.ctl("resume")
    with connect(proxy) as busy:
        busy.run("BEGIN")
        running = proxy.ctl_start("retarget", "green")
        proxy.wait_status(lambda s: s["cutover"] and s["cutover"]["step"] == "drain_long", "it")
        assert proxy.ctl("drain", check=False)[0] == 4
        busy.run("COMMIT")
        assert running.finish()[0] == 0
        assert works(busy)
