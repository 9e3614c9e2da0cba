"""A live cutover in a throwaway world. See README.md here."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from tests.support.cluster import ClusterError
from tests.support.pairs import LogicalPair
from tests.support.sluice import Sluice, SluiceError, program

from . import clients, load, verdict

BEFORE_S, AFTER_S = 5, 5
PGBENCH_CLIENTS, PGBENCH_RATE = 8, 200


def say(text):
    print(text, flush=True)


def start_sessions(proxy, count, stop):
    dsn = f"host={proxy.host} port={proxy.port} user=postgres dbname=app connect_timeout=30"
    sessions = [kind(dsn, number, stop) for kind in clients.KINDS for number in range(count)]
    for session in sessions:
        session.start()
    for session in sessions:
        session.ready.wait(30)
    return sessions


def cut_over(proxy, sessions):
    """sluicectl on this terminal, with its own progress."""
    for session in sessions:
        session.measure = True
    say("$ sluicectl cutover --to green")
    command = [program("sluicectl"), "--socket", proxy.socket_path, "cutover", "--to", "green"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def perform(pair, count, directory):
    """The whole play; returns the problems that were found, in words."""
    replication = {"kind": "logical", "subscription": pair.subscription}
    with Sluice({"blue": pair.old, "green": pair.new}, dbname="app",
                replication=replication) as proxy:
        say(f"pgsluice on port {proxy.port}: blue is port {pair.old.port}, "
            f"green is port {pair.new.port}, green follows blue by logical replication")
        stop = threading.Event()
        sessions = start_sessions(proxy, count, stop)
        bench = load.Pgbench(pair.old.bindir, proxy.host, proxy.port, directory, PGBENCH_CLIENTS,
                             PGBENCH_RATE, BEFORE_S + AFTER_S + 2)
        try:
            say(f"{len(sessions)} sessions and {PGBENCH_CLIENTS} of pgbench work on blue\n")
            stop.wait(BEFORE_S)
            code = cut_over(proxy, sessions)
            stop.wait(AFTER_S)
            stop.set()
            for session in sessions:
                session.join(30)
            bench.finish()
        finally:
            stop.set()
            bench.kill()
        return judge(pair, sessions, bench, code)


def judge(pair, sessions, bench, code):
    say("\n" + verdict.report(sessions, bench) + "\n")
    problems = [error for session in sessions for error in session.errors] + bench.errors
    problems += [f"{session.name} did not end" for session in sessions if session.is_alive()]
    problems += [f"{session.name} is still on {session.server}" for session in sessions
                 if not session.errors and session.server != "new"]
    if code != 0:
        problems.append(f"sluicectl ended with exit code {code}")
    lost, unknown = verdict.missing_rows(pair.new, sessions)
    problems += [f"acknowledged rows missing on green: {lost[:3]}"] * bool(lost)
    problems += [f"rows on green that nobody wrote: {unknown[:3]}"] * bool(unknown)
    problems += verdict.pgbench_balances(pair.new, bench.operations)
    rows = sum(len(session.rows) for session in sessions)
    if not lost and not unknown:
        say(f"{rows} acknowledged rows: all on green, once each.")
    return problems


def main():
    parser = argparse.ArgumentParser(prog="tools/demo")
    parser.add_argument("--clients", type=int, default=2, help="sessions of each kind")
    count = parser.parse_args().clients
    # A terminated demo cleans up like an interrupted one.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()
    say("starting two PostgreSQL servers ...")
    with tempfile.TemporaryDirectory(prefix="pgsluice-demo-") as directory, \
            LogicalPair(dbname="app", scripts=(clients.SCHEMA, load.SCHEMA),
                        data=(load.ROWS,)) as pair:
        os.chmod(directory, 0o755)
        try:
            problems = perform(pair, count, directory)
        except (SluiceError, ClusterError) as error:
            problems = [str(error)]
    for problem in problems:
        say(f"PROBLEM: {problem}")
    say(f"{'no client saw an error' if not problems else 'FAILED'} "
        f"({time.monotonic() - start:.0f} s, everything is removed)")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("\ninterrupted; everything is removed")
        sys.exit(130)
