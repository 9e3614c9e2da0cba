"""The proxy as a process: configuration, start, operator commands, stop.

The programs are taken from PGSLUICE_BUILD/bin, by default <repository>/build/bin.
"""

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import yaml

from .cluster import die_with_us, free_port, wait_until

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program(name):
    """The path of one of our programs, built or not."""
    build = os.environ.get("PGSLUICE_BUILD", os.path.join(REPOSITORY, "build"))
    return os.path.join(build, "bin", name)


def built():
    return os.path.exists(program("pgsluice")) and os.path.exists(program("sluicectl"))


class SluiceError(Exception):
    """The proxy or sluicectl did not do what the test relies on; the text carries the log."""


class Sluice:
    """One proxy with one service `app`.

    `backends` maps names to servers (anything with host and port); the first is the route unless
    `route` says otherwise. The keyword arguments set the keys of the same name in the YAML file:
    `service` holds further keys of the service, `config` further keys of the top level.
    """

    def __init__(self, backends, *, route=None, listen=None, dbname="postgres", move_every=0,
                 on_pinned=None, replication=None, hold=None, service=None, config=None,
                 workers=None, start=True):
        self.top = tempfile.mkdtemp(prefix="pgsluice-proxy-")
        self.state_dir = os.path.join(self.top, "state")
        os.mkdir(self.state_dir, 0o700)
        self.socket_path = os.path.join(self.top, "control.sock")
        self.config_path = os.path.join(self.top, "pgsluice.yaml")
        self.log_path = os.path.join(self.top, "log")
        self.host, self.port = "127.0.0.1", free_port()
        self.process = None
        self.preexec = die_with_us
        self.environment = {}
        app = {
            "listen": listen or [f"{self.host}:{self.port}"],
            "backends": {name: {"host": s.host, "port": s.port} for name, s in backends.items()},
            "route": route or next(iter(backends)),
            "admin": {"user": "postgres", "dbname": dbname},
        }
        if hold:
            app["hold"] = hold
        if replication:
            app["replication"] = replication
        if on_pinned:
            app["cutover"] = {"on_pinned": on_pinned}
        app.update(service or {})
        self.settings = {"control": {"socket": self.socket_path, "state_dir": self.state_dir},
                         "services": {"app": app}}
        if workers:
            self.settings["workers"] = workers
        if move_every:
            self.settings["testing"] = {"move_every": move_every}
        self.settings.update(config or {})
        atexit.register(self.destroy)
        self.write_config()
        if start:
            self.start()

    @property
    def service(self):
        """The settings of the service, to be changed before write_config()."""
        return self.settings["services"]["app"]

    def write_config(self):
        with open(self.config_path, "w") as conf:
            yaml.safe_dump(self.settings, conf, sort_keys=False)

    def executable(self):
        """The daemon that start() runs."""
        return program("pgsluice")

    def start(self, wait=True):
        """Starts the daemon with the same files as before; with `wait` until it serves."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.executable(), "-c", self.config_path],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **self.environment},
                                            preexec_fn=self.preexec)
        if wait:
            self._wait_served()
        return self

    def _wait_served(self):
        try:
            wait_until(self._serves, "start of pgsluice", 30)
        except TimeoutError as late:
            raise SluiceError(f"{late}\n{self.log_text()}") from None

    def _serves(self):
        if self.process.poll() is not None:
            raise SluiceError(f"pgsluice ended with {self.process.returncode}\n{self.log_text()}")
        if not os.path.exists(self.socket_path):
            return False
        try:
            with socket.create_connection((self.host, self.port), 1) as probe:
                probe.settimeout(5)
                probe.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")
                return probe.recv(1) != b""
        except OSError:
            # A service without a TCP listener is awaited by its control socket alone.
            return not any(str(self.port) in address for address in self.service["listen"])

    def ctl(self, *args, json=True, check=True, timeout_s=60):
        """Runs sluicectl; (exit code, parsed JSON or text). With `check` it must exit with 0."""
        done = self._run_ctl(args, json, timeout_s)
        if check and done.returncode != 0:
            raise SluiceError(f"sluicectl {' '.join(args)} exited with {done.returncode}\n"
                              f"{done.stdout}{done.stderr}\n{self.log_text()}")
        return done.returncode, _parse(done) if json else done.stdout + done.stderr

    def _run_ctl(self, args, as_json, timeout_s):
        command = [program("sluicectl"), "--socket", self.socket_path]
        command += ["--json"] if as_json else []
        return subprocess.run([*command, *map(str, args)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout_s)

    def ctl_start(self, *args, json=True):
        """Starts sluicectl without waiting for it; .finish() gives what ctl() would."""
        return _Running(self, args, json)

    def status(self):
        """The status of the one service."""
        return self.ctl("status")[1]["services"][0]

    def sessions(self):
        """The rows of `sessions`, whatever envelope they come in."""
        rows = self.ctl("sessions")[1]
        if isinstance(rows, dict):
            rows = next(v for v in rows.values() if isinstance(v, list))
        return rows

    def wait_status(self, condition, what, deadline_s=20):
        """Waits until condition(status of the service) holds; returns that status."""
        def look():
            seen = self.status()
            return seen if condition(seen) else None
        try:
            return wait_until(look, what, deadline_s)
        except TimeoutError as late:
            raise SluiceError(f"{late}; now {self.status()}\n{self.log_text()}") from None

    def wait_parked(self, count, deadline_s=20):
        return self.wait_status(lambda s: s["sessions"]["parked"] == count,
                                f"{count} parked sessions", deadline_s)

    def log_text(self, characters=6000):
        with open(self.log_path, errors="replace") as log:
            return "--- log of pgsluice ---\n" + log.read()[-characters:]

    def wait_logged(self, words):
        """Clients may hear of something before it stands in the log."""
        wait_until(lambda: words in self.log_text(), f"'{words}' in the log")

    def rss_kib(self):
        """Resident memory of the daemon."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    def running(self):
        return self.process is not None and self.process.poll() is None

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, deadline_s=20):
        """Graceful stop; the exit code must be 0."""
        if not self.running():
            raise SluiceError(f"pgsluice ended by itself with {self.process.poll()}\n"
                              f"{self.log_text()}")
        self.process.terminate()
        try:
            code = self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise SluiceError(f"no stop within {deadline_s} s\n{self.log_text()}") from None
        if code != 0:
            raise SluiceError(f"exit code {code} after SIGTERM\n{self.log_text()}")

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        """Graceful stop (if it still runs) and start with the same state directory."""
        if self.running():
            self.stop()
        return self.start()

    def destroy(self):
        if self.running():
            self.kill9()
        shutil.rmtree(self.top, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        """After a good test the daemon must still run and stop well; after a bad one, its log."""
        try:
            if kind is None and self.process is not None:
                self.stop()
            elif kind is not None:
                print(self.log_text())
        finally:
            self.destroy()


class _Running:
    """A sluicectl that is under way."""

    def __init__(self, sluice, args, as_json):
        self.sluice, self.args, self.as_json, self.done = sluice, args, as_json, None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        self.done = self.sluice._run_ctl(self.args, self.as_json, 120)

    def running(self):
        return self.thread.is_alive()

    def finish(self, timeout_s=60):
        self.thread.join(timeout_s)
        if self.thread.is_alive():
            raise SluiceError(f"sluicectl {' '.join(map(str, self.args))} still runs after "
                              f"{timeout_s} s\n{self.sluice.log_text()}")
        return self.done.returncode, (_parse(self.done) if self.as_json
                                      else self.done.stdout + self.done.stderr)


def _parse(done):
    """The last JSON value that sluicectl printed, or the raw text where there is none."""
    try:
        return json.loads(done.stdout)
    except ValueError:
        pass
    for line in reversed(done.stdout.splitlines()):
        try:
            return json.loads(line)
        except ValueError:
            continue
    return done.stdout + done.stderr


@contextlib.contextmanager
def faults(points):
    """Daemons that are started inside have these fault points: "name=kill|stop|error,..."."""
    os.environ["PGSLUICE_FAULT"] = points
    try:
        yield
    finally:
        del os.environ["PGSLUICE_FAULT"]
