"""Read-only by a role of the server's instead of the guard: a second backend that is the same
server with a login that may not write."""

import contextlib

import psycopg2
import pytest

from support.login import connect, users_file, verifier
from support.sluice import Sluice

PASSWORD = "correct horse"
NOT_ALLOWED = "42501"
ROLES = f"""
CREATE TABLE t (a int);
CREATE ROLE app LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
GRANT SELECT, INSERT ON t TO app;
GRANT SELECT ON t TO reader;
"""


@pytest.fixture
def proxy(blue, tmp_path):
    """Sessions that cannot be the same as the other role are ended, not carried on as the first."""
    blue.query(ROLES)
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    login = {"host": blue.host, "port": blue.port, "password_file": str(secret)}
    service = {
        "auth": {"method": "scram-sha-256",
                 "users_file": users_file(tmp_path / "users.txt", {"alice": verifier(PASSWORD)})},
        "backends": {"blue": {**login, "user": "app"}, "blue_reader": {**login, "user": "reader"}}}
    with Sluice({"blue": blue}, service=service, on_pinned="terminate") as running:
        yield running


def run(session, sql):
    with session.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def test_sessions_are_ended_and_come_back_as_the_reader(proxy):
    def session():
        return contextlib.closing(connect(proxy, "alice", PASSWORD))

    with session() as before:
        run(before, "INSERT INTO t VALUES (1)")
        answer = proxy.ctl("retarget", "blue_reader")[1]
        assert answer["switched"] == 0, answer
        with pytest.raises(psycopg2.OperationalError):  # 57P01, if it looks before it sends
            run(before, "SELECT 1")
    with session() as reader:
        assert (run(reader, "SELECT session_user"), run(reader, "SELECT a FROM t")) == ("reader", 1)
        with pytest.raises(psycopg2.Error) as refused:
            run(reader, "INSERT INTO t VALUES (2)")
        assert refused.value.pgcode == NOT_ALLOWED
        with pytest.raises(psycopg2.Error):
            run(reader, "SET SESSION AUTHORIZATION app")
        proxy.ctl("retarget", "blue")
    with session() as writer:
        run(writer, "INSERT INTO t VALUES (3)")
