"""Sessions that hold state, each on a thread of its own, each on one connection from start to end.

A kind sets its state up once, then repeats `step` and now and then `check`; whatever goes wrong is
an error of that session. Rows that were acknowledged are kept in `rows`, to be looked for on the new
server afterwards.
"""

import threading
import time

import psycopg2

SCHEMA = """
CREATE TABLE ledger (id text PRIMARY KEY, kind text NOT NULL, seen timestamptz DEFAULT now());
CREATE TABLE balance (kind text PRIMARY KEY, total bigint NOT NULL);
CREATE TABLE ticket (id bigserial PRIMARY KEY, note text);
CREATE SCHEMA tenant_a;
CREATE TABLE tenant_a.setting (name text PRIMARY KEY, value text);
"""

PAUSE_S = 0.01


class Session(threading.Thread):
    """The life of one client."""

    kind = ""
    state = "nothing but the connection"

    def __init__(self, dsn, number, stop):
        super().__init__(daemon=True)
        self.dsn, self.number, self.stop = dsn, number, stop
        self.name = f"{self.kind}-{number}"
        self.operations, self.errors, self.rows = 0, [], []
        self.longest_s = 0.0
        self.measure = False  # stalls count from the moment the cutover begins
        self.ready = threading.Event()
        self.server = None

    def run(self):
        try:
            self.connection = psycopg2.connect(self.dsn, application_name=self.name)
            self.connection.autocommit = True
            self.cursor = self.connection.cursor()
            self.set_up()
            self.ready.set()
            while not self.stop.is_set():
                self.timed(self.step)
                self.stop.wait(PAUSE_S)
            self.timed(self.check)
            self.server = self.one("SHOW cluster_name")
            self.connection.close()
        except (psycopg2.Error, AssertionError) as error:
            self.errors.append(f"{self.name}: {' '.join(str(error).split())}")
        finally:
            self.ready.set()

    def timed(self, action):
        start = time.monotonic()
        action()
        if self.measure:
            self.longest_s = max(self.longest_s, time.monotonic() - start)
        self.operations += 1

    def one(self, sql, *values):
        self.cursor.execute(sql, values or None)
        return self.cursor.fetchone()[0]

    def do(self, sql, *values):
        self.cursor.execute(sql, values or None)

    def expect(self, wanted, sql, *values):
        found = self.one(sql, *values)
        assert found == wanted, f"{sql}: expected {wanted!r}, got {found!r}"

    def new_id(self):
        return f"{self.name}-{self.operations}"

    def insert(self):
        key = self.new_id()
        self.do("INSERT INTO ledger (id, kind) VALUES (%s, %s)", key, self.kind)
        self.rows.append(key)

    def set_up(self):
        pass

    def step(self):
        raise NotImplementedError

    def check(self):
        pass


class Autocommit(Session):
    kind = "autocommit"

    def step(self):
        self.insert()


class Transaction(Session):
    kind = "transaction"

    def set_up(self):
        self.do("INSERT INTO balance VALUES (%s, 0)", self.name)

    def step(self):
        key = self.new_id()
        self.do("BEGIN")
        self.do("INSERT INTO ledger (id, kind) VALUES (%s, %s)", key, self.kind)
        self.do("UPDATE balance SET total = total + 1 WHERE kind = %s", self.name)
        self.do("COMMIT")
        self.rows.append(key)

    def check(self):
        self.expect(len(self.rows), "SELECT total FROM balance WHERE kind = %s", self.name)


class Prepared(Session):
    kind = "prepared"
    state = "a prepared statement"

    def set_up(self):
        self.do("PREPARE add_row (text) AS INSERT INTO ledger (id, kind) VALUES ($1, 'prepared')")

    def step(self):
        key = self.new_id()
        self.do("EXECUTE add_row (%s)", key)
        self.rows.append(key)


class Settings(Session):
    kind = "settings"
    state = "search_path, time zone, role, app.tenant"

    def set_up(self):
        self.do("SET search_path = tenant_a, public")
        self.do("SET TimeZone = 'Asia/Kathmandu'")
        self.do("SET app.tenant = %s", self.name)
        self.do("SET ROLE pg_read_all_data")

    def step(self):
        self.expect(self.name, "SELECT current_setting('app.tenant')")
        self.expect("pg_read_all_data", "SELECT current_user::text")
        self.expect("Asia/Kathmandu", "SHOW TimeZone")
        self.expect("tenant_a", "SELECT current_schema::text")

    def check(self):
        self.expect("tenant_a, public", "SHOW search_path")


class Listener(Session):
    kind = "listen"
    state = "LISTEN, every notification once and in order"

    def set_up(self):
        self.channel = f"demo_{self.number}"
        self.do(f"LISTEN {self.channel}")
        self.heard, self.sent = [], 0

    def step(self):
        self.sent += 1
        self.do(f"NOTIFY {self.channel}, '{self.sent}'")
        self.hear()

    def hear(self):
        self.connection.poll()
        self.heard += [int(note.payload) for note in self.connection.notifies]
        self.connection.notifies.clear()

    def check(self):
        self.do("SELECT 1")
        self.hear()
        assert self.heard == list(range(1, self.sent + 1)), \
            f"heard {len(self.heard)} of {self.sent} notifications"


class Lock(Session):
    kind = "advisory lock"
    state = "a session lock, taken twice"

    def set_up(self):
        self.key = 4_000_000 + self.number
        for _ in range(2):
            self.do("SELECT pg_advisory_lock(%s)", self.key)

    def step(self):
        self.expect(1, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                    "AND objid = %s AND pid = pg_backend_pid()", self.key)

    def check(self):
        for wanted in (True, True, False):
            self.expect(wanted, "SELECT pg_advisory_unlock(%s)", self.key)


class Sequence(Session):
    kind = "sequence"
    state = "keys that grow"

    def set_up(self):
        self.last = 0

    def step(self):
        drawn = self.one("INSERT INTO ticket (note) VALUES (%s) RETURNING id", self.name)
        assert drawn > self.last, f"key {drawn} after {self.last}"
        self.last = drawn


class Idle(Session):
    kind = "idle"
    state = "a setting, through silence"

    def set_up(self):
        self.do("SET app.tenant = %s", self.name)

    def step(self):
        self.stop.wait()

    def check(self):
        self.expect(self.name, "SELECT current_setting('app.tenant')")

    def timed(self, action):
        action()  # the silence is no stall
        self.operations += 1


class Newcomer(Session):
    kind = "new connection"
    state = "a connection a query"

    def step(self):
        with psycopg2.connect(self.dsn) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM balance")
        connection.close()


KINDS = [Autocommit, Transaction, Prepared, Settings, Listener, Lock, Sequence, Idle, Newcomer]
