"""The bench itself: its table says what was measured, and it leaves nothing behind."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from support.cluster import child_pids, temp_dir, wait_until
from support.sluice import REPOSITORY

BENCH = os.path.join(REPOSITORY, "tests", "bench", "bench.py")
SMALLEST = ["--quick", "--only", "c1-simple", "--targets", "pgsluice"]


@pytest.fixture
def top():
    """The temporary directory of one bench, by which its files and processes are told."""
    return temp_dir("pgsluice-bench-test-")


@contextlib.contextmanager
def started(top, *arguments):
    """The bench in a process group of its own, as a terminal would start it."""
    bench = subprocess.Popen(["/usr/bin/python3", BENCH, *arguments], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "TMPDIR": top}, start_new_session=True)
    try:
        yield bench
    finally:
        if bench.poll() is None:
            os.killpg(bench.pid, signal.SIGKILL)
            bench.communicate()


def run(top, *arguments):
    """Exit code, standard output and standard error."""
    with started(top, *arguments) as bench:
        out, err = bench.communicate(timeout=100)
        return bench.returncode, out, err


def command_of(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline") as words:
        return words.read().replace("\0", " ")
    return ""


def processes_of(top):
    """The command lines of processes that work in this directory or name it."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            command = command_of(pid)
            if top in command or os.readlink(f"/proc/{pid}/cwd").startswith(top):
                found.append(command)
    return found


def rows_of(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in table.splitlines() if line.startswith("|")]


def test_a_table_has_each_target_and_a_ratio(top, tmp_path):
    code, out, err = run(top, *SMALLEST, "--json", str(tmp_path / "figures"))
    assert code == 0, err
    head, _, *rows = rows_of(out)
    assert head[2:4] == ["target", "median"] and head[-1] == "pgsluice ÷ it"
    figures = {(figure, target): (float(median.replace(",", "")), ratio)
               for _, figure, target, median, _, _, ratio in rows}
    assert figures.keys() == {("CPU µs/transaction", "pgsluice"),
                              ("latency µs", "direct"), ("latency µs", "pgsluice"),
                              ("transactions/s", "direct"), ("transactions/s", "pgsluice")}
    assert all(median > 0 for median, _ in figures.values())
    for (_, target), (_, ratio) in figures.items():
        assert float(ratio) > 0 if target == "direct" else ratio == ""
    with open(tmp_path / "figures") as written:
        rounds = json.load(written)["c1-simple"]
    assert rounds.keys() == {"direct", "pgsluice"}
    assert os.listdir(top) == []
    assert processes_of(top) == []


def test_ctrl_c_leaves_nothing_behind(top):
    with started(top, "--only", "connect-trust", "--targets", "pgsluice",
                 "--seconds", "60") as bench:
        wait_until(lambda: any(" -T 60 " in command_of(pid) for pid in child_pids(bench.pid)),
                   "the load")
        assert any("pgsluice.yaml" in command for command in processes_of(top))
        os.killpg(bench.pid, signal.SIGINT)
        bench.communicate(timeout=30)
        assert bench.returncode != 0
    assert os.listdir(top) == []
    wait_until(lambda: processes_of(top) == [], "the end of all that the bench started")


def test_an_unknown_scenario_is_named_with_the_valid_ones(top):
    code, _, err = run(top, "--only", "c1-simple,tango")
    assert code == 2
    assert 'unknown scenario "tango"' in err
    assert "c1-simple" in err and "c16-prepared" in err and "move" in err


def test_a_peer_that_does_not_exist_is_named_with_the_valid_ones(top):
    code, _, err = run(top, "--targets", "pgsluice,odyssey")
    assert code == 2
    assert 'unknown target "odyssey"' in err
    assert "pgbouncer" in err


def test_a_binary_that_does_not_run_is_named(top):
    code, _, err = run(top, "--binary", "before=/nonexistent")
    assert code == 2
    assert "before=/nonexistent: not a program" in err
