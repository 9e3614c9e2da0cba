"""asyncpg: everything is a prepared statement with binary values; types are introspected."""

import asyncio
import io
import os
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import asyncpg

from common import Suite, bulk_rows, digest

TYPED = ("SELECT $1::int8, $2::int8, $3::float8, $4::numeric, $5::text, $6::text, $7::bool, "
         "$8::date, $9::timestamptz, $10::interval, $11::uuid, $12::int[], $13::bytea")


# Without a word of TLS in the environment it would try it first.
TLS = None if "PGSSLMODE" in os.environ else False


async def connect(**settings):
    return await asyncpg.connect(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]),
                                 user=os.environ["PGUSER"], database=os.environ["PGDATABASE"],
                                 ssl=TLS, server_settings=settings)


async def eventually(condition, deadline_s=20):
    """Polls an asynchronous condition; False when it did not become true in time."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not await condition():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.sleep(0.02)
    return True


class Scenarios:
    """One connection that all scenarios share."""

    def __init__(self, connection):
        self.main = connection

    async def fetch(self, sql, *values):
        return [tuple(row) for row in await self.main.fetch(sql, *values)]

    async def refused(self, awaitable):
        try:
            return ["no error", str(await awaitable)]
        except asyncpg.PostgresError as error:
            return [error.sqlstate, error.message]
        except asyncpg.InterfaceError as error:
            return [type(error).__name__, str(error)]

    async def simple_query(self):
        return [await self.fetch("SELECT 1, 'two', NULL, true, 4.5::float8, 1.10::numeric"),
                await self.main.execute("SELECT 1")]

    async def parameters(self):
        row = (await self.fetch(
            TYPED, 7, -2**62, 1.5, Decimal("12345.678900"), "it's \\ \"x\"", None, False,
            date(2024, 2, 29), datetime(2024, 2, 29, 12, 0, 1, 5, timezone.utc),
            timedelta(days=1, seconds=5), UUID(int=42), [1, 2], b"\x00\xff"))[0]
        return [*row[:12], row[12].hex()]

    async def errors_and_recovery(self):
        return [await self.refused(self.main.fetch(sql))
                for sql in ("SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT 'a'::int")
                ] + [await self.refused(self.main.fetch("SELECT $1::int / $2::int", 1, 0)),
                     await self.fetch("SELECT 'recovered'")]

    async def transactions_and_savepoints(self):
        class Undo(Exception):
            pass

        async with self.main.transaction():
            await self.main.execute("INSERT INTO smoke.item VALUES ($1, $2)", 1, "one")
            try:
                async with self.main.transaction():
                    await self.main.execute("INSERT INTO smoke.item VALUES ($1, $2)", 2, "two")
                    raise Undo
            except Undo:
                pass
            async with self.main.transaction():
                await self.main.execute("INSERT INTO smoke.item VALUES ($1, $2)", 3, "three")
        async with self.main.transaction(isolation="serializable", readonly=True):
            write = await self.refused(self.main.execute("DELETE FROM smoke.item"))
        return [write, await self.fetch("SELECT id FROM smoke.item ORDER BY id")]

    async def failed_transaction(self):
        transaction = self.main.transaction()
        await transaction.start()
        seen = [await self.refused(self.main.fetch("SELECT 1/0")),
                await self.refused(self.main.fetch("SELECT 1")), self.main.is_in_transaction()]
        await transaction.rollback()
        return seen + [self.main.is_in_transaction(), await self.fetch("SELECT 'fine again'")]

    async def prepared_statements(self):
        statement = await self.main.prepare("SELECT $1::int + $2::int")
        sums = [await statement.fetchval(i, i) for i in range(20)]
        kinds = [p.name for p in statement.get_parameters()]
        cached = [(await self.fetch("SELECT $1::text || 'x'", str(i)))[0][0] for i in range(20)]
        return [sums, kinds, cached, statement.get_statusmsg()]

    async def many_prepared_statements(self):
        # More than the client's cache of 100 holds, so that it closes the oldest.
        return sum([await self.main.fetchval(f"SELECT $1::int + {i}", 1) for i in range(150)])

    async def set_and_show(self):
        await self.main.execute("SET work_mem = '7MB'")
        await self.main.execute("SET timezone = 'Asia/Kolkata'")
        shown = [await self.fetch("SHOW work_mem"), await self.fetch("SHOW timezone"),
                 self.main.get_settings().TimeZone]
        await self.main.reset()
        return shown + [await self.fetch("SHOW work_mem")]

    async def search_path(self):
        seen = []
        for path in ("smoke", "smoke_other", '"$user", smoke_other, smoke'):
            await self.main.execute(f"SET search_path = {path}")
            seen.append([await self.fetch("SELECT name FROM note WHERE $1", True)
                         for _ in range(3)])
        await self.main.execute("RESET search_path")
        return seen

    async def custom_guc(self):
        await self.main.execute("SET app.tenant = 'tenant ''one'''")
        await self.fetch("SELECT set_config($1, $2, false)", "app.user_id", "4711")
        return [await self.fetch("SELECT current_setting('app.tenant'), current_setting($1)",
                                 "app.user_id"),
                await self.main.execute("RESET app.tenant"),
                await self.fetch("SELECT current_setting('app.tenant', true)")]

    async def cursors(self):
        async with self.main.transaction():
            rows = [row[0] async for row in self.main.cursor("SELECT generate_series(1, $1::int)",
                                                             30, prefetch=7)]
            cursor = await self.main.cursor("SELECT generate_series(1, 20)")
            await cursor.forward(5)
            return [rows, [row[0] for row in await cursor.fetch(3)]]

    async def hold_cursor(self):
        connection = await connect()
        await connection.execute("DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 5)")
        first = await connection.fetch("FETCH 2 FROM held")
        await connection.execute("SELECT 1")
        rest = await connection.fetch("FETCH ALL FROM held")
        await connection.execute("CLOSE held")
        await connection.close()
        return [[r[0] for r in first], [r[0] for r in rest]]

    async def temp_table(self):
        connection = await connect()
        await connection.execute("CREATE TEMP TABLE mine (a int)")
        tag = await connection.copy_records_to_table("mine", records=[(i,) for i in range(10)])
        seen = [tag, await connection.fetchval("SELECT sum(a) FROM mine"),
                await connection.execute("DROP TABLE mine"),
                await self.refused(connection.fetch("SELECT * FROM mine"))]
        await connection.close()
        return seen

    async def copy_in_and_out(self):
        data, out = bulk_rows(), io.BytesIO()
        tag = await self.main.copy_to_table("bulk", schema_name="smoke",
                                            source=io.BytesIO(data.encode()))
        back = await self.main.copy_from_query("SELECT * FROM smoke.bulk ORDER BY id", output=out)
        bad = await self.refused(self.main.copy_to_table("bulk", schema_name="smoke",
                                                         source=io.BytesIO(b"x\tnot an int\n")))
        return [tag, back, digest(out.getvalue()), out.getvalue().decode() == data, bad,
                await self.fetch("SELECT count(*) FROM smoke.bulk")]

    async def listen_and_notify(self):
        got, complete = [], asyncio.Event()

        def heard(_connection, _pid, channel, payload):
            got.append((channel, payload))
            if len(got) == 3:
                complete.set()

        await self.main.add_listener("smoke_news", heard)
        for i in range(3):
            await self.main.execute("SELECT pg_notify('smoke_news', $1)", f"news {i}")
        await asyncio.wait_for(complete.wait(), 20)
        await self.main.remove_listener("smoke_news", heard)
        await self.main.execute("NOTIFY smoke_news, 'unheard'")
        await self.main.execute("SELECT 1")
        return got

    async def cancel(self):
        victim = await connect(application_name="smoke_sleeper")
        task = asyncio.ensure_future(victim.fetch("SELECT pg_sleep(60)"))

        async def asleep():
            return await self.fetch("SELECT 1 FROM pg_stat_activity WHERE application_name = "
                                    "'smoke_sleeper' AND wait_event = 'PgSleep'")

        sleeping = await eventually(asleep)
        task.cancel()
        try:
            await task
            end = "no error"
        except asyncio.CancelledError:
            end = "cancelled"
        after = await victim.fetchval("SELECT 'usable'")
        await victim.close()
        return [sleeping, end, after]

    async def timeout(self):
        try:
            await self.main.fetch("SELECT pg_sleep(60)", timeout=0.2)
            end = "no error"
        except asyncio.TimeoutError:
            end = "timeout"
        return [end, await self.fetch("SELECT 'usable'")]

    async def big_row(self):
        big = "0123456789abcdef" * (5 * 1024 * 1024 // 16)
        back, size = (await self.fetch("SELECT $1::text, length($1)", big))[0]
        return [digest(back), back == big, size]

    async def many_columns(self):
        row = (await self.fetch("SELECT " + ", ".join(f"{i} AS column_{i}"
                                                      for i in range(1600))))[0]
        return [len(row), sum(row)]

    async def empty_query(self):
        return [await self.main.fetch(""), await self.main.fetch("-- nothing")]

    async def multi_statement(self):
        return [await self.main.execute("SELECT 1; SELECT 2; SELECT 3"),
                await self.refused(self.main.fetch("SELECT 1; SELECT 2")),
                await self.refused(self.main.execute(
                    "INSERT INTO smoke.item VALUES (20, 'x'); SELECT 1/0")),
                await self.fetch("SELECT count(*) FROM smoke.item WHERE id = 20")]

    async def executemany(self):
        await self.main.executemany("INSERT INTO smoke.item VALUES ($1, $2)",
                                    [(i, "many") for i in range(100, 600)])
        bad = await self.refused(self.main.executemany(
            "INSERT INTO smoke.item VALUES ($1, $2)", [(601, "undone"), (100, "duplicate")]))
        return [bad, await self.fetch("SELECT count(*) FROM smoke.item WHERE id >= 100")]

    async def notices(self):
        got = []

        def heard(_connection, message):
            got.append([message.severity, message.sqlstate, message.message])

        self.main.add_log_listener(heard)
        value = await self.fetch("SELECT smoke.shout($1)", "hey")
        self.main.remove_log_listener(heard)
        return [value, got]

    async def unicode_text(self):
        text = "Grüße, Ω, 漢字, 🐘, \u0301, \t\r\n"
        row = (await self.fetch("SELECT $1::text, length($1)", text))[0]
        return [row, row[0] == text]

    async def bytea(self):
        data = bytes(range(256)) * 40
        back = await self.main.fetchval("SELECT $1::bytea", data)
        return [digest(back), back == data]

    async def arrays(self):
        return await self.fetch("SELECT $1::int[], $2::text[], $3::bool[], "
                                "'{{1,2},{3,4}}'::int[], '{}'::text[]",
                                [1, 2, None], ["a", 'b"c', "d,e", "{f}"], [True, False])

    async def user_types(self):
        for i in range(8):
            await self.main.execute(
                "INSERT INTO smoke.item (id, name, mood, amount, place) "
                "VALUES ($1, 'typed', $2, $3, $4)", 30 + i, "happy", 5 + i, (i, "here"))
        rows = await self.fetch("SELECT mood, amount, place FROM smoke.item "
                                "WHERE name = 'typed' ORDER BY id")
        moods = await self.main.fetchval("SELECT $1::smoke.mood[]", ["sad", "ok"])
        await self.main.reload_schema_state()
        again = await self.main.fetchval("SELECT $1::smoke.place", (9, "there"))
        return [[(m, a, tuple(p)) for m, a, p in rows], moods, tuple(again),
                await self.refused(self.main.fetch("SELECT $1::smoke.mood", "angry")),
                await self.refused(self.main.fetch("SELECT $1::smoke.positive", -1))]

    async def advisory_locks(self):
        other = await connect()
        seen = []
        for who, what in ((self.main, "try_advisory_lock"), (self.main, "try_advisory_lock"),
                          (other, "try_advisory_lock"), (self.main, "advisory_unlock"),
                          (other, "try_advisory_lock"), (self.main, "advisory_unlock"),
                          (other, "try_advisory_lock")):
            seen.append(await who.fetchval(f"SELECT pg_{what}($1)", 11))
        await other.close()
        return seen

    async def abrupt_disconnect(self):
        victim = await connect()
        await victim.execute("SELECT pg_advisory_lock(77)")
        await victim.execute("BEGIN; INSERT INTO smoke.item VALUES (77, 'never')")
        victim.terminate()

        async def freed():
            return await self.main.fetchval("SELECT pg_try_advisory_lock(77)")

        return [await eventually(freed), await self.main.fetchval("SELECT pg_advisory_unlock(77)"),
                await self.fetch("SELECT count(*) FROM smoke.item WHERE id = 77")]


async def pool_of_connections():
    pool = await asyncpg.create_pool(host=os.environ["PGHOST"], port=int(os.environ["PGPORT"]),
                                     user=os.environ["PGUSER"], ssl=TLS,
                                     database=os.environ["PGDATABASE"], min_size=2, max_size=4)
    found = await asyncio.gather(*(pool.fetchval("SELECT $1::int * 2", i) for i in range(40)))
    await pool.close()
    return found


async def everything():
    suite = Suite()
    main = await connect(application_name="smoke")
    s = Scenarios(main)
    await suite.run_async(
        s.simple_query, s.parameters, s.errors_and_recovery, s.transactions_and_savepoints,
        s.failed_transaction, s.prepared_statements, s.many_prepared_statements, s.set_and_show,
        s.search_path, s.custom_guc, s.cursors, s.hold_cursor, s.temp_table, s.copy_in_and_out,
        s.listen_and_notify, s.cancel, s.timeout, s.big_row, s.many_columns, s.empty_query,
        s.multi_statement, s.executemany, s.notices, s.unicode_text, s.bytea, s.arrays,
        s.user_types, s.advisory_locks, s.abrupt_disconnect, pool_of_connections)
    await main.close()
    suite.finish()


asyncio.run(everything())
