#!/usr/bin/python3
"""What logins and TLS cost the proxy, beside PgBouncer in the same run.

    tests/bench/logins.py [--rounds 5] [--seconds 4] [--only TEXT] [--build DIR]

CPU is user+system time of the proxy's process over pgbench's run, divided by its transactions; a
"connect" is a connection, a SELECT and a close, 8 at a time. Targets take turns within each round;
the ratio is the median over rounds of the one within a round. TLS is on the client's side alone.
PgBouncer keeps its connections to the server; a proxy that moves sessions makes one a client, and
that is in its figure. The third peer does the same work: it, too, logs in for each client.

  pgbouncer                 pool_mode=session, a password for the user, as most have it
  pgbouncer-verifier        the same, with the SCRAM verifier instead
  pgbouncer-verifier-fresh  the same, with server_lifetime=0: a server connection serves one client
  pgsluice                  `scram-sha-256`, with the SCRAM verifier

Nothing else should run on the machine.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from support.cluster import (Cluster, as_postgres, die_with_us, free_port,  # noqa: E402
                             run_tool, temp_dir, wait_until)
from support.login import users_file  # noqa: E402
from support.sluice import Sluice  # noqa: E402
from support.tls import Authority  # noqa: E402

USER, PASSWORD = "app", "correct horse"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

# name: (pgbench's arguments, sslmode)
SCENARIOS = {
    "connect, SCRAM": (["-C", "-c", "8", "-j", "2", "-M", "simple"], "disable"),
    "connect, TLS 1.3 and SCRAM": (["-C", "-c", "8", "-j", "2", "-M", "simple"], "require"),
    "transactions, simple, TLS": (["-c", "16", "-j", "2", "-M", "simple"], "require"),
    "transactions, prepared, TLS": (["-c", "16", "-j", "2", "-M", "prepared"], "require"),
    "transactions, prepared, plain": (["-c", "16", "-j", "2", "-M", "prepared"], "disable"),
}


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


class PgBouncer:
    """One process; PgBouncer has no threads."""

    def __init__(self, server, identity, secret, more=""):
        self.port, self.top = free_port(), temp_dir("pgsluice-bench-")
        users_file(os.path.join(self.top, "users.txt"), {USER: secret})
        key = shutil.copy(identity.key, self.top)
        for name in ("users.txt", os.path.basename(key)):
            if os.geteuid() == 0:
                shutil.chown(os.path.join(self.top, name), "postgres", "postgres")
        self.settings = os.path.join(self.top, "pgbouncer.ini")
        with open(self.settings, "w") as out:
            out.write(
                f"[databases]\n* = host={server.host} port={server.port}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
                f"auth_type = scram-sha-256\nauth_file = {self.top}/users.txt\n"
                "pool_mode = session\nmax_client_conn = 1000\ndefault_pool_size = 100\n"
                "log_connections = 0\nlog_disconnections = 0\nserver_tls_sslmode = disable\n"
                f"client_tls_sslmode = allow\nclient_tls_cert_file = {identity.cert}\n"
                f"client_tls_key_file = {key}\n{more}\n")
        self.process = None

    def __enter__(self):
        exe = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        self.process = subprocess.Popen([exe, "-q", self.settings], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_us, **as_postgres())
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()


def pgsluice(server, identity, secret):
    users = users_file(os.path.join(temp_dir("pgsluice-bench-"), "users.txt"), {USER: secret})
    return Sluice({"blue": server}, start=False, workers=os.cpu_count(),
                  service={"auth": {"method": "scram-sha-256", "users_file": users},
                           "tls": {"cert": identity.cert, "key": identity.key}})


def bench(target, arguments, sslmode, seconds):
    """(transactions a second, CPU µs a transaction)."""
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "PGSSLMODE": sslmode,
                   "PGGSSENCMODE": "disable", "HOME": "/nonexistent"}
    command = ["pgbench", "-n", "-S", *arguments, "-h", "127.0.0.1", "-p", str(target.port),
               "-U", USER, "-T", str(seconds), "bench"]
    before = cpu_s(target.process.pid)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    spent = cpu_s(target.process.pid) - before
    if done.returncode != 0 or "failed transactions: 0 " not in done.stdout:
        raise RuntimeError(done.stderr[-1000:] + done.stdout[-1000:])
    count = int(next(line for line in done.stdout.splitlines()
                     if "actually processed" in line).split()[-1].split("/")[0])
    return count / seconds, spent / count * 1e6


def answers(target):
    probe = subprocess.run(["psql", "-XAtc", "SELECT 1", "-h", "127.0.0.1", "-p", str(target.port),
                            "-U", USER, "bench"], env={**os.environ, "PGPASSWORD": PASSWORD},
                           capture_output=True, check=False)
    return probe.returncode == 0


@contextlib.contextmanager
def started(make):
    target = make()
    if isinstance(target, Sluice):
        target.start()
    with target:
        wait_until(lambda: answers(target), "a target that lets in")
        yield target


def measure(targets, scenarios, options):
    """{scenario: {target: [(tps, µs), ...]}}, round after round."""
    found = {name: {each: [] for each in targets} for name in scenarios}
    for turn in range(options.rounds):
        for name, (arguments, sslmode) in scenarios.items():
            order = list(targets)
            for each in order[turn % len(order):] + order[:turn % len(order)]:
                with started(targets[each]) as target:
                    found[name][each].append(bench(target, arguments, sslmode, options.seconds))
    return found


def report(found):
    for name, by_target in found.items():
        print(f"\n## {name}\n\n| target | per second | CPU µs each | spread | pgsluice's CPU ÷ |")
        print("|---|---:|---:|---:|---:|")
        ours = [cpu for _, cpu in by_target["pgsluice"]]
        for each, runs in by_target.items():
            cpus = [cpu for _, cpu in runs]
            spread = (max(cpus) - min(cpus)) / statistics.median(cpus)
            ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, cpus))
            print(f"| {each} | {statistics.median(tps for tps, _ in runs):,.0f} "
                  f"| {statistics.median(cpus):,.1f} | {spread:.0%} | {ratio:.2f} |")


def options_of_this_run():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument("--build", help="the folder with bin/pgsluice")
    return parser.parse_args()


def main():
    options = options_of_this_run()
    if options.build:
        os.environ["PGSLUICE_BUILD"] = os.path.abspath(options.build)
    # RSA, as most certificates are, and what a handshake's CPU is spent on.
    identity = Authority().issue("bench", key=["-newkey", "rsa:2048", "-nodes"])
    with Cluster("bench", autovacuum="off", max_connections=400) as server:
        server.require_password(USER, PASSWORD)
        secret = server.value("SELECT rolpassword FROM pg_authid WHERE rolname = %s", USER)
        server.create_database("bench")
        run_tool(server.bindir, ["pgbench", "-i", "-q", "-s", "10", "-h", server.host, "-p",
                                 str(server.port), "-U", "postgres", "bench"])
        server.query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO app", dbname="bench")
        targets = {"pgbouncer": lambda: PgBouncer(server, identity, PASSWORD),
                   "pgbouncer-verifier": lambda: PgBouncer(server, identity, secret),
                   "pgbouncer-verifier-fresh": lambda: PgBouncer(server, identity, secret,
                                                                 "server_lifetime = 0"),
                   "pgsluice": lambda: pgsluice(server, identity, secret)}
        scenarios = {k: v for k, v in SCENARIOS.items() if options.only in k}
        print(time.strftime("%Y-%m-%d"), subprocess.getoutput("pgbouncer --version").split("\n")[0],
              f"rounds {options.rounds}, {options.seconds} s each")
        report(measure(targets, scenarios, options))


if __name__ == "__main__":
    main()
