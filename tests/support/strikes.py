"""What can be done to a cutover under way: the faults that tests/chaos/README.md lists."""

import contextlib
import random
import threading
import time

import psycopg2

from .chaos import go_on
from .cluster import stopped, wait_until
from .cutover_world import DB
from .surroundings import SmallDisk, WallClock

LONGEST_S = 1.0  # of a fault that lasts
HOOKS = {"hangs": "sleep 3", "fails": "exit 7"}
JUMPS_S = (-86_400 * 30, -3600, 3600, 86_400 * 3650)


class Run:
    """One cutover in `world` and what is done to it, drawn with `dice`."""

    def __init__(self, world, seed):
        self.world, self.dice = world, random.Random(seed)
        self.done, self.commands, self.left_out = [], [], []
        self.disk = self.clock = self.proxy = None
        self.closed = threading.Event()

    def surroundings(self, proxy):
        """What has to be there before the proxy starts."""
        self.proxy = proxy
        self.disk, self.clock = SmallDisk(proxy.state_dir), WallClock()
        proxy.environment = self.clock.environment

    def service(self):
        """A part of the configuration: hooks that go wrong."""
        cutover = {"hook_timeout": "700ms"}
        checks = {"disk": "off"}  # it is to be a small one
        if self.dice.random() < 0.15:
            name = self.dice.choice(("before_command", "after_command", "abort_command"))
            how = self.dice.choice(sorted(HOOKS))
            cutover[name] = HOOKS[how]
            self.done.append(f"{name} {how}")
        return {"cutover": cutover, "checks": checks}

    def begin(self):
        """Another `cutover`, beside those that run."""
        self.commands.append(self.proxy.ctl_start("cutover", "--to", "green", "--timeout", "4s"))

    def strike(self):
        name = self.dice.choice(sorted(FAULTS))
        self.done.append(name)
        FAULTS[name](self)

    def finish(self):
        """Waits for the commands; their answers. A proxy that comes by the planted point once
        more, as a drain has two passes, stops there again."""
        def are_over():
            self.wake()
            return not any(command.running() for command in self.commands)
        wait_until(are_over, "the end of the commands", 100)
        answers = [command.finish() for command in self.commands]
        self.closed.set()
        return answers

    def close(self):
        """Takes the disk away again; the proxy has its files open."""
        self.closed.set()
        if self.disk is not None:
            self.disk.remove()

    # --- the proxy

    def wake(self):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
            if self.proxy.running() and stopped(self.proxy.process.pid):
                go_on(self.proxy)

    def kill_proxy(self):
        self.proxy.kill9()
        self.proxy.start()

    def restart_proxy(self):
        self.wake()
        self.proxy.stop()
        self.proxy.start()

    def keep_awake(self):
        while not self.closed.wait(0.02):
            self.wake()

    def abort(self):
        self.wake()
        self.proxy.ctl("abort", check=False)

    def cutover_again(self):
        """If it comes to the point where the first one stood still, it does not stand still."""
        threading.Thread(target=self.keep_awake, daemon=True).start()
        self.begin()

    def fill_disk(self):
        self.last(self.disk.fill, self.disk.empty, self.disk.why_not)

    def jump_clock(self):
        seconds = self.dice.choice(JUMPS_S)
        self.last(lambda: self.clock.jump(seconds), lambda: None, self.clock.why_not)

    # --- the servers

    def kill_server(self, name):
        server = getattr(self.world.pair, name)
        server.kill9()
        self.wake()
        server.start()

    def restart_server(self, name):
        server = getattr(self.world.pair, name)
        self.wake()
        server.restart()

    def freeze_server(self, name):
        server = getattr(self.world.pair, name)
        self.last(server.freeze, server.thaw)

    # --- what is between them

    def cut(self, name):
        wire = self.world.pair.wires[name]
        reset = self.dice.random() < 0.5
        self.last(wire.cut, lambda: wire.mend(reset))

    def end_walsender(self):
        self.sql("old", "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots")

    def disable_subscription(self):
        self.sql("new", "ALTER SUBSCRIPTION app_sub DISABLE")

    def rename_publication(self):
        # The fence may stand.
        self.sql("old", "BEGIN READ WRITE; ALTER PUBLICATION app_pub RENAME TO gone_pub; COMMIT")

    def drop_slot(self):
        self.world.pair.drop_slot()
        self.wake()

    def sql(self, name, statement):
        """Where the proxy or another fault was faster it comes to nothing."""
        with contextlib.suppress(psycopg2.Error):
            getattr(self.world.pair, name).query(statement, dbname=DB)
        self.wake()

    def last(self, begin, end, why_not=""):
        """A fault that lasts for a while, with the proxy going on in it."""
        if why_not:
            self.left_out.append(why_not)
            return
        begin()
        try:
            self.wake()
            time.sleep(self.dice.uniform(0, LONGEST_S))  # the fault is its length
        finally:
            end()


FAULTS = {
    "abort": Run.abort,
    "clock of the proxy jumps": Run.jump_clock,
    "cutover twice at once": Run.cutover_again,
    "disk of the proxy full": Run.fill_disk,
    "freeze new": lambda run: run.freeze_server("new"),
    "freeze old": lambda run: run.freeze_server("old"),
    "kill -9 new": lambda run: run.kill_server("new"),
    "kill -9 old": lambda run: run.kill_server("old"),
    "kill -9 proxy": Run.kill_proxy,
    "network cut old-new": lambda run: run.cut("old-new"),
    "network cut proxy-new": lambda run: run.cut("proxy-new"),
    "network cut proxy-old": lambda run: run.cut("proxy-old"),
    "publication renamed": Run.rename_publication,
    "restart new": lambda run: run.restart_server("new"),
    "restart old": lambda run: run.restart_server("old"),
    "restart proxy": Run.restart_proxy,
    "slot dropped": Run.drop_slot,
    "subscription disabled": Run.disable_subscription,
    "walsender ended": Run.end_walsender,
}


def settled(proxy):
    """Waits until nothing of a cutover is under way; the status."""
    return proxy.wait_status(lambda s: not s["cutover"] or s["cutover"]["outcome"] != "running",
                             "the end of the cutover", 60)
