"""Two servers that follow each other: logical and physical replication from `old` to `new`."""

import os
import shutil
import subprocess

from .cluster import Cluster, run_tool, wait_until


class LogicalPair:
    """`old` publishes every table of `dbname`, `new` subscribes to them.

    `scripts` create the schema on both servers; `data` is run on `old` only. Returns when every
    table of the subscription is in state `r`, that is, streams.
    """

    def __init__(self, dbname="app", scripts=(), data=(), subscription="app_sub", bindirs=None,
                 **settings):
        old_bin, new_bin = bindirs or (None, None)
        self.dbname, self.subscription = dbname, subscription
        self.old = Cluster("old", bindir=old_bin, **settings)
        self.new = Cluster("new", bindir=new_bin, **settings)
        for server in (self.old, self.new):
            server.create_database(dbname, *scripts)
        for script in data:
            self.old.query(script, dbname=dbname)
        self.old.query("CREATE PUBLICATION app_pub FOR ALL TABLES", dbname=dbname)
        self.subscribe()

    def publisher(self):
        """Where the subscription finds `old`: anything with host and port."""
        return self.old

    def subscribe(self):
        """Returns when every table streams."""
        at = self.publisher()
        self.new.query(
            f"CREATE SUBSCRIPTION {self.subscription} CONNECTION 'host={at.host} port={at.port} "
            f"user=postgres dbname={self.dbname}' PUBLICATION app_pub", dbname=self.dbname)
        wait_until(self.all_tables_ready, "initial copy of the subscription", 60)

    def all_tables_ready(self):
        return self.new.value("SELECT count(*) FILTER (WHERE srsubstate <> 'r') = 0 "
                              "FROM pg_subscription_rel", dbname=self.dbname)

    def destroy(self):
        self.new.destroy()
        self.old.destroy()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.destroy()


def conninfo_of(primary, slot):
    return f"host=127.0.0.1 port={primary.port} user=postgres application_name={slot}"


def standby_of(primary, name, slot, **settings):
    """A standby of a server, with a slot there; returns when it streams."""
    standby = Cluster(name, init=False, **settings)
    conninfo = conninfo_of(primary, slot)
    _copy(primary, standby, conninfo, slot)
    standby.configure(primary_conninfo=conninfo, primary_slot_name=slot)
    _mark_as_standby(standby)
    standby.start()
    wait_until(lambda: _streams(primary, slot), "streaming replication", 60)
    return standby


def _copy(primary, standby, conninfo, slot):
    if os.path.exists(os.path.join(primary.bindir, "pg_basebackup")):
        run_tool(primary.bindir, ["pg_basebackup", "-d", conninfo, "-D", standby.data, "-X",
                                  "stream", "-c", "fast", "-C", "-S", slot])
        return
    primary.stop()
    subprocess.run(["cp", "-a", primary.data, standby.data], check=True)
    primary.start()
    primary.query("SELECT pg_create_physical_replication_slot(%s, true)", slot)


def _mark_as_standby(server):
    path = os.path.join(server.data, "standby.signal")
    with open(path, "w"):
        pass
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def _streams(primary, slot):
    return primary.query("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND "
                         "application_name = %s", slot)


class PhysicalPair:
    """`old` is a primary, `new` its streaming standby, which has a slot."""

    slot = "app_standby"

    def __init__(self, dbname="app", scripts=(), **settings):
        self.dbname = dbname
        self.old = Cluster("old", **settings)
        self.old.create_database(dbname, *scripts)
        self.new = standby_of(self.old, "new", self.slot, **settings)

    def streaming(self):
        return _streams(self.old, self.slot)

    def destroy(self):
        self.new.destroy()
        self.old.destroy()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.destroy()
