"""What is measured. Each scenario yields a dict of figures for one target in one round."""

import dataclasses
import os
import re
import subprocess
import time

import psycopg2

from support.cluster import Cluster, wait_until
from targets import PASSWORD, USER, Direct, OurProxy, cpu_s, pss_kib, started

CONNECTS_AT_ONCE = 8
IDLE_SESSIONS = 400
MOVED_SESSIONS = 100
ROW_BYTES, ROWS_OUT, ROWS_IN = 8000, 20_000, 10_000


@dataclasses.dataclass
class Bench:
    """What all scenarios share."""

    server: Cluster
    identity: object
    seconds: float

    def environment(self, sslmode="disable"):
        return {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "PGSSLMODE": sslmode,
                "PGGSSENCMODE": "disable", "HOME": "/nonexistent"}

    def answers(self, port):
        try:
            self.connect(port).close()
            return True
        except psycopg2.OperationalError:
            return False

    def connect(self, port):
        connection = psycopg2.connect(host="127.0.0.1", port=port, user=USER, password=PASSWORD,
                                      dbname="bench", sslmode="disable", connect_timeout=10)
        connection.autocommit = True
        return connection

    def target(self, name, makers, auth="trust"):
        if name == "direct":
            return Direct(self.server)
        return makers[name][1](self.server, self.identity, auth)

    def pgbench(self, port, arguments, sslmode="disable"):
        """(transactions, transactions a second, average latency in µs)."""
        seconds = max(1, round(self.seconds))
        out = self._output_of_pgbench(port, arguments, sslmode, seconds)
        # Its time includes the logins, so a machine under load may leave none for transactions.
        while "tps = " not in out and seconds < 60:
            seconds *= 2
            out = self._output_of_pgbench(port, arguments, sslmode, seconds)
        count = int(re.search(r"actually processed: (\d+)", out).group(1))
        rate = float(re.search(r"tps = ([\d.]+)", out).group(1))
        latency = float(re.search(r"latency average = ([\d.]+) ms", out).group(1))
        return count, rate, latency * 1000

    def _output_of_pgbench(self, port, arguments, sslmode, seconds):
        command = ["pgbench", "-n", "-S", *arguments, "-h", "127.0.0.1", "-p", str(port),
                   "-U", USER, "-T", str(seconds), "bench"]
        done = subprocess.run(command, env=self.environment(sslmode), capture_output=True,
                              text=True, check=False)
        if done.returncode != 0 or "failed transactions: 0 " not in done.stdout:
            raise RuntimeError(" ".join(command) + "\n" + done.stderr[-1000:] + done.stdout[-500:])
        return done.stdout


@dataclasses.dataclass
class Transactions:
    """pgbench -S with so many clients in one protocol mode."""

    clients: int
    mode: str

    @property
    def what(self):
        return f"pgbench -S, {self.clients} client(s), -M {self.mode}"

    def fits(self, name, makers):
        return True

    def run(self, bench, name, makers):
        with started(bench.target(name, makers), bench.answers) as target:
            pids = target.pids()
            before = cpu_s(pids)
            count, rate, latency = bench.pgbench(
                target.port, ["-c", str(self.clients), "-j", str(min(self.clients, 2)),
                              "-M", self.mode])
            spent = cpu_s(pids) - before
        figures = {"transactions/s": rate, "latency µs": latency}
        return {"CPU µs/transaction": spent / count * 1e6, **figures} if pids else figures


@dataclasses.dataclass
class Connects:
    """A connection, a SELECT and a close for each transaction."""

    auth: str
    sslmode: str

    @property
    def what(self):
        tls = " over TLS" if self.sslmode == "require" else ""
        return f"connect, SELECT, close, {CONNECTS_AT_ONCE} at a time, {self.auth}{tls}"

    def fits(self, name, makers):
        """Relays leave login and TLS to the server, which has no TLS here; trust is the proxy's."""
        ends_login = name == "pgsluice" or name == "pgbouncer" or name not in ("direct", "haproxy",
                                                                               "nginx")
        return ends_login if self.auth == "trust" or self.sslmode == "require" else True

    def run(self, bench, name, makers):
        with started(bench.target(name, makers, self.auth), bench.answers) as target:
            pids = target.pids()
            before = cpu_s(pids)
            count, rate, _ = bench.pgbench(
                target.port, ["-C", "-c", str(CONNECTS_AT_ONCE), "-j", "2"], self.sslmode)
            spent = cpu_s(pids) - before
        figures = {"connects/s": rate}
        return {"CPU µs/connect": spent / count * 1e6, **figures} if pids else figures


@dataclasses.dataclass
class Copy:
    """One COPY of wide rows in one direction."""

    is_out: bool

    @property
    def what(self):
        return f"COPY {'TO STDOUT' if self.is_out else 'FROM STDIN'} of 8 KB rows"

    def fits(self, name, makers):
        return True

    def run(self, bench, name, makers):
        with started(bench.target(name, makers), bench.answers) as target:
            connection = bench.connect(target.port)
            pids = target.pids()
            before, began = cpu_s(pids), time.monotonic()
            size = self._out(connection) if self.is_out else self._in(connection)
            spent, took = cpu_s(pids) - before, time.monotonic() - began
            connection.close()
        figures = {"MB/s": size / took / 1e6}
        return {"CPU s/GB": spent / size * 1e9, **figures} if pids else figures

    @staticmethod
    def _out(connection):
        class Counter:
            size = 0

            def write(self, data):
                self.size += len(data)

        into = Counter()
        with connection.cursor() as cursor:
            cursor.copy_expert(f"COPY (SELECT repeat('x', {ROW_BYTES}) FROM generate_series(1, "
                               f"{ROWS_OUT})) TO STDOUT", into)
        return into.size

    @staticmethod
    def _in(connection):
        row = "x" * ROW_BYTES + "\n"

        class Source:
            left = ROWS_IN

            def read(self, size):
                rows = min(self.left, max(1, size // len(row)))
                self.left -= rows
                return row * rows

        with connection.cursor() as cursor:
            cursor.copy_expert("COPY sink FROM STDIN WHERE false", Source())
        return len(row) * ROWS_IN


class Memory:
    """Idle sessions, each after one query."""

    what = f"{IDLE_SESSIONS} idle sessions, each after one query"

    def fits(self, name, makers):
        return name != "direct"

    def run(self, bench, name, makers):
        with started(bench.target(name, makers), bench.answers) as target:
            pids = target.pids()
            before = pss_kib(pids)
            sessions = [bench.connect(target.port) for _ in range(IDLE_SESSIONS)]
            for session in sessions:
                with session.cursor() as cursor:
                    cursor.execute("SELECT 1")
            grown = pss_kib(pids) - before
            for session in sessions:
                session.close()
        return {"PSS KiB/session": grown / IDLE_SESSIONS}


class Move:
    """Idle sessions with prepared statements and settings move to a second server."""

    what = f"{MOVED_SESSIONS} idle sessions with state move to a second server"

    def fits(self, name, makers):
        return name not in ("direct", "pgbouncer", "haproxy", "nginx")

    def run(self, bench, name, makers):
        with Cluster("bench-green", autovacuum="off", max_connections=1300) as green:
            green.query(f"CREATE ROLE {USER} LOGIN")
            green.create_database("bench")
            target = OurProxy(bench.server, bench.identity, "trust", makers[name][0],
                              {"green": green})
            with started(target, bench.answers):
                sessions = [self._session(bench, target.port) for _ in range(MOVED_SESSIONS)]
                proxy, server = cpu_s(target.pids()), cpu_s(green.pids())
                target.ctl("retarget", "green")
                wait_until(lambda: target.status()["sessions"]["moving"] == 0, "the moves")
                figures = {
                    "CPU ms of pgsluice/session": (cpu_s(target.pids()) - proxy) * 1000,
                    "CPU ms of the new server/session": (cpu_s(green.pids()) - server) * 1000}
                for session in sessions:
                    session.close()
        return {figure: value / MOVED_SESSIONS for figure, value in figures.items()}

    @staticmethod
    def _session(bench, port):
        session = bench.connect(port)
        with session.cursor() as cursor:
            cursor.execute("SET search_path = public, pg_catalog; SET TimeZone = 'UTC'; "
                           "SET app.tenant = '42'")
            for number in range(3):
                cursor.execute(f"PREPARE s{number} AS SELECT $1::int + {number}")
        return session


SCENARIOS = {
    **{f"c{clients}-{mode}": Transactions(clients, mode)
       for clients in (1, 16) for mode in ("simple", "extended", "prepared")},
    "connect-trust": Connects("trust", "disable"),
    "connect-scram": Connects("scram", "disable"),
    "connect-tls-scram": Connects("scram", "require"),
    "copy-out": Copy(True),
    "copy-in": Copy(False),
    "memory": Memory(),
    "move": Move(),
}
