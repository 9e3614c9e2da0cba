"""`sluicectl events`: the journal for people and for programs, once and going on."""

import json
import subprocess

import pytest

from support.sluice import Sluice, program


@pytest.fixture
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}) as running:
        yield running


def events(proxy, *arguments):
    code, answer = proxy.ctl("events", *arguments, json=False)
    assert code == 0
    return [json.loads(line) for line in answer.splitlines()] if "--json" in arguments else \
        answer.splitlines()


def test_tells_what_was_done_oldest_first(proxy):
    proxy.ctl("pause")
    proxy.ctl("resume")
    proxy.ctl("retarget", "green")
    rows = events(proxy, "--json")
    kinds = [row["event"] for row in rows]
    assert kinds[:4] == ["route", "pause", "paused", "resume"]
    assert kinds[-1] == "cutover_done" and "cutover_committed" in kinds
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    lines = events(proxy)
    assert len(lines) == len(rows)
    assert "app  cutover_committed  blue -> green" in lines[-2], lines
    assert events(proxy, "--last", "1") == lines[-1:]
    assert events(proxy, "--after", str(len(rows) - 2)) == lines[-2:]
    proxy.restart()
    assert events(proxy)[:len(lines)] == lines


@pytest.mark.parametrize("argument", ["--last", "--after"])
def test_a_wrong_number_is_a_usage_error(proxy, argument):
    code, answer = proxy.ctl("events", argument, "x", check=False)
    assert code == 2 and "expected a whole number" in str(answer)


def test_follow_goes_on_until_the_daemon_ends(proxy):
    with subprocess.Popen([program("sluicectl"), "--socket", proxy.socket_path, "--json", "events",
                           "--follow"], stdout=subprocess.PIPE, text=True) as following:
        assert json.loads(following.stdout.readline())["event"] == "route"
        proxy.ctl("pause")
        assert json.loads(following.stdout.readline())["event"] == "pause"
        assert json.loads(following.stdout.readline())["event"] == "paused"
        proxy.stop()
        following.stdout.read()
        assert following.wait(30) == 3
    proxy.start()
