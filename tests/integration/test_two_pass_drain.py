"""A move waits for long transactions first, and only then lets everybody else wait."""

import contextlib
import threading

import psycopg2
import pytest

from support.cluster import wait_until
from support.sluice import Sluice

SECOND_PASS = {"cutover": {"long_transaction": "500ms", "drain_timeout": "60s"}}

DRAINING = ("drain_long", "refresh", "drain")


def connect(proxy):
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres",
                                  dbname="postgres")
    connection.autocommit = True
    return connection


def ask(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def step(proxy):
    """The step at which the running operation is, or None."""
    running = proxy.status()["cutover"]
    return running and running["step"]


class Busy:
    """A client with short transactions; counts them."""

    def __init__(self, proxy):
        self.done, self.errors, self._stop = 0, [], False
        self._connection = connect(proxy)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop:
                ask(self._connection, "SELECT 1")
                self.done += 1
        except psycopg2.Error as error:
            self.errors.append(error)

    def progresses(self, by=20):
        before = self.done
        wait_until(lambda: self.done > before + by or self.errors, "further transactions")
        assert not self.errors

    def close(self):
        self._stop = True
        self._thread.join()
        self._connection.close()


def test_short_transactions_go_on_until_the_long_one_has_ended(blue, green):
    with Sluice({"blue": blue, "green": green}, service=SECOND_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as slow, \
            contextlib.closing(Busy(proxy)) as busy:
        slow.autocommit = False
        old = ask(slow, "SELECT inet_server_port()")
        running = proxy.ctl_start("retarget", "green")
        wait_until(lambda: step(proxy) == "drain_long", "the first pass")
        busy.progresses()
        with contextlib.closing(connect(proxy)) as newcomer:
            assert ask(newcomer, "SELECT inet_server_port()") == old, "the gate is open"
        assert step(proxy) == "drain_long"
        slow.commit()
        assert running.finish()[0] == 0
        busy.progresses()
        assert ask(slow, "SELECT inet_server_port()") == green.port
        slow.commit()


def test_a_transaction_that_turns_out_to_be_long_lets_the_others_go_again(blue, green):
    with Sluice({"blue": blue, "green": green}, service=SECOND_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as slow, \
            contextlib.closing(Busy(proxy)) as busy:
        slow.autocommit = False
        for name in ("green", "blue"):  # young when it starts, in the middle of the second pass
            ask(slow, "SELECT 1")
            running = proxy.ctl_start("retarget", name)
            wait_until(lambda: step(proxy) in DRAINING, "a drain")
            proxy.wait_status(lambda s: s["cutover"]["elapsed_ms"] > 1000, "a long transaction")
            busy.progresses()
            assert step(proxy) in DRAINING
            slow.commit()
            assert running.finish()[0] == 0
            busy.progresses()


def test_who_was_long_lately_is_held_although_it_is_idle(blue, green):
    with Sluice({"blue": blue, "green": green}, service=SECOND_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as lately, \
            contextlib.closing(connect(proxy)) as slow, \
            contextlib.closing(Busy(proxy)) as busy:
        ask(lately, "SELECT pg_sleep(1)::text")
        slow.autocommit = False
        ask(slow, "SELECT 1")
        running = proxy.ctl_start("retarget", "green")
        wait_until(lambda: step(proxy) == "drain_long", "the first pass")
        wait_until(lambda: proxy.status()["sessions"]["parked"] == 1, "the idle one parked")
        busy.progresses()
        slow.rollback()
        assert running.finish()[0] == 0
        assert ask(lately, "SELECT inet_server_port()") == green.port


def test_what_is_done_in_the_first_pass_is_copied_again_before_anybody_waits(blue, green):
    with Sluice({"blue": blue, "green": green}, service=SECOND_PASS) as proxy, \
            contextlib.closing(connect(proxy)) as slow, \
            contextlib.closing(connect(proxy)) as other, \
            contextlib.closing(connect(proxy)) as idle:
        slow.autocommit = False
        ask(slow, "SELECT 1")
        running = proxy.ctl_start("retarget", "green")
        wait_until(lambda: step(proxy) == "drain_long", "the first pass")
        ask(other, "SELECT set_config('work_mem', '5555kB', false)")
        slow.commit()
        code, answer = running.finish()
        assert code == 0, answer
        assert {row["step"]: row["text"] for row in answer["steps"]}["refresh"] == \
            "1 session copied again"
        for client in (other, idle):
            assert ask(client, "SELECT inet_server_port()") == green.port
        assert ask(other, "SHOW work_mem") == "5555kB"


@pytest.mark.parametrize("end", ["deadline", "abort"])
def test_a_long_transaction_that_does_not_end_pauses_nobody(end, blue, green):
    brief = {"cutover": {"long_transaction": "50ms",
                         "drain_timeout": "500ms" if end == "deadline" else "60s"}}
    with Sluice({"blue": blue, "green": green}, service=brief) as proxy, \
            contextlib.closing(connect(proxy)) as slow, \
            contextlib.closing(Busy(proxy)) as busy:
        slow.autocommit = False
        old = ask(slow, "SELECT inet_server_port()")
        running = proxy.ctl_start("retarget", "green")
        if end == "abort":
            wait_until(lambda: step(proxy) == "drain_long", "the first pass")
            busy.progresses()
            proxy.ctl("abort")
        code, answer = running.finish()
        assert code == (5 if end == "deadline" else 1), answer
        if end == "deadline":
            assert "1 session with long transactions" in str(answer)
            assert "SELECT inet_server_port()" in str(answer), "the blocker is named"
        assert ask(slow, "SELECT inet_server_port()") == old
        slow.commit()
        busy.progresses()
        assert proxy.status()["sessions"]["parked"] == 0
