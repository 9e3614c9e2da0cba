"""pgbench beside the sessions: prepared statements, a transaction of five statements."""

import glob
import os
import shutil
import subprocess

SCHEMA = """
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (hid bigserial PRIMARY KEY, tid int, bid int, aid int, delta int,
                              mtime timestamp, filler char(22));
"""
ROWS = """
INSERT INTO pgbench_branches SELECT b, 0 FROM generate_series(1, 10) b;
INSERT INTO pgbench_tellers SELECT t, (t - 1) / 10 + 1, 0 FROM generate_series(1, 100) t;
INSERT INTO pgbench_accounts SELECT a, a % 10 + 1, 0 FROM generate_series(1, 10000) a;
"""
SCRIPT = """
\\set aid random(1, 10000)
\\set bid random(1, 10)
\\set tid random(1, 100)
\\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, now());
END;
"""


class Pgbench:
    """One pgbench process with `clients` connections, at a rate that leaves the machine air."""

    kind = "pgbench"
    state = "prepared statements of the protocol"

    def __init__(self, bindir, host, port, directory, clients, rate, seconds):
        self.clients, self.directory = clients, directory
        script = os.path.join(directory, "script.sql")
        with open(script, "w") as text:
            text.write(SCRIPT)
        program = os.path.join(bindir, "pgbench")
        if not os.path.exists(program):
            program = shutil.which("pgbench")
        self.process = subprocess.Popen(
            [program, "-n", "-M", "prepared", "-f", script, "-c", str(clients), "-j", "1",
             "-R", str(rate), "-T", str(seconds), "-h", host, "-p", str(port), "-U", "postgres",
             "--log", "--log-prefix", os.path.join(directory, "pgbench"), "app"],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)

    def finish(self):
        """Waits for the end and reads the log: one line a transaction, its time in microseconds."""
        output, _ = self.process.communicate(timeout=120)
        self.errors = [line for line in output.splitlines() if "aborted" in line or "error" in line]
        if self.process.returncode != 0 and not self.errors:
            self.errors = [f"pgbench ended with {self.process.returncode}: {output[-300:]}"]
        times = []
        for path in glob.glob(os.path.join(self.directory, "pgbench.*")):
            with open(path) as log:
                for line in log:
                    fields = line.split()
                    # With -R the schedule lag comes last; a stall shows in the time without it.
                    times.append(int(fields[2]) - int(fields[6]) if len(fields) > 6
                                 else int(fields[2]))
        self.operations = len(times)
        self.longest_s = max(times, default=0) / 1e6
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
