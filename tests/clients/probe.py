"""One connection that does what its standard input says, as tests/support/suites.py tells.

Usage: probe.py psycopg2 | psycopg3 | asyncpg | libpq. Where to connect is in libpq's environment
variables. `libpq` is the C library itself, by ctypes, for what no driver here has yet: a cancel
request on a TLS connection (PQcancelBlocking, libpq 17).
"""

import asyncio
import ctypes
import os
import sys
import threading

SLEEP = "SELECT pg_sleep(60)"


def one_line(text):
    return " ".join(str(text).split())


class Blocking:
    """A driver whose statements run in a thread while another one cancels."""

    def __init__(self):
        self.sleeper, self.end = None, ""

    def query(self, sql):
        raise NotImplementedError

    def interrupt(self):
        raise NotImplementedError

    def why(self, error):
        raise NotImplementedError

    def ask(self, sql):
        try:
            return f"= {self.query(sql)}"
        except Exception as error:  # pylint: disable=broad-except
            return f"! {self.why(error)}"

    def sleep(self):
        def run():
            self.end = self.ask(SLEEP)
        self.sleeper = threading.Thread(target=run, daemon=True)
        self.sleeper.start()

    def cancel(self):
        self.interrupt()
        self.sleeper.join()
        return self.end


class Psycopg2(Blocking):
    def __init__(self):
        import psycopg2  # pylint: disable=import-outside-toplevel
        super().__init__()
        self.connection = psycopg2.connect("")
        self.connection.autocommit = True

    def query(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]

    def interrupt(self):
        self.connection.cancel()

    def why(self, error):
        return error.pgcode


class Psycopg3(Blocking):
    def __init__(self):
        import psycopg  # pylint: disable=import-outside-toplevel
        super().__init__()
        self.connection = psycopg.connect("", autocommit=True)

    def query(self, sql):
        return self.connection.execute(sql).fetchone()[0]

    def interrupt(self):
        self.connection.cancel()

    def why(self, error):
        return error.sqlstate


class Libpq(Blocking):
    """Statements are sent without waiting, so that one thread does."""

    SQLSTATE = ord("C")

    def __init__(self):
        super().__init__()
        self.lib = ctypes.CDLL("libpq.so.5")
        for name in ("PQconnectdb", "PQgetResult", "PQcancelCreate"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        for name in ("PQerrorMessage", "PQgetvalue", "PQresultErrorField", "PQcancelErrorMessage"):
            getattr(self.lib, name).restype = ctypes.c_char_p
        self.connection = ctypes.c_void_p(self.lib.PQconnectdb(b""))
        if self.lib.PQstatus(self.connection) != 0:
            raise ConnectionError(self.lib.PQerrorMessage(self.connection).decode())

    def send(self, sql):
        self.lib.PQsendQuery(self.connection, sql.encode())

    def result(self):
        """The value or the SQLSTATE of what was sent."""
        answer = ""
        while True:
            found = self.lib.PQgetResult(self.connection)
            if not found:
                return answer
            found = ctypes.c_void_p(found)
            state = self.lib.PQresultErrorField(found, self.SQLSTATE)
            answer = (f"! {state.decode()}" if state
                      else f"= {self.lib.PQgetvalue(found, 0, 0).decode()}")
            self.lib.PQclear(found)

    def ask(self, sql):
        self.send(sql)
        return self.result()

    def sleep(self):
        self.send(SLEEP)

    def cancel(self):
        request = ctypes.c_void_p(self.lib.PQcancelCreate(self.connection))
        if self.lib.PQcancelBlocking(request) != 1:
            return f"! {one_line(self.lib.PQcancelErrorMessage(request).decode())}"
        self.lib.PQcancelFinish(request)
        return self.result()


def serve_blocking(driver):
    try:
        session = driver()
    except Exception as error:  # pylint: disable=broad-except
        print(f"! {one_line(error)}", flush=True)
        return
    print("= ready", flush=True)
    for line in sys.stdin:
        command, _, sql = line.rstrip("\n").partition(" ")
        if command == "ask":
            print(session.ask(sql), flush=True)
        elif command == "sleep":
            session.sleep()
        elif command == "cancel":
            print(session.cancel(), flush=True)


async def asyncpg_connect():
    import asyncpg  # pylint: disable=import-outside-toplevel
    if "PGSSLNEGOTIATION" not in os.environ:
        return await asyncpg.connect()
    # What it has of direct TLS leaves out the protocol's name, which the server wants.
    import ssl  # pylint: disable=import-outside-toplevel
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    context.set_alpn_protocols(os.environ.get("PROBE_ALPN", "postgresql").split())
    return await asyncpg.connect(ssl=context, direct_tls=True)


async def asyncpg_ask(session, sql):
    try:
        return f"= {await session.fetchval(sql)}"
    except Exception as error:  # pylint: disable=broad-except
        return f"! {getattr(error, 'sqlstate', one_line(error))}"


async def serve_asyncpg():
    try:
        session = await asyncpg_connect()
    except Exception as error:  # pylint: disable=broad-except
        print(f"! {one_line(error)}", flush=True)
        return
    print("= ready", flush=True)
    sleeper, loop = None, asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, _, sql = line.rstrip("\n").partition(" ")
        if command == "ask":
            print(await asyncpg_ask(session, sql), flush=True)
        elif command == "sleep":
            sleeper = asyncio.ensure_future(session.fetchval(SLEEP))
        elif command == "cancel":
            sleeper.cancel()
            await asyncio.wait({sleeper})
            print("! cancelled" if sleeper.cancelled() else "= not cancelled", flush=True)
    await session.close()


if sys.argv[1] == "asyncpg":
    asyncio.run(serve_asyncpg())
else:
    serve_blocking({"psycopg2": Psycopg2, "psycopg3": Psycopg3, "libpq": Libpq}[sys.argv[1]])
