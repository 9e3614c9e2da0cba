"""Scripted conversations for byte-exact comparison: what is sent, and how much answer follows.

A conversation is a list of steps; a step is (bytes to send, kind of message to wait for, how many
of that kind). The kind is mostly 'Z', ReadyForQuery; END waits for the end of the connection.
"""

import struct

from .wire import (bind, close_portal, close_statement, copy_data, copy_done, copy_fail,
                   describe_portal, describe_statement, execute, flush, function_call, parse,
                   query, sync)

END = "the end"
INT4PL = 177  # OID of int4pl(int4, int4), the same in every version

SCHEMA = """
CREATE SCHEMA wire;
CREATE TABLE wire.t (a int PRIMARY KEY, b text);
CREATE FUNCTION wire.shout(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE 'shouting %', what; RETURN upper(what); END $$;
"""


def ready(*parts, count=1):
    return b"".join(parts), "Z", count


def run(sql):
    return ready(query(sql))


def call(sql, *values, name=""):
    """Parse, Bind, Describe and Execute without Sync."""
    return (parse(sql, name) + bind(*values, statement=name) + describe_portal() + execute())


def int4(value):
    return struct.pack("!i", value)


RESET = run("TRUNCATE wire.t")

CONVERSATIONS = {
    "simple queries": [
        run("SELECT 1, 'two', NULL"), run("SELECT 1; SELECT 2; SELECT 3 WHERE false"), run(""),
        run(";"), run("-- only a comment"), run("SELECT wire.shout('hey')"), run("SELEC 1"),
        run("SELECT 1; SELECT 1/0; SELECT 2"), run("SELECT * FROM nowhere"), run("SELECT 'fine'"),
    ],
    "transactions": [
        RESET, run("BEGIN"), run("INSERT INTO wire.t VALUES (1, 'one')"), run("SAVEPOINT s"),
        run("INSERT INTO wire.t VALUES (1, 'again')"), run("SELECT 1"), run("ROLLBACK TO s"),
        run("COMMIT"), run("BEGIN; SELECT 1"), run("SELECT 1/0"), run("COMMIT"), run("COMMIT"),
        run("BEGIN; DELETE FROM wire.t; COMMIT; SELECT 1/0"), run("TABLE wire.t"),
    ],
    "extended queries": [
        ready(call("SELECT $1::int + $2::int", "1", "2"), sync()),
        ready(call("SELECT $1::int4", int4(7)), sync()),
        ready(parse("SELECT $1::int4, $1::text", "s", [23]), describe_statement("s"), sync()),
        ready(bind("5", statement="s", portal="p", results=[1, 0]), describe_portal("p"),
              execute("p"), close_portal("p"), sync()),
        ready(bind(None, statement="s"), execute(), sync()),
        ready(close_statement("s"), close_statement("never was"), sync()),
        ready(bind("5", statement="s"), execute(), sync()),
        ready(describe_statement("nothing"), sync()), ready(describe_portal("nothing"), sync()),
        ready(parse(""), bind(), describe_portal(), execute(), sync()),
        ready(parse("SELECT 1; SELECT 2"), sync()), ready(sync()), ready(sync(), sync(), count=2),
    ],
    "statements that stay": [
        ready(parse("SELECT $1::text || 'x'", "kept"), parse("SELECT 'unnamed'"), sync()),
        *[ready(bind(str(i), statement="kept"), execute(), sync()) for i in range(7)],
        ready(bind(), describe_portal(), execute(), sync()), run("SELECT 'destroys the unnamed'"),
        ready(bind(), execute(), sync()), ready(parse("SELECT 1", "kept"), sync()),
        run("DEALLOCATE kept"), ready(bind("1", statement="kept"), execute(), sync()),
    ],
    "pipeline": [
        RESET,
        ready(*[call("INSERT INTO wire.t VALUES ($1, $2) RETURNING a", str(i), f"row {i}") + sync()
                for i in range(30)], count=30),
        ready(*[call("SELECT b FROM wire.t WHERE a = $1", str(i)) for i in range(30)], sync()),
        ready(query("SELECT 1"), query("SELECT 2; SELECT 3"), query("BEGIN"), query("COMMIT"),
              count=4),
        ready(call("SELECT 1"), query("SELECT 2"), call("SELECT 3"), sync(), count=2),
    ],
    "pipeline with errors": [
        RESET,
        ready(call("INSERT INTO wire.t VALUES (1, 'kept')"), sync(),
              call("INSERT INTO wire.t VALUES (2, 'undone')"), call("SELECT 1/0"),
              call("INSERT INTO wire.t VALUES (3, 'skipped')"), flush(), call("SELECT 4"), sync(),
              call("INSERT INTO wire.t VALUES (5, 'kept')"), sync(), count=3),
        ready(parse("SELEC 1"), bind(), execute(), close_statement("x"), sync(), call("SELECT 1"),
              sync(), count=2),
        ready(call("BEGIN"), sync(), call("SELECT 1/0"), sync(), call("SELECT 1"), sync(),
              call("ROLLBACK"), sync(), count=4),
        ready(call("BEGIN"), call("SELECT 1/0"), sync(), query("SELECT 1"), query("ROLLBACK"),
              count=3),
        run("TABLE wire.t"),
    ],
    "flush without sync": [
        (parse("SELECT generate_series(1, 5)", "s") + flush(), "1", 1),
        (describe_statement("s") + flush(), "T", 1), (bind(statement="s") + flush(), "2", 1),
        (execute(rows=2) + flush(), "s", 1), (execute(rows=2) + flush(), "s", 1),
        (execute(rows=2) + flush(), "C", 1), ready(sync()),
        (parse("SELEC 1") + flush(), "E", 1), ready(call("SELECT 'skipped'"), flush(), sync()),
    ],
    "portals with a row limit": [
        run("BEGIN"),
        ready(parse("SELECT generate_series(1, 10)"), bind(portal="p"), execute("p", 3), sync()),
        ready(execute("p", 3), sync()), ready(call("SELECT 'in between'"), sync()),
        ready(execute("p", 0), sync()), ready(execute("p", 3), close_portal("p"), sync()),
        run("COMMIT"), ready(execute("p", 3), sync()),
        ready(parse("SELECT generate_series(1, 10)"), bind(portal="q"), execute("q", 3), sync()),
        ready(execute("q", 3), sync()),
    ],
    "function calls": [
        ready(function_call(INT4PL, int4(20), int4(22))), ready(function_call(1, int4(1))),
        ready(function_call(INT4PL, int4(2**31 - 1), int4(1))), run("BEGIN"),
        ready(function_call(INT4PL, int4(1), int4(2)), function_call(INT4PL, int4(3), int4(4)),
              count=2),
        run("COMMIT"), ready(call("SELECT 1"), function_call(INT4PL, int4(1), int4(1)), sync(),
                             count=2),
    ],
    "copy in": [
        RESET, (query("COPY wire.t FROM STDIN"), "G", 1),
        ready(copy_data(b"1\tone\n2\ttw"), copy_data(b"o\n"), copy_done()),
        (query("COPY wire.t FROM STDIN"), "G", 1), ready(copy_fail("no more")),
        (query("COPY wire.t FROM STDIN"), "G", 1),
        ready(copy_data(b"x\tbad\n"), copy_data(b"ignored"), copy_done()),
        (query("COPY wire.t FROM STDIN"), "G", 1),
        ready(copy_data(b"3\tthree\n"), flush(), sync(), copy_done()),
        ready(query("COPY wire.t FROM STDIN; SELECT 'after'"), copy_data(b"4\tf\n"), copy_done(),
              query("TABLE wire.t"), count=2),
        run("TABLE wire.t"),
    ],
    "copy in, out of step": [
        RESET, (query("COPY wire.t FROM STDIN"), "G", 1),
        (query("SELECT 'not copy data'"), END, 1),
    ],
    "copy in, extended": [
        RESET, (parse("COPY wire.t FROM STDIN") + bind() + execute() + flush(), "G", 1),
        ready(copy_data(b"1\tone\n"), copy_done(), sync()),
        ready(parse("COPY wire.t FROM STDIN"), bind(), execute(), copy_data(b"2\ttwo\n"),
              copy_done(), call("SELECT 'same pipeline'"), sync()),
        ready(parse("COPY wire.t FROM STDIN"), bind(), execute(), sync(),
              copy_data(b"3\tthree\n"), copy_done(), sync()),
        ready(parse("COPY wire.t FROM STDIN"), bind(), execute(), copy_data(b"x\n"), copy_done(),
              call("SELECT 'skipped'"), sync()),
        ready(parse("COPY wire.t FROM STDIN"), bind(), execute(), copy_fail("no"),
              call("SELECT 'skipped'"), sync()), run("TABLE wire.t"),
    ],
    "copy out": [
        run("COPY (SELECT i, 'row ' || i FROM generate_series(1, 50) i) TO STDOUT"),
        run("COPY (SELECT 1/i FROM generate_series(3, 0, -1) i) TO STDOUT"),
        ready(call("COPY (SELECT 1) TO STDOUT (FORMAT BINARY)"), sync()),
        ready(query("COPY (SELECT 1) TO STDOUT; COPY (SELECT 2) TO STDOUT"), call("SELECT 3"),
              sync(), count=2),
    ],
    "settings": [
        run("SET timezone = 'Asia/Kolkata'"), run("SET application_name = 'renamed'"),
        run("BEGIN; SET datestyle = 'German'"), run("ROLLBACK"),
        ready(call("SET client_encoding = 'LATIN1'"), sync()), run("SELECT U&'\\00e9'"),
        run("RESET ALL"), run("DISCARD ALL"),
    ],
    "big messages": [
        run("SELECT repeat('x', 5000000)"), run("SELECT repeat('y', i) FROM "
                                                "generate_series(8000, 20000, 17) i"),
        ready(call("SELECT length($1), md5($1)", "z" * 3_000_000), sync()),
        run("SELECT '" + "q" * 700_000 + "'"), run("SELECT " + ", ".join(map(str, range(1600)))),
        ready(*[call("SELECT $1::text", "p" * 100) + sync() for _ in range(1000)], count=1000),
    ],
}


def held(wire, conversation, send):
    """Holds a conversation with `send` as the way to send; the answers, step by step."""
    answers = []
    for data, kind, count in conversation:
        send(data)
        step = []
        for _ in range(count):
            step += wire.read_to_end() if kind == END else wire.read_until(kind)
        answers.append(step)
    return answers
