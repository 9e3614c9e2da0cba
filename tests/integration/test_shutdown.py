"""The end of the daemon: at once, or when sessions have come to their boundaries."""

import signal

import pytest

from support.cluster import wait_until
from support.console import TRUSTING, begin
from support.sluice import Sluice
from support.wire import Closed, Wire, errors_of, kinds, query, rows_of


@pytest.fixture
def proxy(blue):
    running = Sluice({"blue": blue}, service=TRUSTING, workers=2)
    yield running
    running.destroy()


def connect(proxy, **options):
    return Wire(proxy.host, proxy.port, "postgres", **options)


def ended(proxy):
    code = proxy.process.wait(20)
    proxy.process = None
    return code


def refuses(proxy):
    try:
        connect(proxy).close()
    except (OSError, Closed):
        return True
    return False


def drained(proxy, idle, busy):
    """What everybody sees while the daemon waits for one that works."""
    assert errors_of(idle.read_to_end()) == ["57P01"], "at once: it has nothing to lose"
    wait_until(lambda: refuses(proxy), "nobody new", 10)
    assert rows_of(busy.run("SELECT 7")) == [("7",)]
    assert proxy.running()
    busy.send(query("COMMIT"))
    assert kinds(busy.read_to_end()) == "CZE", "answered, then told"


def test_a_drain_waits_for_work_and_takes_nobody_new(proxy):
    with connect(proxy) as idle, connect(proxy) as busy:
        busy.run("BEGIN")
        stopping = proxy.ctl_start("shutdown", "--drain")
        drained(proxy, idle, busy)
        assert stopping.finish()[:2] == (0, {"left": 0})
    assert ended(proxy) == 0


def test_sigint_drains_as_pgbouncers(proxy):
    with connect(proxy) as idle, connect(proxy) as busy:
        busy.run("BEGIN")
        proxy.process.send_signal(signal.SIGINT)
        drained(proxy, idle, busy)
    assert ended(proxy) == 0
    assert "drained left=0" in proxy.log_text()


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(proxy, second):
    with connect(proxy) as busy:
        busy.run("BEGIN")
        proxy.process.send_signal(signal.SIGINT)
        wait_until(lambda: refuses(proxy), "the drain", 10)
        proxy.process.send_signal(second)
        assert errors_of(busy.read_to_end()) == ["57P01"]
    assert ended(proxy) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_others_end_at_once(proxy, number):
    with connect(proxy) as busy, connect(proxy) as idle:
        busy.run("BEGIN")
        proxy.process.send_signal(number)
        assert errors_of(busy.read_to_end()) == ["57P01"]
        assert errors_of(idle.read_to_end()) == ["57P01"]
    assert ended(proxy) == 0


def test_signals_that_mean_pause_elsewhere_do_no_harm(proxy):
    with connect(proxy) as session:
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            proxy.process.send_signal(number)
            wait_until(lambda n=number: f"signal_ignored signal={int(n)}" in proxy.log_text(), "it",
                       10)
        assert rows_of(session.run("SELECT 1")) == [("1",)]
    proxy.stop()


def test_the_deadline_ends_who_is_left(blue):
    service = {**TRUSTING, "cutover": {"drain_timeout": "500ms"}}
    proxy = Sluice({"blue": blue}, service=service)
    with connect(proxy) as busy:
        busy.run("BEGIN")
        assert proxy.ctl("shutdown", "--drain")[1] == {"left": 1}
        assert errors_of(busy.read_to_end()) == ["57P01"]
    assert ended(proxy) == 0
    proxy.destroy()


def test_services_drain_side_by_side(blue):
    proxy = Sluice({"blue": blue}, service=TRUSTING, start=False)
    proxy.settings["services"]["other"] = {
        **proxy.service, "listen": [f"127.0.0.2:{proxy.port}"], "console": {"viewer": ["vera"]}}
    proxy.write_config()
    proxy.start()
    with connect(proxy) as one, Wire("127.0.0.2", proxy.port, "postgres") as other:
        one.run("BEGIN")
        other.run("BEGIN")
        stopping = proxy.ctl_start("shutdown", "--drain")
        other.send(query("COMMIT"))  # the second of the two is not waited for
        assert kinds(other.read_to_end()) == "CZE"
        assert stopping.running()
        one.send(query("COMMIT"))
        assert kinds(one.read_to_end()) == "CZE"
        assert stopping.finish()[0] == 0
    assert ended(proxy) == 0
    proxy.destroy()


def test_a_drain_tells_who_is_left(proxy):
    with connect(proxy, application_name="the busy one") as busy:
        busy.run("BEGIN")
        for statement, user in (("DRAIN TIMEOUT 60s", "otto"), ("SHUTDOWN WAIT_FOR_SERVERS",
                                                                "ada")):
            with begin(proxy, statement, user) as told:
                said = ""
                while "the busy one" not in said:
                    said = told.read_until("N")[-1].fields()["M"]
                assert said.startswith("drain: 1 of 1 session left: session ")
                assert "in a transaction for" in said
                if statement.startswith("DRAIN"):
                    proxy.ctl("abort")
                    assert errors_of(told.read_ready()) == ["40000"]
        busy.send(query("COMMIT"))
        assert kinds(busy.read_to_end()) == "CZE"
    assert ended(proxy) == 0
