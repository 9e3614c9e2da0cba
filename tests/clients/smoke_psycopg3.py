"""psycopg 3: server-side binding, prepared statements, pipelines, binary results, COPY."""

import threading
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import psycopg
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum

from common import Suite, bulk_rows, cut, digest, eventually


def connect(**options):
    return psycopg.connect("", autocommit=True, **options)


main = connect(application_name="smoke")


def fetch(sql, values=None, connection=main, **options):
    cursor = connection.execute(sql, values, **options)
    return cursor.fetchall() if cursor.description else cursor.statusmessage


def refused(sql, values=None, connection=main, **options):
    """SQLSTATE and message of a statement that must fail."""
    try:
        return ["no error", fetch(sql, values, connection, **options)]
    except psycopg.Error as error:
        return [error.sqlstate, error.diag.message_primary]


def simple_query():
    return [fetch("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric"),
            fetch("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric", binary=True)]


def parameters():
    values = (7, -2**62, 1.5, Decimal("12345.678900"), "it's \\ \"x\"", None, False,
              date(2024, 2, 29), datetime(2024, 2, 29, 12, 0, 1, 5, timezone.utc),
              timedelta(days=1, seconds=5), UUID(int=42), [1, 2], b"\x00\xff")
    sql = ("SELECT %s::int8, %s::int8, %s::float8, %s::numeric, %s::text, %s::text, %s::bool, "
           "%s::date, %s::timestamptz, %s::interval, %s::uuid, %s::int[], %s::bytea")
    found = []
    for binary in (False, True):
        row = fetch(sql, values, binary=binary)[0]
        found.append([*row[:8], row[8].astimezone(timezone.utc), *row[9:12], row[12].hex()])
    return found


def binary_parameters():
    return fetch("SELECT %b + 1, %b || 'x', %b::bytea, %b::uuid", (41, "y", b"\x01", UUID(int=1)))


def errors_and_recovery():
    return [refused("SELEC 1"), refused("SELECT 1/%s", (0,)), refused("SELECT * FROM nowhere"),
            refused("SELECT %s::int", ("a",)), fetch("SELECT 'recovered'")]


def transactions_and_savepoints():
    class Undo(Exception):
        pass

    with main.transaction():
        fetch("INSERT INTO smoke.item VALUES (%s, %s)", (1, "one"))
        try:
            with main.transaction():
                fetch("INSERT INTO smoke.item VALUES (%s, %s)", (2, "two"))
                raise Undo
        except Undo:
            pass
        with main.transaction():
            fetch("INSERT INTO smoke.item VALUES (%s, %s)", (3, "three"))
    try:
        with main.transaction():
            fetch("DELETE FROM smoke.item")
            raise Undo
    except Undo:
        pass
    return fetch("SELECT id FROM smoke.item ORDER BY id")


def failed_transaction():
    seen = [fetch("BEGIN"), refused("SELECT 1/0"), main.info.transaction_status.name,
            refused("SELECT 1"), fetch("COMMIT"), main.info.transaction_status.name]
    return seen + [fetch("SELECT 'fine again'")]


def prepared_statements():
    sums = [fetch("SELECT %s::int + %s::int", (i, i), prepare=True)[0][0] for i in range(20)]
    counted = fetch("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%$1::int%'")
    automatic = [fetch("SELECT %s::text || 'x'", (str(i),))[0][0] for i in range(20)]
    return [sums, counted, automatic]


def many_prepared_statements():
    main.prepare_threshold = 0
    try:
        # More than prepared_max of them, so that the client deallocates the oldest.
        return sum(fetch(f"SELECT %s::int + {i}", (1,))[0][0] for i in range(150))
    finally:
        main.prepare_threshold = 5


def set_and_show():
    fetch("SET work_mem = '7MB'")
    fetch("SET timezone = 'Asia/Kolkata'")
    shown = [fetch("SHOW work_mem"), fetch("SHOW timezone"), str(main.info.timezone)]
    fetch("RESET ALL")
    return shown + [fetch("SHOW work_mem")]


def search_path():
    seen = []
    for path in ("smoke", "smoke_other", '"$user", smoke_other, smoke'):
        fetch(f"SET search_path = {path}")
        seen.append([fetch("SELECT name FROM note WHERE %s", (True,), prepare=True)
                     for _ in range(3)])
    fetch("RESET search_path")
    return seen + [refused("SELECT name FROM note")]


def custom_guc():
    fetch("SET app.tenant = 'tenant ''one'''")
    fetch("SELECT set_config(%s, %s, false)", ("app.user_id", "4711"))
    return [fetch("SELECT current_setting('app.tenant'), current_setting(%s)", ("app.user_id",)),
            fetch("RESET app.tenant"), fetch("SELECT current_setting('app.tenant', true)")]


def cursors():
    with main.transaction(), main.cursor("rows_of_a_cursor", scrollable=True) as cursor:
        cursor.execute("SELECT generate_series(1, %s)", (30,))
        cursor.itersize = 7
        forward = [row[0] for row in cursor]
        cursor.scroll(5, mode="absolute")
        return [forward, cursor.fetchone()]


def client_stream():
    with main.cursor() as cursor:
        return sum(row[0] for row in cursor.stream("SELECT generate_series(1, %s)", (5000,)))


def hold_cursor():
    connection = connect()
    cursor = connection.cursor("held", withhold=True)
    cursor.execute("SELECT generate_series(1, 5)")
    first = cursor.fetchmany(2)
    fetch("SELECT 1", None, connection)
    rest = cursor.fetchall()
    cursor.close()
    after = fetch("SELECT 'closed'", None, connection)
    connection.close()
    return [first, rest, after]


def temp_table():
    connection = connect()
    fetch("CREATE TEMP TABLE mine (a int)", None, connection)
    fetch("INSERT INTO mine SELECT generate_series(1, %s)", (9,), connection)
    found = [fetch("SELECT sum(a) FROM mine", None, connection),
             fetch("DROP TABLE mine", None, connection),
             refused("SELECT * FROM mine", None, connection)]
    connection.close()
    return found


def copy_in_and_out():
    with main.cursor() as cursor:
        with cursor.copy("COPY smoke.bulk FROM STDIN") as copy:
            data = bulk_rows()
            for at in range(0, len(data), 10_007):
                copy.write(data[at:at + 10_007])
        copied = cursor.rowcount
        with cursor.copy("COPY (SELECT * FROM smoke.bulk ORDER BY id) TO STDOUT") as copy:
            out = b"".join(bytes(block) for block in copy)
    return [copied, digest(out), out.decode() == data]


def copy_binary_and_errors():
    with main.cursor() as cursor:
        with cursor.copy("COPY smoke.bulk FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text"])
            for i in range(1000):
                copy.write_row((200_000 + i, f"binary {i}"))
        seen = [cursor.rowcount]
        try:
            with cursor.copy("COPY smoke.bulk FROM STDIN") as copy:
                copy.write_row(("x", "not an int"))
        except psycopg.Error as error:
            seen.append([error.sqlstate, error.diag.message_primary])
        try:
            with cursor.copy("COPY smoke.bulk FROM STDIN") as copy:
                copy.write_row((1, "changed my mind"))
                raise KeyError("given up")
        except psycopg.Error as error:
            seen.append([error.sqlstate, error.diag.message_primary])
    return seen + [fetch("SELECT count(*) FROM smoke.bulk")]


def pipeline_mode():
    seen = []
    with main.pipeline():
        cursors_ = [main.execute("SELECT %s::int * 2", (i,)) for i in range(30)]
        seen.append([cursor.fetchone()[0] for cursor in cursors_])
    with main.pipeline():
        cursors_ = [main.execute("INSERT INTO smoke.item VALUES (%s, %s)", (100 + i, "p"))
                    for i in range(20)]
    return seen + [fetch("SELECT count(*) FROM smoke.item WHERE name = 'p'")]


def pipeline_with_error():
    seen = []
    try:
        with main.pipeline() as pipeline:
            main.execute("INSERT INTO smoke.item VALUES (%s, 'kept')", (200,))
            pipeline.sync()
            main.execute("INSERT INTO smoke.item VALUES (%s, 'undone')", (201,))
            main.execute("SELECT 1/0")
            main.execute("INSERT INTO smoke.item VALUES (%s, 'skipped')", (202,))
            pipeline.sync()
    except psycopg.Error as error:
        seen.append([error.sqlstate, error.diag.message_primary])
    return seen + fetch("SELECT id, name FROM smoke.item WHERE id >= 200 ORDER BY id")


def executemany_in_pipeline():
    with main.cursor() as cursor:
        cursor.executemany("INSERT INTO smoke.item VALUES (%s, %s) RETURNING id",
                           [(300 + i, "many") for i in range(50)], returning=True)
        total, more = 0, True
        while more:
            total += cursor.fetchone()[0]
            more = cursor.nextset()
        return total


def listen_and_notify():
    fetch("LISTEN smoke_news")
    got = []
    main.add_notify_handler(lambda n: got.append((n.channel, n.payload)))
    for i in range(3):
        fetch("SELECT pg_notify('smoke_news', %s)", (f"news {i}",))
    complete = eventually(lambda: fetch("SELECT 1") and len(got) >= 3)
    fetch("UNLISTEN *")
    fetch("NOTIFY smoke_news, 'unheard'")
    fetch("SELECT 1")
    return [complete, got]


def cancel():
    victim, seen = connect(application_name="smoke_sleeper"), []
    thread = threading.Thread(
        target=lambda: seen.append(refused("SELECT pg_sleep(%s)", (60,), victim)))
    thread.start()
    sleeping = eventually(lambda: fetch(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'smoke_sleeper' "
        "AND wait_event = 'PgSleep'"))
    victim.cancel()
    thread.join(30)
    after = fetch("SELECT 'usable'", None, victim)
    victim.close()
    return [sleeping, seen, after]


def big_row():
    big = "0123456789abcdef" * (5 * 1024 * 1024 // 16)
    back, size = fetch("SELECT %s::text, length(%s::text)", (big, big))[0]
    return [digest(back), back == big, size]


def many_columns():
    row = fetch("SELECT " + ", ".join(f"%s::int AS column_{i}" for i in range(1600)),
                list(range(1600)))[0]
    return [len(row), sum(row)]


def empty_query():
    return [main.execute("").statusmessage, main.execute("", binary=True).statusmessage]


def multi_statement():
    cursor = main.execute("SELECT 1; SELECT 2, 3; SELECT 4 WHERE false")
    seen = [cursor.fetchall()]
    while cursor.nextset():
        seen.append(cursor.fetchall())
    return [seen, refused("SELECT 1; SELECT %s", (2,)),
            refused("INSERT INTO smoke.item VALUES (20, 'x'); SELECT 1/0"),
            fetch("SELECT count(*) FROM smoke.item WHERE id = 20")]


def notices():
    got = []
    main.add_notice_handler(lambda d: got.append([d.severity, d.sqlstate, d.message_primary]))
    return [fetch("SELECT smoke.shout(%s)", ("hey",)), got]


def unicode_text():
    text = "Grüße, Ω, 漢字, 🐘, \u0301, \t\r\n"
    row = fetch("SELECT %s, length(%s)", (text, text))[0]
    fetch("SET client_encoding = 'LATIN1'")
    latin = [main.info.encoding, fetch("SELECT %s, octet_length(%s)", ("Grüße", "Grüße"))]
    fetch("SET client_encoding = 'UTF8'")
    return [row, row[0] == text, latin]


def bytea():
    data = bytes(range(256)) * 40
    back = [fetch("SELECT %s::bytea", (data,), binary=binary)[0][0] for binary in (False, True)]
    return [[digest(b), b == data] for b in back]


def arrays():
    return fetch("SELECT %s::int[], %s::text[], %s::bool[], '{{1,2},{3,4}}'::int[], '{}'::text[]",
                 ([1, 2, None], ["a", 'b"c', "d,e", "{f}"], [True, False]))


def user_types():
    register_enum(EnumInfo.fetch(main, "smoke.mood"), main)
    register_composite(CompositeInfo.fetch(main, "smoke.place"), main)
    for i in range(8):
        fetch("INSERT INTO smoke.item (id, name, mood, amount, place) VALUES "
              "(%s, 'typed', %s::smoke.mood, %s, ROW(%s::int, %s::text)::smoke.place)",
              (30 + i, "happy", 5 + i, i, "here"))
    found = fetch("SELECT mood, amount, place FROM smoke.item WHERE name = 'typed' ORDER BY id")
    return [[(str(m), a, list(p)) for m, a, p in found], refused("SELECT 'angry'::smoke.mood"),
            refused("SELECT %s::smoke.positive", (-1,))]


def advisory_locks():
    other = connect()
    seen = [fetch("SELECT pg_try_advisory_lock(%s)", (11,)),
            fetch("SELECT pg_try_advisory_lock(%s)", (11,)),
            fetch("SELECT pg_try_advisory_lock(11)", None, other),
            fetch("SELECT pg_advisory_unlock(11)"),
            fetch("SELECT pg_try_advisory_lock(11)", None, other),
            fetch("SELECT pg_advisory_unlock(11)"),
            fetch("SELECT pg_try_advisory_lock(11)", None, other)]
    other.close()
    return seen


def abrupt_disconnect():
    victim = connect()
    fetch("SELECT pg_advisory_lock(77)", None, victim)
    fetch("BEGIN", None, victim)
    fetch("INSERT INTO smoke.item VALUES (77, 'never')", None, victim)
    cut(victim.fileno())
    freed = eventually(lambda: fetch("SELECT pg_try_advisory_lock(77)")[0][0])
    return [freed, fetch("SELECT pg_advisory_unlock(77)"),
            fetch("SELECT count(*) FROM smoke.item WHERE id = 77")]


suite = Suite()
suite.run(simple_query, parameters, binary_parameters, errors_and_recovery,
          transactions_and_savepoints, failed_transaction, prepared_statements,
          many_prepared_statements, set_and_show, search_path, custom_guc, cursors, client_stream,
          hold_cursor, temp_table, copy_in_and_out, copy_binary_and_errors, pipeline_mode,
          pipeline_with_error, executemany_in_pipeline, listen_and_notify, cancel, big_row,
          many_columns, empty_query, multi_statement, notices, unicode_text, bytea, arrays,
          user_types, advisory_locks, abrupt_disconnect)
main.close()
suite.finish()
