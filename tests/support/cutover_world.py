"""What tests of cutovers share: a pair of servers with a ledger in it, and the proxy before it."""

import contextlib
import os
import shutil
import subprocess

import psycopg2

from .cluster import wait_until
from .ledger import schema
from .network import Wire
from .pairs import LogicalPair, PhysicalPair
from .sluice import Sluice

DB = "app"
REPLICATION = {"logical": {"kind": "logical", "subscription": "app_sub"},
               "physical": {"kind": "physical"}, "none": {"kind": "none"}}
COUNTED = "INSERT INTO counted SELECT w FROM generate_series(0, 15) w"


def logical_pair(more="", **settings):
    return LogicalPair(dbname=DB, scripts=(schema(fill=False) + more,), data=(COUNTED,),
                       **settings)


def physical_pair(more="", **settings):
    return PhysicalPair(dbname=DB, scripts=(schema(fill=True) + more,), **settings)


def proxy_for(pair, kind, **settings):
    """`pair.old` and `pair.new` behind a proxy, or what is in front of them (`pair.backends`)."""
    backends = getattr(pair, "backends", {"blue": pair.old, "green": pair.new})
    return Sluice(backends, dbname=DB, replication=REPLICATION[kind], **settings)


def connect(proxy):
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres", dbname=DB,
                                  connect_timeout=60)
    connection.autocommit = True
    return connection


def one(connection, sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchone()[0]


def side(proxy):
    """The name of the server that a new client gets."""
    with contextlib.closing(connect(proxy)) as connection:
        return one(connection, "SHOW cluster_name")


def answer_of(result):
    """(exit code, one flat dictionary) of a cutover."""
    code, answer = result
    assert isinstance(answer, dict), answer
    return code, {**answer, **answer.get("result", {})}


def cutover(proxy, *arguments, to="green"):
    return answer_of(proxy.ctl("cutover", "--to", to, *arguments, check=False, timeout_s=120))


def writable(server):
    """Takes a fence down by hand."""
    server.query("ALTER SYSTEM RESET default_transaction_read_only")
    server.reload()
    wait_until(lambda: server.value("SHOW default_transaction_read_only") == "off", "a reload")


def restore_tree(saved, tree):
    """Makes `tree` equal to its copy `saved`; copies only what has another size or time."""
    for top, _, files in os.walk(tree):
        for name in files:
            path = os.path.join(top, name)
            if not os.path.exists(saved + path[len(tree):]):
                os.unlink(path)
    for top, folders, files in os.walk(saved):
        for name in folders + files:
            source = os.path.join(top, name)
            path = tree + source[len(saved):]
            if _stamp(source) == _stamp(path):
                continue
            if name in folders:
                os.makedirs(path, exist_ok=True)
            else:
                shutil.copy2(source, path)
            shutil.copystat(source, path)
            if os.geteuid() == 0:
                shutil.chown(path, os.stat(source).st_uid, os.stat(source).st_gid)


def _stamp(path):
    try:
        return os.stat(path).st_size, os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None


class LastingLogicalPair(LogicalPair):
    """A pair that can be used again after a cutover, whatever became of it."""

    def __init__(self):
        super().__init__(dbname=DB, scripts=(schema(fill=False),), data=(COUNTED,),
                         wal_retrieve_retry_interval="100ms")

    def rewind(self):
        """Both run, `old` is writable and `new` follows it; the ledgers are empty."""
        for server in (self.old, self.new):
            if not server.running():
                server.start()
            writable(server)
        if not self.can_follow():
            self.subscribe_anew()
        elif not self.new.value("SELECT subenabled FROM pg_subscription"):
            wait_until(lambda: not self.follows(), "the end of the apply worker")
            # The new server's sequence begins again, so that a cutover has to set it.
            self.new.query("TRUNCATE ledger RESTART IDENTITY", dbname=DB)
            self.new.query("ALTER SUBSCRIPTION app_sub ENABLE", dbname=DB)
        wait_until(self.follows, "replication", 60)
        self.old.query("TRUNCATE ledger", dbname=DB)

    def follows(self):
        return (self.new.value("SELECT count(pid) FROM pg_stat_subscription") == 1 and
                self.old.value("SELECT bool_and(active) FROM pg_replication_slots"))

    def can_follow(self):
        """Neither the slot nor the publication has been taken away."""
        return (self.old.value("SELECT count(*) FROM pg_replication_slots") == 1 and
                self.old.value("SELECT count(*) FROM pg_publication WHERE pubname = 'app_pub'",
                               dbname=DB) == 1)

    def drop_slot(self):
        """Under its subscriber, which will not get another one."""
        drop_slots(self.old)

    def subscribe_anew(self):
        self.new.query("ALTER SUBSCRIPTION app_sub DISABLE", dbname=DB)
        self.new.query("ALTER SUBSCRIPTION app_sub SET (slot_name = NONE)", dbname=DB)
        self.new.query("DROP SUBSCRIPTION app_sub", dbname=DB)
        self.drop_slot()
        self.old.query("DROP PUBLICATION IF EXISTS app_pub, gone_pub; "
                       "CREATE PUBLICATION app_pub FOR ALL TABLES", dbname=DB)
        self.new.query("TRUNCATE ledger, counted RESTART IDENTITY", dbname=DB)
        self.subscribe()


class WiredLogicalPair(LastingLogicalPair):
    """One whose connections can be cut: the proxy's to each server, and the replication."""

    def __init__(self):
        self.wires = {}
        super().__init__()
        self.wires["proxy-old"], self.wires["proxy-new"] = Wire(self.old), Wire(self.new)
        self.backends = {"blue": self.wires["proxy-old"], "green": self.wires["proxy-new"]}

    def publisher(self):
        if "old-new" not in self.wires:
            self.wires["old-new"] = Wire(self.old)
        return self.wires["old-new"]

    def destroy(self):
        for wire in self.wires.values():
            wire.close()
        super().destroy()


def drop_slots(server):
    """Ends the walsenders as often as they come back before the slots are gone. A fence that goes
    up meanwhile ends this session, as any other past the proxy."""
    def gone():
        try:
            server.query("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                         "WHERE active")
            server.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                         "WHERE NOT active")
            return server.value("SELECT count(*) FROM pg_replication_slots") == 0
        except psycopg2.OperationalError:  # in use again, for example
            return False
    wait_until(gone, "the end of the replication slots")


def follow_back(pair):
    """After a logical cutover: `old` follows `new` under the same name, beginning with a copy, for
    `new` was written to meanwhile. Nobody writes now."""
    slot = pair.new.value("SELECT subslotname FROM pg_subscription")
    pair.new.query("ALTER SUBSCRIPTION app_sub SET (slot_name = NONE)", dbname=DB)
    pair.new.query("DROP SUBSCRIPTION app_sub", dbname=DB)
    pair.new.query("CREATE PUBLICATION back_pub FOR ALL TABLES", dbname=DB)
    # The fence stands on the old server: this session asks for a writable transaction.
    with contextlib.closing(pair.old.connect(
            DB, options="-c default_transaction_read_only=off")) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_drop_replication_slot(%s)", (slot,))
        cursor.execute("TRUNCATE ledger, counted")
        cursor.execute(f"CREATE SUBSCRIPTION app_sub CONNECTION 'host=127.0.0.1 "
                       f"port={pair.new.port} user=postgres dbname={DB}' PUBLICATION back_pub")
    wait_until(lambda: pair.old.query("SELECT 1 FROM pg_subscription_rel "
                                      "HAVING bool_and(srsubstate = 'r')", dbname=DB),
               "replication in the other direction", 60)


class LastingPhysicalPair(PhysicalPair):
    """A primary and its standby, and a copy of both to begin again from."""

    def __init__(self):
        super().__init__(dbname=DB, scripts=(schema(fill=True),))
        self.old.stop()  # waits until the standby has everything
        self.new.stop()
        for server in (self.old, self.new):
            subprocess.run(["cp", "-a", server.data, server.data + ".saved"], check=True)
        self._go_on()

    def _go_on(self):
        self.old.start()
        self.new.start()
        wait_until(self.streaming, "streaming replication", 60)

    def rewind(self):
        """Both are as they were in the beginning."""
        for server in (self.old, self.new):
            server.kill9()
            restore_tree(server.data + ".saved", server.data)
        self._go_on()


@contextlib.contextmanager
def traced():
    """Daemons that are started inside write down the fault points they pass; yields the file."""
    path = os.path.join("/tmp", f"pgsluice-trace-{os.getpid()}")
    os.environ["PGSLUICE_FAULT_TRACE"] = path
    open(path, "w").close()
    try:
        yield path
    finally:
        del os.environ["PGSLUICE_FAULT_TRACE"]
        os.unlink(path)
