"""The bench itself: that its table says what was measured, and that it leaves nothing behind."""

import os
import subprocess
import tempfile

from support.sluice import REPOSITORY

BENCH = os.path.join(REPOSITORY, "tests", "bench", "bench.py")


def run(*arguments):
    return subprocess.run(["/usr/bin/python3", BENCH, *arguments], capture_output=True, text=True,
                          check=False, timeout=300)


def test_a_table_has_each_target_and_a_ratio(tmp_path):
    before = set(os.listdir(tempfile.gettempdir()))
    done = run("--quick", "--only", "c1-simple", "--targets", "pgsluice", "--json",
               str(tmp_path / "figures"))
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in done.stdout.splitlines() if line.startswith("| c1-simple")]
    figures = {(figure, target): (float(median.replace(",", "")), ratio)
               for _, figure, target, median, _, _, ratio in rows}
    assert figures["CPU µs/transaction", "pgsluice"][0] > 0
    assert figures["transactions/s", "direct"][0] > 0
    assert float(figures["transactions/s", "direct"][1]) > 0
    assert (tmp_path / "figures").exists()
    assert not {name for name in set(os.listdir(tempfile.gettempdir())) - before
                if name.startswith("pgsluice-bench-")}


def test_an_unknown_scenario_is_named_with_the_valid_ones():
    done = run("--only", "c1-simple,tango")
    assert done.returncode == 2
    assert 'unknown scenario "tango"' in done.stderr
    assert "c16-prepared" in done.stderr


def test_a_peer_that_does_not_exist_is_named():
    done = run("--targets", "pgsluice,odyssey")
    assert done.returncode == 2
    assert 'unknown target "odyssey"' in done.stderr
