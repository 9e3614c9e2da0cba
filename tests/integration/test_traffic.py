"""What goes through is counted: transactions, queries and bytes, by session and by service."""

import pytest

from support.cluster import wait_until
from support.console import TRUSTING, Console
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice
from support.wire import (Wire, bind, copy_data, copy_done, describe_portal, execute, parse, query,
                          sync)

KEYS = ("transactions", "queries", "received_bytes", "sent_bytes")


@pytest.fixture(scope="module")
def proxy(blue, green):
    with Sluice({"blue": blue, "green": green}, service=TRUSTING, workers=2,
                config={"stats": {"period": "1s"}}) as running:
        yield running


class Counting:
    """A session that counts for itself."""

    def __init__(self, wire, name):
        self.wire, self.name = wire, name
        self.transactions = self.queries = self.received_bytes = self.sent_bytes = 0

    def send(self, *parts):
        self.received_bytes += sum(map(len, parts))
        self.wire.send(*parts)

    def read(self, count=1):
        messages = self.wire.read_ready(count)
        self.sent_bytes += sum(5 + len(m.body) for m in messages)
        ready = [m.body for m in messages if m.kind == "Z"]
        self.queries += len(ready)
        self.transactions += ready.count(b"I")
        return messages

    def run(self, *parts, answers=1):
        self.send(*parts)
        return self.read(answers)

    def expected(self):
        return {key: getattr(self, key) for key in KEYS}


@pytest.fixture
def counting(connect):
    return lambda name="counted": Counting(connect(name), name)


def row_of(proxy, name):
    return next(row for row in proxy.sessions() if row["application"] == name)


def seen(proxy, name):
    return {key: row_of(proxy, name)[key] for key in KEYS}


def statistics(proxy):
    with Console(proxy, "vera") as console:
        return {name: value if isinstance(value, str) else int(value)
                for name, value in console.run("SHOW STATS")[0].items()}


def work(session):
    """Everything that may stand between two boundaries."""
    session.run(query("SELECT 1"))
    session.run(query("BEGIN"))
    session.run(query("SELECT repeat('x', 100000)"))
    session.run(query("SELECT 1/0"))
    session.run(query("ROLLBACK"))
    session.run(parse("SELECT $1"), bind("a"), describe_portal(), execute(), sync())
    session.run(query("SELECT 1"), query("SELECT 2; SELECT 3"), sync(), answers=3)
    session.run(query("nonsense"))
    session.run(query(""))
    session.run(query("CREATE TABLE IF NOT EXISTS traffic (t text)"))
    session.send(query("COPY traffic FROM STDIN"))
    session.sent_bytes += sum(5 + len(m.body) for m in session.wire.read_until("G"))
    session.run(copy_data(b"line\n" * 50000), copy_done())
    session.run(query("DROP TABLE traffic"))


def test_a_session_is_counted_to_the_byte(proxy, counting):
    session = counting()
    assert seen(proxy, "counted") == session.expected(), "a login is none of it"
    work(session)
    assert seen(proxy, "counted") == session.expected()
    assert session.transactions == 11 and session.queries == 14


def test_the_service_is_the_sum_of_its_sessions_also_of_those_that_are_gone(proxy, counting):
    before = statistics(proxy)
    one, other = counting("one"), counting("other")
    work(one)
    work(other)
    one.wire.close()
    proxy.wait_status(lambda s: s["sessions"]["total"] == 1, "the end of one")
    after = statistics(proxy)
    for column, key in (("total_xact_count", "transactions"), ("total_query_count", "queries"),
                        ("total_received", "received_bytes"), ("total_sent", "sent_bytes")):
        grown = getattr(one, key) + getattr(other, key)
        # The one that has gone may have said Terminate.
        assert after[column] - before[column] in (grown, grown + 5), column
    assert after["total_client_login_count"] - before["total_client_login_count"] == 2


def test_counting_goes_on_across_a_move(proxy, counting):
    session = counting()
    work(session)
    proxy.ctl("retarget", "green")
    try:
        session.run(query("SELECT 1"))
        # Parameters with other values on the new server are told, and count.
        assert seen(proxy, "counted") == session.expected()
    finally:
        proxy.ctl("retarget", "blue")


def test_a_guarded_session_counts_what_its_client_sees(proxy, counting):
    session = counting()
    proxy.ctl("readonly", "on", "--fence", "none")
    try:
        for statement in ("SELECT 1", "BEGIN", "SELECT 2", "COMMIT", "CREATE TABLE t (i int)"):
            session.run(query(statement))
        session.run(parse("SELECT 1"), bind(), execute(), sync())
        assert seen(proxy, "counted") == session.expected()
    finally:
        proxy.ctl("readonly", "off")


def test_groups_are_sums(proxy, counting):
    one, other = counting("one"), counting("other")
    work(one)
    other.run(query("SELECT 1"))
    groups = proxy.ctl("sessions", "--by", "prefix")[1]["groups"]
    assert [group["prefix"] for group in groups] == ["127.0.0.0/24"]
    assert groups[0]["transactions"] == one.transactions + other.transactions
    assert groups[0]["bytes"] == (one.received_bytes + one.sent_bytes + other.received_bytes
                                  + other.sent_bytes)
    shown = proxy.ctl("sessions", json=False)[1].splitlines()
    assert "transactions  bytes" in shown[0]


def test_times_are_those_of_transactions_and_of_waits(proxy, connect):
    session = connect()
    before = statistics(proxy)
    session.run("BEGIN")
    session.run("SELECT pg_sleep(0.3)")
    session.run("COMMIT")
    proxy.ctl("pause")
    session.send(query("SELECT 1"))
    assert session.silent(0.3)
    proxy.ctl("resume")
    session.read_ready()
    after = statistics(proxy)
    assert after["total_xact_time"] - before["total_xact_time"] > 200_000
    assert after["total_wait_time"] - before["total_wait_time"] > 200_000
    assert after["total_query_time"] == 0, "not known: nobody looks at the clock for it"


def test_averages_are_of_the_last_period(proxy, connect):
    session = connect()

    def averages():
        for _ in range(50):
            session.run("SELECT 1")
        found = statistics(proxy)
        names = ("avg_xact_count", "avg_query_count", "avg_recv", "avg_sent")
        return found if all(found[name] > 0 for name in names) else None

    found = wait_until(averages, "averages", 20)
    assert found["avg_recv"] >= found["avg_xact_count"]
    with Console(proxy, "vera") as console:
        rows = console.run("SHOW STATS_AVERAGES")
        assert [row["database"] for row in rows] == ["app"] and "xact_count" in rows[0]
        totals = {row["name"]: row["value"] for row in console.run("SHOW TOTALS")}
        assert totals["total_xact_count"] >= 50


def test_a_period_that_is_too_short_is_refused(proxy):
    proxy.settings["stats"] = {"period": "100ms"}
    proxy.write_config()
    with Console(proxy, "ada") as console:
        assert "1s at least" in console.error("RELOAD")[1]
        proxy.settings["stats"] = {"period": "1s"}
        proxy.write_config()
        console.run("RELOAD")


def test_sessions_of_the_console_are_not_counted(proxy):
    before = statistics(proxy)
    with Console(proxy, "vera") as console:
        for _ in range(10):
            console.run("SHOW CONFIG")
    after = statistics(proxy)
    assert after["total_query_count"] == before["total_query_count"]
    assert after["total_sent"] == before["total_sent"]


def test_bytes_that_come_with_the_startup_count(proxy):
    from support.wire import startup  # pylint: disable=import-outside-toplevel
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("postgres", "postgres", application_name="early"), query("SELECT 1"))
        wire.read_ready(2)
        assert row_of(proxy, "early")["received_bytes"] == len(query("SELECT 1"))
