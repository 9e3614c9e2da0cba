"""What the tests of forced read-only share: a schema, writes to try, and what they would change."""

import pytest

from .wire import errors_of, query

READ_ONLY = "25006"
INSERT = "INSERT INTO t VALUES (99)"
FUNCTIONS = """
CREATE TABLE t (a int PRIMARY KEY);
INSERT INTO t VALUES (1), (2), (3);
CREATE SEQUENCE s;
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO t VALUES (99); RETURN 1; END $$;
CREATE FUNCTION flips() RETURNS text LANGUAGE sql AS
    $$ SELECT set_config('default_transaction_read_only', 'off', false) $$;
CREATE PROCEDURE commits() LANGUAGE plpgsql AS
    $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (99); END $$;
"""


@pytest.fixture(scope="module")
def server(blue):
    """A server with that schema; a test file imports it."""
    blue.query(FUNCTIONS)
    return blue


def on(proxy, *arguments):
    return proxy.ctl("readonly", "on", *arguments)[1]


def state(server):
    """Everything that the writers of this file could change."""
    return server.query(
        "SELECT (SELECT string_agg(a::text, ',' ORDER BY a) FROM t), (SELECT is_called FROM s), "
        "(SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_largeobject_metadata), "
        "(SELECT count(*) FROM pg_prepared_xacts), (SELECT count(*) FROM pg_replication_slots)")


def run_all(wire, steps):
    """Sends each step and reads its answer; the SQLSTATEs of all errors."""
    found = []
    for step in steps:
        wire.send(query(step) if isinstance(step, str) else b"".join(step))
        found += errors_of(wire.read_ready())
    return found
