"""Clients go on as soon as the new server lacks nothing. What the old server still has to tell then
is its listeners' alone: they wait for it, nobody else does, and nothing is lost or out of order.
"""

import contextlib
import os
import select
import signal

import pytest

from support import cutover_world
from support.chaos import go_on, stop_at
from support.cluster import stopped, wait_until
from support.cutover_world import DB, connect, one, proxy_for
from support.sluice import faults


@pytest.fixture
def pair():
    with cutover_world.logical_pair() as made:
        yield made


@pytest.fixture
def proxy(pair):
    with faults("cutover:move:before=stop"), proxy_for(pair, "logical") as running:
        yield running


def heard_by(listener, count):
    """What it is told without asking for anything."""
    def enough():
        if select.select([listener], [], [], 0)[0]:
            listener.poll()
        return len(listener.notifies) >= count
    wait_until(enough, f"{count} notifications")
    return [told.payload for told in listener.notifies]


def unread_by(port, server_port):
    """Bytes that wait in the kernel for the socket of that local port. Others may have the port as
    well, towards other servers or left in TIME_WAIT, so both ends say which one is meant."""
    wanted = (port, server_port)
    with open("/proc/net/tcp") as sockets:
        rows = [line.split() for line in list(sockets)[1:]]
    return sum(int(row[4].rpartition(":")[2], 16) for row in rows
               if tuple(int(end.rpartition(":")[2], 16) for end in row[1:3]) == wanted)


@pytest.mark.parametrize("answers", [True, False], ids=["late", "never"])
def test_a_listener_whose_old_backend_hangs_misses_nothing(proxy, pair, answers):
    """Both servers have notifications for it; the others work on the new one meanwhile."""
    with contextlib.closing(connect(proxy)) as listener, \
            contextlib.closing(connect(proxy)) as worker:
        listener.cursor().execute("LISTEN news")
        backend = one(listener, "SELECT pg_backend_pid()")
        one(worker, "SELECT 1")
        running = stop_at(proxy, "cutover:move:before")
        port = pair.old.value("SELECT client_port FROM pg_stat_activity WHERE pid = %s", backend)
        pair.old.query("NOTIFY news, 'on the old server'", dbname=DB)
        wait_until(lambda: unread_by(port, pair.old.port),
                   "a notification that the proxy has not read")
        os.kill(backend, signal.SIGSTOP)
        try:
            wait_until(lambda: stopped(backend), "the old backend to stop")
            go_on(proxy)
            assert one(worker, "SHOW cluster_name") == "new"
            worker.cursor().execute("NOTIFY news, 'on the new server'")
            one(worker, "INSERT INTO ledger (key) VALUES ('meanwhile') RETURNING id")
        finally:
            if answers:
                os.kill(backend, signal.SIGCONT)
        assert heard_by(listener, 2) == ["on the old server", "on the new server"]
        assert one(listener, "SHOW cluster_name") == "new"
        worker.cursor().execute("NOTIFY news, 'and later'")
        assert heard_by(listener, 3)[2:] == ["and later"]
        code, answer = running.finish()
        assert code == 0, answer
        os.kill(backend, signal.SIGCONT)
