"""A write load that remembers what it was told, and a verdict over both servers afterwards.

Each writer inserts rows with keys of its own, one after the other, half of them in transactions of
two rows. A key is acknowledged, in doubt (the connection ended before the answer came) or refused.
The table has no unique key on purpose: a row that is there twice must be seen.
"""

import itertools
import threading
import time

import psycopg2

SCHEMA = """
CREATE TABLE ledger (id bigserial PRIMARY KEY, key text NOT NULL, at timestamptz DEFAULT now());
CREATE TABLE counted (writer int PRIMARY KEY, total bigint NOT NULL DEFAULT 0);
INSERT INTO counted SELECT w FROM generate_series(0, 15) w WHERE {fill};
"""


def schema(fill):
    """The DDL; rows only where `fill`: the subscriber gets them by replication."""
    return SCHEMA.format(fill="true" if fill else "false")


class Writer(threading.Thread):
    """One client. Reconnects when its connection ends, until it is told to stop."""

    def __init__(self, ledger, number):
        super().__init__(daemon=True)
        self.ledger, self.number, self.count = ledger, number, 0
        self.acked, self.doubtful, self.errors = [], [], []
        self.connection = None

    def run(self):
        while not self.ledger.stop.is_set():
            key = f"{self.ledger.prefix}.{self.number}.{self.count}"
            self.count += 1
            try:
                self.write(key)
                self.acked.append(key)
                self.ledger.progress()
            except psycopg2.Error as error:
                self.failed(key, error)
            self.ledger.stop.wait(self.ledger.pause_s)
        if self.connection is not None:
            self.connection.close()

    def write(self, key):
        if self.connection is None:
            self.connection = psycopg2.connect(self.ledger.dsn, connect_timeout=60)
            self.connection.autocommit = True
        cursor = self.connection.cursor()
        if self.count % 2:
            cursor.execute("INSERT INTO ledger (key) VALUES (%s)", (key,))
            return
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO ledger (key) VALUES (%s)", (key,))
        cursor.execute("UPDATE counted SET total = total + 1 WHERE writer = %s", (self.number,))
        cursor.execute("COMMIT")

    def failed(self, key, error):
        self.errors.append(f"{type(error).__name__} {error.pgcode}: {' '.join(str(error).split())}")
        if self.connection is None:
            self.ledger.stop.wait(0.05)  # nobody there: not too often
            return
        lost = self.connection.closed or error.pgcode is None or error.pgcode.startswith("57P")
        if lost or error.pgcode == "08006":
            self.doubtful.append(key)
            self.connection.close()
            self.connection = None
        else:
            self.connection.cursor().execute("ROLLBACK")


_numbers = itertools.count()


class Ledger:
    """`with Ledger(sluice, "app") as ledger:` keeps `writers` clients writing. `login` is whatever
    libpq needs for it."""

    def __init__(self, proxy, dbname, writers=6, pause_s=0.002, login="user=postgres"):
        self.dsn = f"host={proxy.host} port={proxy.port} dbname={dbname} {login}"
        self.dbname, self.pause_s = dbname, pause_s
        self.prefix = f"run{next(_numbers)}"
        self.stop = threading.Event()
        self._news = threading.Condition()
        self.writers = [Writer(self, number) for number in range(writers)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        self.wait_for_progress()
        return self

    def __exit__(self, *unused):
        self.finish()

    def finish(self):
        self.stop.set()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), f"writer {writer.number} hangs"

    def progress(self):
        with self._news:
            self._news.notify_all()

    def wait_for_progress(self, rows=20, deadline_s=60):
        """Until every writer together had `rows` more acknowledgements than now."""
        wanted = self.acknowledged() + rows
        end = time.monotonic() + deadline_s
        with self._news:
            while self.acknowledged() < wanted:
                left = end - time.monotonic()
                assert left > 0, f"no progress: {self.errors()[-3:]}"
                self._news.wait(left)

    def acknowledged(self):
        return sum(len(writer.acked) for writer in self.writers)

    def errors(self):
        return [error for writer in self.writers for error in writer.errors]

    def errors_beside(self, codes):
        return [error for error in self.errors() if error.split()[1].rstrip(":") not in codes]

    def rows_on(self, server):
        rows = server.query("SELECT key FROM ledger WHERE key LIKE %s", self.prefix + ".%",
                            dbname=self.dbname)
        return [row[0] for row in rows]

    def verdict(self, truth, other=None):
        """Problems in words: `truth` must hold every acknowledged row exactly once, nothing that
        was never sent; what `other` holds must be there too, or it was written on the wrong side.
        """
        held = self.rows_on(truth)
        acked = {key for writer in self.writers for key in writer.acked}
        doubtful = {key for writer in self.writers for key in writer.doubtful}
        problems = []
        for name, keys in (("lost", acked - set(held)), ("unknown", set(held) - acked - doubtful)):
            if keys:
                problems.append(f"{len(keys)} rows {name}, for instance {sorted(keys)[:3]}")
        if len(held) != len(set(held)):
            problems.append(f"{len(held) - len(set(held))} rows twice")
        if other is not None:
            there = set(self.rows_on(other))
            if there - set(held):
                problems.append(f"on the wrong side: {sorted(there - set(held))[:3]}")
        return problems
