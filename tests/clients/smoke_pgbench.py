"""pgbench: TPC-B in every protocol mode and a pipelined script; no failure, balances add up."""

import re
import subprocess
import sys
import tempfile

from common import Suite

CLIENTS, TRANSACTIONS = 4, 50
PIPELINED = """\\set a random(1, 100000)
\\set d random(-5000, 5000)
\\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :d WHERE aid = :a;
SELECT abalance FROM pgbench_accounts WHERE aid = :a;
UPDATE pgbench_tellers SET tbalance = tbalance + :d WHERE tid = 1;
UPDATE pgbench_branches SET bbalance = bbalance + :d WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, :a, :d, now());
END;
\\endpipeline
"""
BALANCES = """SELECT (SELECT sum(abalance) FROM pgbench_accounts) = sum(delta)
    AND (SELECT sum(tbalance) FROM pgbench_tellers) = sum(delta)
    AND (SELECT sum(bbalance) FROM pgbench_branches) = sum(delta), count(*) FROM pgbench_history"""


def bench(*arguments):
    """The lines of a run that do not depend on its speed."""
    done = subprocess.run(
        ["pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-t", str(TRANSACTIONS), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    lines = re.findall(r"^number of (?:transactions actually|failed).*$", done.stdout, re.M)
    if done.returncode != 0 or done.stderr.strip():
        lines.append(f"exit code {done.returncode}: {done.stderr}")
    return lines


def initialise():
    done = subprocess.run(["pgbench", "-i", "-q"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    return [done.returncode, sql("SELECT count(*) FROM pgbench_accounts")]


def sql(text):
    return subprocess.run(["psql", "-XAtc", text], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False).stdout.strip()


def pipelined(mode):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PIPELINED)
        script.flush()
        return bench("-M", mode, "-f", script.name)


suite = Suite()
suite.run(initialise)
for protocol in ("simple", "extended", "prepared"):
    suite.show(f"tpcb {protocol}", bench("-M", protocol))
    suite.show(f"select only {protocol}", bench("-S", "-M", protocol))
suite.show("connection for each transaction", bench("-C", "-S", "-t", "10"))
for protocol in ("extended", "prepared"):
    suite.show(f"pipelined {protocol}", pipelined(protocol))
suite.show("balances", sql(BALANCES))
sys.exit(0)
