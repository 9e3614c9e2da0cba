"""Forced read-only without a command: from the first start on, and on a cutover's new server."""

import pytest

from support.cutover_world import DB, cutover, logical_pair, proxy_for
from support.readonly import INSERT, READ_ONLY
from support.readonly import server  # noqa: F401  pylint: disable=unused-import
from support.sluice import Sluice, faults
from support.wire import Wire, bind, errors_of, execute, parse, query, rows_of, sync

WRITE = "BEGIN; " + INSERT + "; ROLLBACK"
COUNTED = "INSERT INTO counted VALUES (1000)"


def refused(proxy, sql=WRITE, dbname="postgres"):
    with Wire(proxy.host, proxy.port, "postgres", dbname) as wire:
        found = errors_of(wire.run(sql))
        assert wire.value("SELECT 1") == "1" if not found else found == [READ_ONLY]
        return found == [READ_ONLY]


def test_the_first_start_is_read_only_and_later_ones_go_by_the_journal(server):
    with Sluice({"blue": server}, service={"access": "read-only"}) as proxy:
        assert proxy.status()["access"] == "read-only" and refused(proxy)
        for end in (proxy.kill9, proxy.stop):
            end()
            proxy.start()
            assert proxy.status()["access"] == "read-only" and refused(proxy)
        proxy.ctl("readonly", "off")
        assert not refused(proxy)
        proxy.restart()
        assert proxy.status()["access"] == "read-write" and not refused(proxy)
        proxy.service["access"] = "read-write"
        proxy.ctl("readonly", "on", "--fence", "none")
        proxy.write_config()
        proxy.restart()
        assert proxy.status()["access"] == "read-only" and refused(proxy)


def test_the_fence_can_be_added_to_a_start_without_one(server):
    with Sluice({"blue": server}, service={"access": "read-only"}) as proxy:
        assert proxy.status()["read_only"] == {"state": "on", "by": "guard", "fence": "none"}
        proxy.ctl("readonly", "on", "--fence", "default")
        assert server.value("SHOW default_transaction_read_only") == "on"
        proxy.ctl("readonly", "off")
        assert server.value("SHOW default_transaction_read_only") == "off"
        assert not refused(proxy)


@pytest.mark.parametrize("point", ["journal_before", "journal_written", "journal_after"])
def test_a_crash_in_the_first_start_leaves_no_writable_moment(server, point):
    with Sluice({"blue": server}, service={"access": "read-only"}, start=False) as proxy:
        with faults(f"{point}:route=kill"):
            proxy.start(wait=False)
        proxy.process.wait()
        proxy.start()
        assert proxy.status()["access"] == "read-only" and refused(proxy)


def plan_of(tmp_path):
    path = tmp_path / "plan.yaml"
    path.write_text("access_after: read-only\n")
    return "--plan", path


def test_clients_go_on_read_only_on_the_new_server(tmp_path):
    with logical_pair() as pair, proxy_for(pair, "logical") as proxy:
        wire, waiting = (Wire(proxy.host, proxy.port, "postgres", DB) for _ in range(2))
        wire.run("SET app.tenant = '7'; PREPARE p AS SELECT current_setting('app.tenant')")
        wire.send(parse("SELECT 'kept'"), sync())
        wire.read_ready()
        code, answer = cutover(proxy, *plan_of(tmp_path), "--dry-run")
        step = next(step for step in answer["plan"] if step["step"] == "open")
        assert code == 0 and "all clients are read-only" in step["does"]
        assert proxy.status()["access"] == "read-write"
        assert errors_of(waiting.run("BEGIN; " + COUNTED + "; ROLLBACK")) == []
        code, answer = cutover(proxy, *plan_of(tmp_path))
        assert code == 0 and answer["access"] == "read-only", answer
        assert (answer["switched"], answer["lost"]) == (2, 0)
        status = proxy.status()
        assert (status["route"], status["access"]) == ("green", "read-only")
        assert errors_of(waiting.run(COUNTED)) == [READ_ONLY]
        wire.send(bind(), execute(), sync())
        assert rows_of(wire.read_ready()) == [("kept",)]
        assert wire.rows("EXECUTE p") == [("7",)]
        assert wire.value("SHOW cluster_name") == "new"
        assert refused(proxy, COUNTED, DB)
        proxy.restart()
        assert proxy.status()["access"] == "read-only" and refused(proxy, COUNTED, DB)
        proxy.ctl("readonly", "off")
        assert not refused(proxy, COUNTED, DB)


def test_it_is_committed_with_the_route(tmp_path):
    with logical_pair() as pair, proxy_for(pair, "logical", start=False) as proxy:
        with faults("cutover:commit:after=kill"):
            proxy.start()
        assert cutover(proxy, *plan_of(tmp_path))[0] != 0
        proxy.process.wait()
        proxy.start()
        with Wire(proxy.host, proxy.port, "postgres", DB) as wire:
            assert wire.value("SHOW cluster_name") == "new"
            assert errors_of(wire.run(COUNTED)) == [READ_ONLY]
        assert proxy.status()["access"] == "read-only"


def test_a_cutover_that_goes_back_leaves_access_as_it_was(tmp_path):
    with logical_pair() as pair, faults("cutover:commit:before=error"), \
            proxy_for(pair, "logical") as proxy:
        with Wire(proxy.host, proxy.port, "postgres", DB) as wire:
            assert cutover(proxy, *plan_of(tmp_path))[0] == 1
            assert proxy.status()["access"] == "read-write"
            assert wire.value("SHOW cluster_name") == "old"
            assert errors_of(wire.run(COUNTED)) == []


def test_read_only_before_a_cutover_stays_until_it_is_taken_off():
    with logical_pair() as pair, proxy_for(pair, "logical") as proxy:
        proxy.ctl("readonly", "on", "--fence", "none")
        with Wire(proxy.host, proxy.port, "postgres", DB) as wire:
            wire.send(query("SELECT 1"))
            wire.read_ready()
            assert cutover(proxy)[0] == 0
            assert proxy.status()["access"] == "read-only"
            assert errors_of(wire.run(COUNTED)) == [READ_ONLY]
            proxy.ctl("readonly", "off")
            assert errors_of(wire.run(COUNTED)) == []
            assert wire.value("SHOW cluster_name") == "new"
