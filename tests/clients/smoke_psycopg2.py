"""psycopg2: the scenarios over libpq's simple protocol."""

import io
import threading
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import psycopg2
import psycopg2.errors
import psycopg2.extras

from common import Suite, bulk_rows, cut, digest, eventually

psycopg2.extras.register_uuid()


def connect(**options):
    connection = psycopg2.connect("", **options)
    connection.autocommit = True
    return connection


main = connect(application_name="smoke")


def fetch(sql, values=None, connection=main):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else cursor.statusmessage


def refused(sql, values=None, connection=main):
    """SQLSTATE and message of a statement that must fail."""
    try:
        return ["no error", fetch(sql, values, connection)]
    except psycopg2.Error as error:
        return [error.pgcode, error.diag.message_primary]


def simple_query():
    return fetch("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric")


def parameters():
    values = (7, -2**62, 1.5, Decimal("12345.678900"), "it's \\ \"x\"", None, False,
              date(2024, 2, 29), datetime(2024, 2, 29, 12, 0, 1, 5, timezone.utc),
              timedelta(days=1, seconds=5), UUID(int=42), [1, 2], b"\x00\xff")
    row = fetch("SELECT " + ", ".join(["%s"] * len(values)), values)[0]
    return [*row[:8], row[8].astimezone(timezone.utc), *row[9:12], bytes(row[12]).hex()]


def errors_and_recovery():
    return [refused("SELEC 1"), refused("SELECT 1/0"), refused("SELECT * FROM nowhere"),
            refused("SELECT 'a'::int"), fetch("SELECT 'recovered'")]


def transactions_and_savepoints():
    steps = ["BEGIN", "INSERT INTO smoke.item VALUES (1, 'one')", "SAVEPOINT a",
             "INSERT INTO smoke.item VALUES (2, 'two')", "ROLLBACK TO a",
             "INSERT INTO smoke.item VALUES (3, 'three')", "RELEASE a", "COMMIT",
             "BEGIN", "DELETE FROM smoke.item", "ROLLBACK"]
    return [fetch(step) for step in steps] + fetch("SELECT id FROM smoke.item ORDER BY id")


def failed_transaction():
    return [fetch("BEGIN"), refused("SELECT 1/0"), refused("SELECT 1"), fetch("COMMIT"),
            fetch("SELECT 'fine again'")]


def implicit_transaction():
    main.autocommit = False
    try:
        fetch("INSERT INTO smoke.item VALUES (10, 'ten')")
        main.rollback()
        fetch("INSERT INTO smoke.item VALUES (11, 'eleven')")
        main.commit()
        found = fetch("SELECT id FROM smoke.item WHERE id >= 10")
        main.rollback()
        return found
    finally:
        main.autocommit = True


def prepared_statements():
    fetch("PREPARE plus (int, int) AS SELECT $1 + $2")
    sums = [fetch("EXECUTE plus (%s, %s)", (i, i))[0][0] for i in range(20)]
    return [sums, fetch("DEALLOCATE plus"), refused("EXECUTE plus (1, 1)")]


def set_and_show():
    fetch("SET work_mem = '7MB'")
    fetch("SET timezone = 'Asia/Kolkata'")
    fetch("SET datestyle = 'German, DMY'")
    shown = [fetch("SHOW work_mem"), fetch("SHOW timezone"),
             fetch("SELECT '2024-02-29'::date::text"), main.get_parameter_status("TimeZone")]
    fetch("RESET ALL")
    return shown + [fetch("SHOW work_mem"), fetch("SELECT '2024-02-29'::date::text")]


def search_path():
    seen = []
    for path in ("smoke", "smoke_other", '"$user", smoke_other, smoke'):
        fetch(f"SET search_path = {path}")
        seen.append(fetch("SELECT name FROM note"))
    fetch("RESET search_path")
    return seen + [refused("SELECT name FROM note")]


def custom_guc():
    fetch("SET app.tenant = 'tenant ''one'''")
    fetch("SELECT set_config(%s, %s, false)", ("app.user_id", "4711"))
    return [fetch("SELECT current_setting('app.tenant'), current_setting('app.user_id')"),
            fetch("RESET app.tenant"), fetch("SELECT current_setting('app.tenant', true)")]


def cursors():
    main.autocommit = False
    try:
        with main.cursor("rows_of_a_cursor") as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT generate_series(1, 30)")
            found = [row[0] for row in cursor]
        main.commit()
        return found
    finally:
        main.autocommit = True


def hold_cursor():
    with connect() as connection:
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
    fetch("INSERT INTO mine SELECT generate_series(1, 9)", None, connection)
    found = [fetch("SELECT sum(a) FROM mine", None, connection),
             fetch("DROP TABLE mine", None, connection),
             refused("SELECT * FROM mine", None, connection)]
    connection.close()
    return found


def sequences():
    connection = connect()
    found = [fetch("INSERT INTO smoke.counted (name) VALUES ('a'), ('b') RETURNING id", None,
                   connection),
             fetch("SELECT currval('smoke.counted_id_seq'), lastval()", None, connection),
             fetch("DISCARD ALL", None, connection), refused("SELECT lastval()", None, connection)]
    connection.close()
    return found


def copy_in_and_out():
    with main.cursor() as cursor:
        cursor.copy_expert("COPY smoke.bulk FROM STDIN", io.StringIO(bulk_rows()))
        copied = cursor.rowcount
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM smoke.bulk ORDER BY id) TO STDOUT", out)
    bad = io.StringIO("1\tfine\nx\tnot an int\n")
    try:
        with main.cursor() as cursor:
            cursor.copy_expert("COPY smoke.bulk FROM STDIN", bad)
        refusal = "no error"
    except psycopg2.Error as error:
        refusal = [error.pgcode, error.diag.message_primary]
    return [copied, digest(out.getvalue()), out.getvalue() == bulk_rows(), refusal,
            fetch("SELECT count(*) FROM smoke.bulk")]


def listen_and_notify():
    fetch("LISTEN smoke_news")
    fetch("LISTEN \"Odd Channel\"")
    for i in range(3):
        fetch("SELECT pg_notify('smoke_news', %s)", (f"news {i}",))
    fetch("NOTIFY \"Odd Channel\"")
    complete = eventually(lambda: main.poll() or len(main.notifies) >= 4)
    got = [(n.channel, n.payload) for n in main.notifies]
    main.notifies.clear()
    fetch("UNLISTEN *")
    fetch("NOTIFY smoke_news, 'unheard'")
    fetch("SELECT 1")
    return [complete, got, len(main.notifies)]


def cancel():
    victim, seen = connect(application_name="smoke_sleeper"), []
    thread = threading.Thread(
        target=lambda: seen.append(refused("SELECT pg_sleep(60)", None, victim)))
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
    row = fetch("SELECT " + ", ".join(f"{i} AS column_{i}" for i in range(1600)))[0]
    return [len(row), sum(row)]


def empty_query():
    with main.cursor() as cursor:
        try:
            cursor.execute("")
            return ["accepted", cursor.statusmessage]
        except psycopg2.ProgrammingError as error:
            return [str(error)]
        finally:
            fetch("SELECT 1")


def multi_statement():
    return [fetch("SELECT 1; SELECT 2; SELECT 3"),
            fetch("SET work_mem = '8MB'; SHOW work_mem"),
            refused("INSERT INTO smoke.item VALUES (20, 'x'); SELECT 1/0"),
            fetch("SELECT count(*) FROM smoke.item WHERE id = 20"), fetch("RESET work_mem")]


def notices():
    main.notices.clear()
    return [fetch("SELECT smoke.shout('hey')"), list(main.notices),
            fetch("SET client_min_messages = error"), fetch("SELECT smoke.shout('quiet')"),
            len(main.notices), fetch("RESET client_min_messages")]


def unicode_text():
    text = "Grüße, Ω, 漢字, 🐘, \u0301, \t\r\n"
    row = fetch("SELECT %s, length(%s), %s", (text, text, "x" * 3))[0]
    main.set_client_encoding("LATIN1")
    latin = fetch("SELECT %s, octet_length(%s)", ("Grüße", "Grüße"))
    bad = refused("SELECT U&'\\6F22'")
    main.set_client_encoding("UTF8")
    return [row, row[0] == text, latin, bad]


def bytea():
    data = bytes(range(256)) * 40
    seen = []
    for output in ("hex", "escape"):
        fetch(f"SET bytea_output = {output}")
        back = bytes(fetch("SELECT %s::bytea", (psycopg2.Binary(data),))[0][0])
        seen.append([back == data, digest(back)])
    fetch("RESET bytea_output")
    return seen


def arrays():
    return fetch("SELECT %s, %s, %s, '{{1,2},{3,4}}'::int[], '{}'::text[]",
                 ([1, 2, None], ["a", 'b"c', "d,e", "{f}"], [True, False]))


def user_types():
    fetch("INSERT INTO smoke.item (id, name, mood, amount, place) VALUES "
          "(30, 'typed', %s, %s, ROW(%s, %s)::smoke.place)", ("happy", 5, 1, "here"))
    return [fetch("SELECT mood, amount, place FROM smoke.item WHERE id = 30"),
            refused("SELECT 'angry'::smoke.mood"), refused("SELECT (-1)::smoke.positive")]


def advisory_locks():
    other = connect()
    seen = [fetch("SELECT pg_try_advisory_lock(11)"), fetch("SELECT pg_try_advisory_lock(11)"),
            fetch("SELECT pg_try_advisory_lock(11)", None, other),
            fetch("SELECT pg_advisory_unlock(11)"),
            fetch("SELECT pg_try_advisory_lock(11)", None, other),
            fetch("SELECT pg_advisory_unlock(11)"),
            fetch("SELECT pg_try_advisory_lock(11)", None, other),
            fetch("SELECT pg_try_advisory_lock_shared(3, 4)"),
            fetch("SELECT pg_advisory_unlock_shared(3, 4)")]
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
suite.run(simple_query, parameters, errors_and_recovery, transactions_and_savepoints,
          failed_transaction, implicit_transaction, prepared_statements, set_and_show, search_path,
          custom_guc, cursors, hold_cursor, temp_table, sequences, copy_in_and_out,
          listen_and_notify, cancel, big_row, many_columns, empty_query, multi_statement, notices,
          unicode_text, bytea, arrays, user_types, advisory_locks, abrupt_disconnect)
main.close()
suite.finish()
