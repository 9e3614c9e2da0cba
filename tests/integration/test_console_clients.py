"""The console as other programs see it: drivers, monitoring, and next to the real PgBouncer."""

import asyncio
import os
import shutil
import subprocess

import asyncpg
import psycopg
import psycopg2
import pytest

from support.cluster import as_postgres, die_with_us, free_port, temp_dir, wait_until
from support.console import TRUSTING, Console, console_wire
from support.gate import connect, open_gate  # noqa: F401  pylint: disable=unused-import
from support.sluice import REPOSITORY, Sluice
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import Wire, kinds, startup

PGBOUNCER = "/usr/sbin/pgbouncer"
JDBC = "/usr/share/java/postgresql.jar"
SHOWN = ["ACTIVE_SOCKETS", "CLIENTS", "CONFIG", "DATABASES", "DNS_HOSTS", "DNS_ZONES", "LISTS",
         "MEM", "PEERS", "PEER_POOLS", "POOLS", "SERVERS", "SOCKETS", "STATE", "STATS",
         "STATS_AVERAGES", "STATS_TOTALS", "TOTALS", "USERS", "VERSION"]
OURS = ["BACKENDS", "CUTOVER", "EVENTS", "GATE", "PINS", "SESSIONS"]
RENAMED = {"reserve_pool": "reserve_pool_size"}  # by PgBouncer 1.24
INTEGERS = (20, 23, 1700)


@pytest.fixture(scope="module")
def proxy(blue):
    with Sluice({"blue": blue}, service=TRUSTING) as running:
        yield running


class PgBouncer:
    """The real one, with one database and a console for everybody."""

    def __init__(self, server):
        self.top = temp_dir()
        self.host, self.port = "127.0.0.1", free_port()
        ini = os.path.join(self.top, "pgbouncer.ini")
        with open(ini, "w") as out:
            out.write(f"[databases]\npostgres = host={server.host} port={server.port}\n"
                      f"[pgbouncer]\nlisten_addr = {self.host}\nlisten_port = {self.port}\n"
                      "unix_socket_dir =\nauth_type = any\nadmin_users = ada\n")
        self.process = subprocess.Popen([PGBOUNCER, "-q", ini], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_us, **as_postgres())
        wait_until(self._answers, "the start of PgBouncer", 20)

    def _answers(self):
        try:
            Console(self).connection.close()
            return True
        except psycopg2.OperationalError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def pgbouncer(blue):
    if not os.path.exists(PGBOUNCER):
        pytest.skip("PgBouncer is not installed")
    running = PgBouncer(blue)
    yield running
    running.stop()


# --- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "VERSION"])
def test_columns_are_those_of_pgbouncer(proxy, pgbouncer, name):
    """Older versions have fewer columns; what they have is here, in their order, of their type."""
    with Console(pgbouncer) as theirs, Console(proxy) as ours:
        try:
            expected = theirs.columns(f"SHOW {name}")
        except psycopg2.DatabaseError as error:
            pytest.skip(f"this PgBouncer has no SHOW {name}: {error}")
        expected = [(RENAMED.get(column, column), kind) for column, kind in expected]
        found = ours.columns(f"SHOW {name}")
        assert [column for column in found if column[0] in dict(expected)] == expected


def test_keys_of_lists_and_totals_are_those_of_pgbouncer(proxy, pgbouncer):
    with Console(pgbouncer) as theirs, Console(proxy) as ours:
        for name, key in (("LISTS", "list"), ("TOTALS", "name")):
            expected = [row[key] for row in theirs.run(f"SHOW {name}")]
            found = [row[key] for row in ours.run(f"SHOW {name}")]
            assert [each for each in found if each in expected] == expected, name


def test_tags_are_those_of_pgbouncer(proxy, pgbouncer):
    with Console(pgbouncer) as theirs, Console(proxy) as ours:
        for statement in ("SHOW LISTS", "SHOW HELP", "PAUSE", "RELOAD", "RESUME", "WAIT_CLOSE",
                          "SHOW client_encoding", "SET client_encoding = 'UTF8'"):
            theirs.run(statement)
            ours.run(statement)
            assert ours.tag == theirs.tag, statement
        assert "SHOW HELP|" in ours.notices()


def test_everything_is_shown_to_every_protocol(proxy, connect):
    connect("somebody")
    with Console(proxy) as simple, psycopg.connect(
            host=proxy.host, port=proxy.port, user="ada", dbname="pgbouncer",
            autocommit=True) as extended:
        for name in SHOWN + OURS:
            expected = simple.columns(f"SHOW {name}")
            for binary in (False, True):
                cursor = extended.cursor(binary=binary)
                cursor.execute(f"SHOW {name}", prepare=True)
                assert [(c.name, c.type_code) for c in cursor.description] == expected, name
                cursor.fetchall()


# --- drivers ------------------------------------------------------------------------------------


def psql(proxy, command, user="vera"):
    done = subprocess.run(["psql", "-X", "-A", "-t", "-h", proxy.host, "-p", str(proxy.port), "-U",
                           user, "-d", "pgbouncer", "-c", command], capture_output=True, text=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_psql(proxy):
    code, out, _ = psql(proxy, "SHOW STATE")
    assert (code, out.splitlines()) == (0, ["active|yes", "paused|no", "suspended|no"])
    code, _, said = psql(proxy, "SHOW HELP;")
    assert code == 0 and "Console usage" in said and "PAUSE [NAME]" in said
    code, _, said = psql(proxy, "PAUSE")
    assert code == 1 and "is no operator" in said
    assert psql(proxy, "PAUSE; RESUME", "otto")[:2] == (0, "PAUSE\nRESUME")


def test_psycopg3_in_both_protocols(proxy):
    with psycopg.connect(host=proxy.host, port=proxy.port, user="otto", dbname="pgsluice",
                         autocommit=True) as connection:
        assert connection.execute("SHOW STATE").fetchone() == ("active", "yes")
        cursor = connection.cursor(binary=True)
        assert cursor.execute("SHOW DATABASES", prepare=True).fetchone()[0] == "app"
        for _ in range(8):
            connection.execute("PAUSE", prepare=True)
            connection.execute("RESUME", prepare=True)
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("SUSPEND", prepare=True)
        with connection.pipeline():
            first, second = connection.cursor(), connection.cursor()
            first.execute("SHOW VERSION")
            second.execute("SHOW LISTS")
            assert first.fetchone()[0].startswith("pgsluice")
            assert second.fetchone() == ("databases", 1)


def test_asyncpg(proxy, connect):
    connect("somebody")

    async def ask():
        connection = await asyncpg.connect(host=proxy.host, port=proxy.port, user="otto",
                                           database="pgbouncer", ssl=False)
        try:
            pools = await connection.fetch("SHOW POOLS")
            stats = await connection.fetchrow("SHOW STATS")
            done = await connection.execute("RESUME")
        finally:
            connection.terminate()
        return dict(pools[0]), dict(stats), done

    pools, stats, done = asyncio.run(ask())
    assert (pools["user"], pools["cl_active"], pools["maxwait"]) == ("postgres", 1, 0)
    assert stats["database"] == "app" and stats["total_client_login_count"] >= 1
    assert done == "RESUME"


JAVA = """
import java.sql.*;
public class Ask {
    public static void main(String[] given) throws Exception {
        for (String mode : new String[] {"extended", "simple"}) {
            String url = given[0] + "&preferQueryMode=" + mode;
            try (Connection c = DriverManager.getConnection(url);
                 Statement s = c.createStatement()) {
                for (int i = 0; i < 8; ++i) {
                    try (PreparedStatement p = c.prepareStatement("SHOW LISTS");
                         ResultSet r = p.executeQuery()) {
                        r.next();
                        if (i == 7) System.out.println(r.getString(1) + " " + r.getInt(2));
                    }
                }
                s.execute("PAUSE");
                s.execute("RESUME");
                try {
                    s.execute("PASUE");
                } catch (SQLException e) {
                    System.out.println(e.getSQLState());
                }
                System.out.println(c.isValid(5));
            }
        }
    }
}
"""


@pytest.mark.skipif(not os.path.exists(JDBC) or shutil.which("java") is None, reason="no pgjdbc")
def test_pgjdbc(proxy, tmp_path):
    source = tmp_path / "Ask.java"
    source.write_text(JAVA)
    url = f"jdbc:postgresql://{proxy.host}:{proxy.port}/pgbouncer?user=otto&sslmode=disable"
    done = subprocess.run(["java", "-cp", JDBC, str(source), url], capture_output=True, text=True,
                          timeout=110, check=False)
    assert done.stdout.split("\n")[:-1] == ["databases 1", "42601", "true"] * 2, done.stderr


def test_unix_sockets(blue, tmp_path):
    directory = str(tmp_path)
    with Sluice({"blue": blue}, service=TRUSTING, listen=[f"{directory}:6432"]) as proxy:
        assert proxy.status()["gate"] == "open"  # commands are answered when the service is there
        with psycopg.connect(host=directory, port=6432, user="ada", dbname="pgbouncer",
                             autocommit=True) as connection:
            assert connection.execute("SHOW VERSION").fetchone()[0].startswith("pgsluice")


def test_tls_and_certificates(blue, tmp_path, authority, identity):
    rules = tmp_path / "hba"
    rules.write_text("hostssl pgbouncer all 127.0.0.1/32 cert\n")
    own = authority.issue("ada")
    os.chmod(own.key, 0o600)
    service = {**TRUSTING, "auth": {"hba_file": str(rules)},
               "tls": {"cert": identity.cert, "key": identity.key, "ca": authority.cert}}
    with Sluice({"blue": blue}, service=service) as proxy:
        shown = {"sslmode": "require", "sslcert": own.cert, "sslkey": own.key}
        with Console(proxy, "ada", **shown) as console:
            assert console.run("SHOW VERSION")
        with pytest.raises(psycopg2.OperationalError, match="certificate authentication failed"):
            Console(proxy, "otto", **shown)
        with pytest.raises(psycopg2.OperationalError, match="no rule lets in"):
            Console(proxy, "ada", sslmode="disable")


def test_a_load_balancer_tells_where_an_operator_comes_from(blue):
    """Who is trusted over loopback is not trusted behind a balancer on the same machine."""
    port = free_port()
    behind = {"address": f"127.0.0.1:{port}", "proxy_protocol": "required",
              "trusted": ["127.0.0.1"]}
    with Sluice({"blue": blue}, service=TRUSTING, start=False) as proxy:
        proxy.service["listen"].append(behind)
        proxy.write_config()
        proxy.start()
        for client, answer in (("10.1.2.3", "E"), ("127.0.0.1", "Z")):
            with Wire("127.0.0.1", port) as wire:
                wire.send(f"PROXY TCP4 {client} 127.0.0.1 5 6\r\n".encode(),
                          startup("ada", "pgbouncer"))
                assert wire.finish_startup()[-1].kind == answer, client


# --- monitoring ---------------------------------------------------------------------------------


def test_the_queries_of_an_exporter(proxy, connect):
    """What Prometheus exporters for PgBouncer ask, in one session, and what they take from it."""
    connect("one")
    connect("two")
    with Console(proxy, "vera") as console:
        lists = {row["list"]: row["items"] for row in console.run("SHOW LISTS")}
        assert lists["databases"] == lists["pools"] == lists["users"] == 1
        assert lists["used_clients"] == lists["used_servers"] == 2
        pools = console.run("SHOW POOLS")
        assert [(p["database"], p["user"], p["cl_active"], p["sv_active"]) for p in pools] == [
            ("postgres", "postgres", 2, 2)]
        database = console.run("SHOW DATABASES;")[0]
        assert (database["name"], database["port"]) == ("app", proxy.service["backends"]["blue"][
            "port"])
        assert database["current_connections"] == 2 and database["pool_size"] == 10000
        stats = console.run("SHOW STATS")[0]
        numbers = [value for name, value in stats.items() if name != "database"]
        assert all(value is not None and value >= 0 for value in numbers)
        assert {row["state"] for row in console.run("SHOW CLIENTS")} == {"idle"}
        assert {row["type"] for row in console.run("SHOW SERVERS")} == {"S"}
        config = {row["key"]: row["value"] for row in console.run("SHOW CONFIG")}
        assert config["max_client_conn"] == "10000"
        assert console.run("SHOW VERSION") and console.run("SHOW MEM")


def test_secrets_are_masked(blue):
    secret = "hunter2"
    service = {**TRUSTING, "cutover": {"after_command": f"notify {secret}"},
               "admin": {"user": "postgres", "dbname": "postgres",
                         "conninfo": f"sslpassword={secret}"}}
    with Sluice({"blue": blue}, service=service) as proxy, Console(proxy) as console:
        rows = {row["key"]: row["value"] for row in console.run("SHOW CONFIG")}
        assert rows["services.app.cutover.after_command"] == "********"
        assert secret not in str(rows)


def test_monitoring_goes_on_while_the_server_is_down(blue):
    class Nobody:  # pylint: disable=too-few-public-methods
        host, port = "127.0.0.1", 1

    with Sluice({"blue": Nobody}, service=TRUSTING) as proxy, Console(proxy, "vera") as console:
        assert console.run("SHOW DATABASES")[0]["port"] == 1
        assert console.run("SHOW SERVERS") == []


def test_a_full_service_has_a_console_all_the_same(blue):
    service = {**TRUSTING, "max_connections": 1}
    with Sluice({"blue": blue}, service=service) as proxy:
        with console_wire(proxy, "vera") as first, console_wire(proxy, "vera") as second:
            assert kinds(first.startup).endswith("Z") and kinds(second.startup).endswith("Z")


# --- the documentation --------------------------------------------------------------------------


@pytest.mark.direct
def test_the_page_compares_every_command():
    with open(os.path.join(REPOSITORY, "docs", "console.md")) as page:
        text = page.read()
    commands = ["PAUSE", "RESUME", "RELOAD", "RECONNECT", "WAIT_CLOSE", "DISABLE", "ENABLE", "KILL",
                "KILL_CLIENT", "SUSPEND", "SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS",
                "SHUTDOWN WAIT_FOR_CLIENTS", "SET", "SHOW HELP", "SHOW FDS"]
    for command in commands + [f"SHOW {name}" for name in SHOWN + OURS]:
        assert f"| `{command}" in text, command
