"""Throwaway PostgreSQL servers on free ports of 127.0.0.1.

A `Cluster` is one server with a data directory of its own below a temporary directory. The result
of initdb is kept as a template for the life of the process, so a further server costs one copy.
PGSLUICE_PG_BIN (or the argument `bindir`) selects the version; 14 to 18 are meant to work.

The postmaster is our own child, started as user `postgres` when the tests run as root. All signals
go to process ids that were read from this very server: nothing is ever looked up by its name.
"""

import atexit
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import psycopg2

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

DEFAULTS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 300,
    "shared_buffers": "64MB",
    "wal_level": "logical",
    "max_wal_senders": 10,
    "max_replication_slots": 10,
    "wal_receiver_status_interval": "1s",
    "log_min_messages": "warning",
    "autovacuum_naptime": "1h",
    "jit": "off",
}


class ClusterError(Exception):
    """A server did not do what it was asked; the text carries the end of its log."""


def bin_dir():
    """The folder with initdb and postgres: PGSLUICE_PG_BIN, else the newest one from Debian."""
    chosen = os.environ.get("PGSLUICE_PG_BIN")
    if chosen:
        return chosen
    root = "/usr/lib/postgresql"
    versions = sorted((v for v in os.listdir(root) if v.isdigit()), key=int)
    return f"{root}/{versions[-1]}/bin"


def bindir_of(version):
    """The programs of a major version, fetched where the distribution does not have them."""
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    tool = os.path.join(os.path.dirname(tests), "tools", "postgres")
    return subprocess.check_output([tool, str(version)], text=True).strip()


def free_port():
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, what, deadline_s=30.0):
    """Polls `condition` until it is true; its value, or TimeoutError that names `what`."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_s:g} s")
        time.sleep(0.01)


def settled(measure, looks=15):
    """Waits until a measure has been the same for a number of looks; its value."""
    history = []

    def look():
        history.append(measure())
        return len(history) >= looks and len(set(history[-looks:])) == 1

    wait_until(look, "a measure that stands still", 60)
    return history[-1]


def die_with_us():
    """preexec_fn of servers: a test run that is killed must not leave them behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def as_postgres():
    """Arguments of Popen that make a root test run start a program as user `postgres`."""
    if os.geteuid() != 0:
        return {}
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def temp_dir(prefix="pgsluice-test-"):
    """A directory that user `postgres` may enter; removed at exit."""
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o755)
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def child_pids(pid):
    """The direct children of a process, from /proc."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = []
    for task in tasks:
        try:
            with open(f"/proc/{pid}/task/{task}/children") as children:
                found += [int(word) for word in children.read().split()]
        except OSError:
            pass
    return found


class _Templates:
    """One initialised data directory for each bindir, made when first asked for."""

    def __init__(self):
        self._paths = {}

    def copy_to(self, bindir, data):
        if not os.path.exists(os.path.join(bindir, "pg_resetwal")):
            self._initialise(bindir, data)
            return
        if bindir not in self._paths:
            path = os.path.join(temp_dir("pgsluice-template-"), "data")
            self._initialise(bindir, path)
            self._paths[bindir] = path
        subprocess.run(["cp", "-a", "--reflink=auto", self._paths[bindir], data], check=True)
        self._give_own_identity(bindir, data)

    @staticmethod
    def _initialise(bindir, data):
        run_tool(bindir, ["initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                          "--no-locale", "-N"])
        with open(os.path.join(data, "postgresql.conf"), "a") as conf:
            conf.write("include 'test.conf'\n")

    @staticmethod
    def _give_own_identity(bindir, data):
        """Two copies of a template must not look like primary and standby of each other."""
        with open(os.path.join(data, "global/pg_control"), "r+b") as control:
            # ControlFileData begins with the system identifier; pg_resetwal mends the checksum.
            control.write(struct.pack("<Q", int.from_bytes(os.urandom(8), "little") >> 1))
        run_tool(bindir, ["pg_resetwal", "-f", "-D", data])


def tool_env(bindir):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    lib = os.path.join(os.path.dirname(bindir), "lib")
    if not bindir.startswith("/usr/") and os.path.isdir(lib):
        env["LD_LIBRARY_PATH"] = lib
    return env


def run_tool(bindir, command):
    """Runs one of PostgreSQL's own programs as the owner of the data directories."""
    done = subprocess.run([os.path.join(bindir, command[0]), *command[1:]], cwd="/",
                          env=tool_env(bindir), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **as_postgres())
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")


_templates = _Templates()


class Cluster:
    """One server. `settings` override DEFAULTS; `fsync=True` makes it as durable as production."""

    def __init__(self, name="pg", bindir=None, fsync=False, start=True, init=True, **settings):
        self.name = name
        self.bindir = bindir or bin_dir()
        self.host = "127.0.0.1"
        self.port = free_port()
        self.top = temp_dir()
        self.data = os.path.join(self.top, "data")
        self.log = os.path.join(self.top, "log")
        self.process = None
        self.settings = {**DEFAULTS, "cluster_name": name, "port": self.port,
                         "unix_socket_directories": self.top, "fsync": "on" if fsync else "off",
                         "full_page_writes": "on" if fsync else "off", **settings}
        atexit.register(self.destroy)
        if init:
            _templates.copy_to(self.bindir, self.data)
            self.configure()
        if init and start:
            self.start()

    def configure(self, **settings):
        """Adds settings and writes them; they are read at the next start or reload().

        They have a file of their own, so that an ALTER SYSTEM of the proxy goes before them.
        """
        self.settings.update(settings)
        path = os.path.join(self.data, "test.conf")
        with open(path, "w") as conf:
            for key, value in self.settings.items():
                quoted = str(value).replace("'", "''")
                conf.write(f"{key} = '{quoted}'\n")
        if os.geteuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    def start(self, wait=True):
        """Starts the postmaster; with `wait` until it answers queries."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.bindir, "postgres"), "-D", self.data], cwd="/",
                env=tool_env(self.bindir), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_us, **as_postgres())
        if wait:
            wait_until(self._answers, f"start of server {self.name}", 60)
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise ClusterError(f"server {self.name} did not start:\n{self.log_tail()}")
        try:
            self.connect().close()
            return True
        except psycopg2.OperationalError:
            return False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast", deadline_s=30):
        """Stops the server: `smart`, `fast` or `immediate`, as pg_ctl calls them."""
        if not self.running():
            return
        number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        self.process.send_signal(number)
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ClusterError(f"server {self.name} did not stop:\n{self.log_tail()}") from None

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def pids(self):
        """The postmaster and all of its children as they are now."""
        return [self.process.pid, *child_pids(self.process.pid)] if self.running() else []

    def _signal_all(self, number):
        pids = self.pids()
        for pid in reversed(pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return pids

    def kill9(self):
        """kill -9 of the postmaster and its children; returns when all of them are gone."""
        # The postmaster must not start anything new between the look and the kill, and must not die
        # first: its children would notice and say goodbye to their clients.
        if not self.running():
            return
        self.process.send_signal(signal.SIGSTOP)
        pids = self._signal_all(signal.SIGKILL)
        self.process.wait(30)
        wait_until(lambda: not any(os.path.exists(f"/proc/{p}") and not _zombie(p) for p in pids),
                   f"death of server {self.name}")

    def freeze(self):
        """SIGSTOP of the postmaster and its children: the server hangs, its sockets stay open."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def connect(self, dbname="postgres", user="postgres", **options):
        """A psycopg2 connection in autocommit mode, directly to this server."""
        connection = psycopg2.connect(host=self.host, port=self.port, user=user, dbname=dbname,
                                      connect_timeout=options.pop("connect_timeout", 10), **options)
        connection.autocommit = True
        return connection

    def query(self, sql, *parameters, dbname="postgres", user="postgres"):
        """Runs SQL on a connection of its own; rows as a list of tuples, [] without a result."""
        connection = self.connect(dbname, user)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, sql, *parameters, **where):
        """The first column of the first row."""
        return self.query(sql, *parameters, **where)[0][0]

    def create_database(self, name, *scripts):
        """Makes a database and runs the scripts in it."""
        self.query(f'CREATE DATABASE "{name}"')
        for script in scripts:
            self.query(script, dbname=name)

    def require_password(self, user, password):
        """Makes a login role that has to give its password (SCRAM); the others stay trusted."""
        self.query("SET password_encryption = 'scram-sha-256'; "
                   f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
        with open(os.path.join(self.data, "pg_hba.conf"), "r+") as rules:
            before = rules.read()
            rules.seek(0)
            rules.write(f"host all {user} 127.0.0.1/32 scram-sha-256\n" + before)
        self.reload()
        wait_until(lambda: self._asks(user), f"{self.name} to ask {user} for a password")

    def _asks(self, user):
        try:
            self.connect(user=user, password="").close()
            return False
        except psycopg2.OperationalError:
            return True

    def log_tail(self, characters=3000):
        try:
            with open(self.log, errors="replace") as log:
                return log.read()[-characters:]
        except OSError:
            return ""

    def destroy(self):
        """Stops the server hard and removes its files; further calls do nothing."""
        if self.running():
            self.thaw()
            try:
                self.stop("immediate", 10)
            except ClusterError:
                pass
        shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.destroy()


def stopped(pid):
    """Whether a process stands still, as after SIGSTOP."""
    return _state(pid) == "T"


def _zombie(pid):
    try:
        return _state(pid) == "Z"
    except OSError:
        return True


def _state(pid):
    """The letter that /proc has for it."""
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]
