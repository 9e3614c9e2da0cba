"""Planted defects of room: a journal without disk, slots that fill one, and relations that are to
be in memory before anybody waits.
"""

import os

import pytest

from support.cluster import wait_until
from support.cutover_world import DB, cutover, logical_pair, physical_pair, proxy_for
from support.disks import seen_by, small_disk
from support.guardrails import do_as_told, preflight, refuses, set_server
from support.names import can_replace

SMALL = {"max_wal_size": "32MB", "min_wal_size": "32MB"}
PARTED = """
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1000) TO (2000);
"""


@pytest.fixture(scope="module")
def pair():
    with logical_pair(PARTED, **SMALL) as made:
        made.old.query("INSERT INTO parted SELECT generate_series(0, 1999)", dbname=DB)
        wait_until(lambda: made.new.value("SELECT count(*) FROM parted", dbname=DB) == 2000, "rows")
        yield made


def steps_of(answer):
    return {step["step"]: step["text"] for step in answer["steps"]}


def test_state_dir_that_is_nearly_full(pair):
    if not can_replace():
        pytest.skip("needs CAP_SYS_ADMIN for a disk of its own")
    with proxy_for(pair, "logical", start=False) as proxy:
        proxy.preexec = small_disk(proxy.state_dir, megabytes=40)
        proxy.start()
        assert preflight(proxy).level("disk") == "ok"
        filler = os.path.join(seen_by(proxy.process, proxy.state_dir), "filler")
        with open(filler, "wb") as file:
            file.write(bytes(30 << 20))
        assert "make room" in preflight(proxy).finding("disk", "left for the journal")["hint"]
        refuses(proxy, "disk", f"state_dir {proxy.state_dir} has ")
        os.unlink(filler)
        assert preflight(proxy).level("disk") == "ok"


def test_slot_that_keeps_too_much(pair):
    with proxy_for(pair, "logical") as proxy:
        text = preflight(proxy).of("disk")[0]["text"]
        assert "MB of write-ahead log" in text and "SQL cannot tell" in text
        for server, name in ((pair.old, "blue"), (pair.new, "green")):
            server.query("SELECT pg_create_physical_replication_slot('greedy', true)")
            server.query("SELECT pg_logical_emit_message(false, 'x', repeat('x', 20000000)) "
                         "FROM generate_series(1, 4)")
            server.query("SELECT pg_switch_wal(); CHECKPOINT")
            finding = preflight(proxy).finding("disk", "slot greedy keeps ")
            assert f"on {name}, more than max_wal_size" in finding["text"]
            assert finding["level"] == "warn"
            do_as_told(pair, finding["hint"])
            wait_until(lambda: preflight(proxy).level("disk") == "ok", "the end of the lag")


# --- prewarm


def blocks_in_memory(server, *relations):
    return server.query("SELECT count(*) FROM pg_buffercache WHERE relfilenode IN "
                        "(SELECT pg_relation_filenode(n::regclass) FROM unnest(%s) n) AND "
                        "reldatabase = (SELECT oid FROM pg_database WHERE datname = "
                        "current_database())", list(relations), dbname=DB)[0][0]


def prewarming(*names, **more):
    return {"cutover": {"prewarm": list(names), **more}}


def test_prewarm(pair):
    with proxy_for(pair, "logical") as proxy:
        assert preflight(proxy).of("prewarm")[0]["text"] == "nothing is to be read ahead"
    names = ("public.parted", "public.parted_1_pkey", "public.nowhere")
    with proxy_for(pair, "logical", service=prewarming(*names)) as proxy:
        found = preflight(proxy)
        assert found.finding("prewarm", "no relation public.nowhere")["level"] == "warn"
        do_as_told(pair, found.finding("prewarm", "the extension pg_prewarm")["hint"])
        assert len(preflight(proxy).of("prewarm")) == 1
    with proxy_for(pair, "logical", service=prewarming(*names[:2])) as proxy:
        assert preflight(proxy).level("prewarm") == "ok"


def test_cutover_reads_ahead_and_goes_on_without_what_it_cannot_read(tmp_path):
    plan = tmp_path / "plan.yaml"
    names = ["public.parted", "public.parted_1_pkey", "public.nowhere"]
    plan.write_text(f"prewarm: {names}\n")
    with physical_pair(PARTED + "INSERT INTO parted SELECT generate_series(0, 1999)") as pair, \
            proxy_for(pair, "physical", service=prewarming("public.not_this_one")) as proxy:
        for extension in ("pg_prewarm", "pg_buffercache"):
            pair.old.query(f"CREATE EXTENSION {extension}", dbname=DB)
        wait_until(lambda: pair.new.value("SELECT count(*) FROM pg_extension", dbname=DB) == 3,
                   "the extensions")
        set_server(pair.new, "hot_standby_feedback", "off")
        pair.new.restart()
        wait_until(pair.streaming, "streaming replication")
        relations = ("parted_1", "parted_2", "parted_1_pkey")
        assert blocks_in_memory(pair.new, *relations) == 0
        code, answer = cutover(proxy, "--plan", plan)
        assert code == 0, answer
        text = steps_of(answer)["prewarm"]
        assert text.startswith("2 of 3 relations, ") and "public.nowhere" in text
        assert blocks_in_memory(pair.new, *relations) >= 3


def test_reading_ahead_ends_at_its_deadline(pair):
    many = ["public.parted"] * 200_000
    with proxy_for(pair, "logical", service=prewarming(*many, prewarm_timeout="300ms")) as proxy:
        pair.new.query("CREATE EXTENSION IF NOT EXISTS pg_prewarm", dbname=DB)
        proxy.service["checks"] = {"prewarm": "off"}
        proxy.write_config()
        proxy.restart()
        code, answer = cutover(proxy)
        assert code == 0, answer
        warm, of = steps_of(answer)["prewarm"].split()[0:3:2]
        assert 0 < int(warm) < int(of)
