"""Logins: who asks the client, who answers the backend, and what of it survives a move.

Two servers that ask for passwords. Most roles have the same secret on both; `salty` has the same
password under another salt, as if somebody had set it twice.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess

import asyncpg
import psycopg
import psycopg2
import pytest

from support.cluster import wait_until
from support.login import Scram, log_in, request_code, users_file, verifier
from support.sluice import Sluice, program
from support.wire import Wire, frame, kinds, startup

PASSWORD = "correct horse"
METHODS = ["scram-sha-256", "md5", "passthrough", "trust"]
RULES = """
host all mona 127.0.0.1/32 md5
host all clara 127.0.0.1/32 password
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


def md5_hash(role):
    return "md5" + hashlib.md5((PASSWORD + role).encode()).hexdigest()


def make_roles(server, secrets):
    for role, secret in secrets.items():
        server.query(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")
    server.query("ALTER ROLE late VALID UNTIL '2001-01-01'")
    server.query("ALTER ROLE tardy VALID UNTIL '2001-01-01'")
    with open(os.path.join(server.data, "pg_hba.conf"), "r+") as rules:
        before = rules.read()
        rules.seek(0)
        rules.write(RULES + before)
    server.reload()
    wait_until(lambda: login_error(server, "alice", "wrong"), "the rules to be in force")


@pytest.fixture(scope="module")
def secrets():
    """What both servers have in pg_authid."""
    scram = {role: verifier(PASSWORD) for role in ("alice", "late", "salty", "bob", "tardy")}
    return {**scram, "mona": md5_hash("mona"), "clara": verifier(PASSWORD)}


@pytest.fixture(scope="module")
def servers(blue, green, secrets):
    make_roles(blue, secrets)
    make_roles(green, {**secrets, "salty": verifier(PASSWORD), "bob": verifier(PASSWORD)})
    return {"blue": blue, "green": green}


@pytest.fixture(scope="module")
def listed(tmp_path_factory, secrets):
    """The users' file: bob, tardy and clara with their passwords, the others with their hashes."""
    plain = {role: PASSWORD for role in ("bob", "tardy", "clara")}
    return users_file(tmp_path_factory.mktemp("auth") / "users.txt", {**secrets, **plain})


@contextlib.contextmanager
def proxy_with(servers, method, listed=None, **options):
    auth = {"method": method, **({"users_file": listed} if listed else {})}
    service = {"auth": auth, **options.pop("service", {})}
    with Sluice(servers, service=service, **options) as proxy:
        yield proxy


@pytest.fixture(scope="module", params=METHODS)
def asking(request, servers, listed):
    """A proxy of each method, and the method's name."""
    with proxy_with(servers, request.param, listed) as proxy:
        yield proxy, request.param


def connect(endpoint, user, password=PASSWORD, **options):
    connection = psycopg2.connect(host=endpoint.host, port=endpoint.port, user=user,
                                  dbname="postgres", password=password, connect_timeout=20,
                                  **options)
    connection.autocommit = True
    return connection


def one(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def login_error(endpoint, user, password):
    """Why a login fails, or nothing."""
    try:
        connect(endpoint, user, password).close()
        return ""
    except psycopg2.OperationalError as error:
        return str(error)


def refusal(user):
    return f'FATAL:  password authentication failed for user "{user}"'


# --- who gets in --------------------------------------------------------------------------------

@pytest.mark.parametrize("user", ["alice", "bob", "mona", "clara"])
def test_right_password_logs_in(user, asking):
    proxy, method = asking
    if (user, method) == ("mona", "scram-sha-256"):
        assert refusal(user) in login_error(proxy, user, PASSWORD)  # a hash proves nothing there
        return
    with contextlib.closing(connect(proxy, user)) as connection:
        assert one(connection, "SELECT current_user") == user


@pytest.mark.parametrize("user", ["alice", "bob", "mona", "clara", "nobody"])
def test_wrong_password_is_refused_in_the_servers_words(user, asking):
    proxy, method = asking
    if method == "trust" and user in ("bob", "mona", "clara"):
        assert login_error(proxy, user, "wrong") == ""  # that is what trust means
        return
    for wrong in ("wrong", PASSWORD + " ", "x" * 900):
        assert refusal(user) in login_error(proxy, user, wrong)


@pytest.mark.parametrize("user", ["late", "tardy"])
def test_expired_role_is_refused(user, asking):
    """`late` is known by its verifier, so that the server's own refusal cannot be had."""
    error = login_error(asking[0], user, PASSWORD)
    assert refusal(user) in error


@pytest.mark.parametrize("user, order, ending", [
    ("alice", None, "Z"), ("late", None, "28P01"), ("alice", "disable", "57P03")])
def test_a_right_proof_is_answered_in_kind_however_the_login_ends(user, order, ending, servers,
                                                                  listed):
    """The end of SCRAM goes out with what follows it, in front."""
    with proxy_with(servers, "scram-sha-256", listed) as proxy:
        if order:
            proxy.ctl(order)
        with Wire(proxy.host, proxy.port) as wire:
            messages = log_in(wire, user, PASSWORD)
    requests = [request_code(m) for m in messages if m.kind == "R"]
    assert requests == [10, 11, 12, 0][:4 if ending == "Z" else 3]
    assert (messages[-1].kind if ending == "Z" else messages[-1].sqlstate()) == ending


def test_every_client_library_logs_in_by_scram(servers, listed):
    with proxy_with(servers, "scram-sha-256", listed) as proxy:
        where = {"host": proxy.host, "port": proxy.port, "user": "alice"}

        async def with_asyncpg(password):
            connection = await asyncpg.connect(**where, database="postgres", password=password,
                                               ssl=False)
            try:
                return await connection.fetchval("SELECT current_user")
            finally:
                await connection.close()

        with psycopg.connect(**where, dbname="postgres", password=PASSWORD) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("alice",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**where, dbname="postgres", password="wrong")
        assert asyncio.run(with_asyncpg(PASSWORD)) == "alice"
        with pytest.raises(asyncpg.InvalidPasswordError):
            asyncio.run(with_asyncpg("wrong"))
        psql = subprocess.run(["psql", "-XAtc", "SELECT current_user", "-h", proxy.host, "-p",
                               str(proxy.port), "-U", "alice", "postgres"], check=False,
                              env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]},
                              capture_output=True, text=True)
        assert (psql.stdout, psql.returncode) == ("alice\n", 0), psql.stderr


# --- what strangers learn -----------------------------------------------------------------------

def test_unknown_user_cannot_be_told_from_a_wrong_password(servers, listed):
    with proxy_with(servers, "scram-sha-256", listed) as proxy:
        def attempt(user):
            login = Scram(proxy, user)
            login.finish("wrong")
            shape = [(m.kind, len(m.body)) for m in login.seen[:-1]]
            words = {k: v.replace(user, "?") for k, v in login.error().items()}
            return shape, words, login.challenge["i"], login.challenge["s"]

        seen = {user: attempt(user) for user in ("alice", "nobody", "nobodi", "mona", "bob")}
        assert seen["alice"][1]["C"] == "28P01"
        assert all(each[:3] == seen["alice"][:3] for each in seen.values())
        salts = {user: each[3] for user, each in seen.items()}
        assert len(set(salts.values())) == len(salts)
        proxy.restart()
        assert {user: attempt(user)[3] for user in salts} == salts


def test_secrets_are_neither_logged_nor_shown(servers, listed, secrets):
    with proxy_with(servers, "scram-sha-256", listed, config={"log": {"level": "debug"}}) as proxy:
        with contextlib.closing(connect(proxy, "bob")), contextlib.closing(connect(proxy, "alice")):
            login_error(proxy, "bob", "wrong password")
            login_error(proxy, "salty", PASSWORD + "!")
            told = proxy.log_text(10**6) + json.dumps([proxy.status(), proxy.sessions()])
        for secret in (PASSWORD, "wrong password", *(s.split("$")[-1] for s in secrets.values())):
            assert secret not in told


# --- attacks on the exchange --------------------------------------------------------------------

@pytest.mark.parametrize("method", ["scram-sha-256", "passthrough"])
def test_channel_binding_is_refused_not_dropped(method, servers, listed):
    with proxy_with(servers, method, listed) as proxy:
        for mechanism, header in (("SCRAM-SHA-256-PLUS", b"p=tls-server-end-point,,"),
                                  ("SCRAM-SHA-256", b"p=tls-server-end-point,,"),
                                  ("SCRAM-SHA-256-PLUS", b"n,,")):
            login = Scram(proxy, "alice", header, mechanism)
            assert login.error()["C"] in ("08P01", "28000")
            assert login.wire.read_to_end() == []
        assert "channel binding" in login_error_of(proxy, channel_binding="require")
        # A client that could bind but saw no offer is right: there is none.
        assert Scram(proxy, "alice", b"y,,").finish(PASSWORD)[-1].kind == "Z"


def login_error_of(proxy, **options):
    with pytest.raises(psycopg2.OperationalError) as error:
        connect(proxy, "alice", **options)
    return str(error.value)


MALFORMED = {
    "not a password": frame(b"Q", b"SELECT 1\0"),
    "empty": frame(b"p"),
    "no length": frame(b"p", b"SCRAM-SHA-256\0"),
    "length too big": frame(b"p", b"SCRAM-SHA-256\0\x7f\xff\xff\xffn,,"),
    "length negative": frame(b"p", b"SCRAM-SHA-256\0\xff\xff\xff\xfen,,"),
    "message of 1 GB": b"p\x40\x00\x00\x00",
    "message length 0": b"p\x00\x00\x00\x00",
    "another mechanism": frame(b"p", b"PLAIN\0\xff\xff\xff\xff"),
    "long nonce": frame(b"p", b"SCRAM-SHA-256\0\0\0\x08\0n,,n=,r=" + b"x" * 2040),
    "user of its own": frame(b"p", b"SCRAM-SHA-256\0\0\0\0\x15n,a=postgres,n=,r=abc"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_answers_end_the_login(name, asking):
    proxy, method = asking
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("alice", "postgres"))
        wire.read()
        wire.send(MALFORMED[name])
        messages = wire.read_to_end()
        assert kinds(messages) == "E", (method, messages)
        assert messages[0].sqlstate() in ("08P01", "0A000", "28000", "28P01")


def test_statements_before_the_proof_are_never_run(asking):
    proxy, _method = asking
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("alice", "postgres"), frame(b"Q", b"SELECT 'run'\0"))
        assert kinds(wire.read_to_end()) == "RE"


def test_client_that_never_answers_is_sent_away(servers, listed):
    service = {"login_timeout": "500ms"}
    with proxy_with(servers, "scram-sha-256", listed, service=service) as proxy:
        with Wire(proxy.host, proxy.port) as wire:
            wire.send(startup("alice", "postgres"))
            messages = wire.read_to_end()
            assert kinds(messages) == "RE"
            assert messages[1].sqlstate() == "57014"


def test_strangers_cannot_take_the_places_of_clients(servers, listed):
    service = {"max_connections": 2}
    with proxy_with(servers, "scram-sha-256", listed, service=service) as proxy:
        strangers = [Scram(proxy, "alice") for _ in range(10)]
        first, second = connect(proxy, "alice"), connect(proxy, "bob")
        assert "max_connections = 2" in login_error(proxy, "alice", PASSWORD)
        assert refusal("alice") in login_error(proxy, "alice", "wrong")
        for each in (first, second, *(stranger.wire for stranger in strangers)):
            each.close()


# --- moves --------------------------------------------------------------------------------------

def where_is(connection):
    return one(connection, "SHOW cluster_name")


MOVABLE = {
    "scram-sha-256": ["alice", "bob", "clara"],
    "md5": ["alice", "bob", "mona", "clara"],
    "passthrough": ["alice", "bob", "mona", "clara"],
    "trust": ["alice", "bob", "mona", "clara"],
}


@pytest.mark.parametrize("method", METHODS)
def test_live_sessions_move_there_and_back(method, servers, listed):
    """alice is known by her verifier alone, mona by an md5 hash; bob has another salt there."""
    with proxy_with(servers, method, listed) as proxy:
        clients = {user: connect(proxy, user) for user in MOVABLE[method]}
        for user, client in clients.items():
            one(client, f"SELECT set_config('app.whose', '{user}', false)")
        for side in ("green", "blue"):
            proxy.ctl("retarget", side)
            for user, client in clients.items():
                assert (where_is(client), one(client, "SELECT current_user")) == (side, user)
                assert one(client, "SHOW app.whose") == user
        for client in clients.values():
            client.close()


def test_session_moves_at_every_boundary(servers, listed):
    with proxy_with(servers, "scram-sha-256", listed, move_every=1) as proxy:
        with contextlib.closing(connect(proxy, "alice", application_name="mover")) as client:
            pids = {one(client, "SELECT pg_backend_pid()") for _ in range(10)}
            assert len(pids) == 10


def test_role_with_another_salt_stops_the_move_and_is_named(servers, listed):
    with proxy_with(servers, "scram-sha-256", listed) as proxy:
        salty = connect(proxy, "salty", application_name="salty one")
        alice = connect(proxy, "alice")
        code, answer = proxy.ctl("retarget", "green", check=False)
        told = json.dumps(answer)
        assert code == 1
        assert "salty one" in told and "credentials" in told and "SCRAM verifier" in told
        assert where_is(salty) == where_is(alice) == "blue"
        assert proxy.status()["gate"] == "open"
        salty.close()
        proxy.ctl("retarget", "green")
        assert where_is(alice) == "green"
        error = login_error(proxy, "salty", PASSWORD)
        assert refusal("salty") in error and '"green"' in error and "salt" in error
        alice.close()


def test_passthrough_without_a_list_pins(servers):
    with proxy_with(servers, "passthrough") as proxy:
        with contextlib.closing(connect(proxy, "alice")) as client:
            code, answer = proxy.ctl("retarget", "green", check=False)
            assert code == 1 and "credentials" in json.dumps(answer)
            assert where_is(client) == "blue"


def test_stale_verifier_in_the_list_pins_a_relayed_login(servers, tmp_path):
    stale = users_file(tmp_path / "users.txt", {"alice": verifier("an older password")})
    with proxy_with(servers, "passthrough", stale) as proxy:
        with contextlib.closing(connect(proxy, "alice")) as client:
            code, answer = proxy.ctl("retarget", "green", check=False)
            assert code == 1 and "credentials" in json.dumps(answer)
            assert where_is(client) == "blue"


# --- the list -----------------------------------------------------------------------------------

def test_reload_reads_the_list_again(servers, secrets, tmp_path):
    path = users_file(tmp_path / "users.txt", {"bob": PASSWORD})
    with proxy_with(servers, "scram-sha-256", path) as proxy:
        assert refusal("alice") in login_error(proxy, "alice", PASSWORD)
        users_file(path, {"bob": PASSWORD, "alice": secrets["alice"]})
        proxy.ctl("reload")
        assert login_error(proxy, "alice", PASSWORD) == ""
        with open(path, "a") as out:
            out.write('"carol" unquoted\n')
        code, answer = proxy.ctl("reload", check=False)
        assert code == 2 and f"{path}:3:9: expected the password" in json.dumps(answer)
        assert login_error(proxy, "alice", PASSWORD) == ""
        check = subprocess.run([program("pgsluice"), "--check", "-c", proxy.config_path],
                               check=False, capture_output=True, text=True)
        assert check.returncode == 2 and f"{path}:3:9" in check.stderr
        users_file(path, {"bob": PASSWORD})


def test_reload_changes_the_method(servers, listed):
    with proxy_with(servers, "passthrough") as proxy:
        before = connect(proxy, "alice")
        proxy.service["auth"] = {"method": "scram-sha-256", "users_file": listed}
        proxy.write_config()
        proxy.ctl("reload")
        assert Scram(proxy, "nobody").challenge["i"] == "4096"
        assert login_error(proxy, "alice", PASSWORD) == ""
        assert where_is(before) == "blue"
        before.close()


@pytest.mark.parametrize("method", ["passthrough", "scram-sha-256"])
def test_stop_does_not_wait_for_a_password(servers, listed, method):
    with proxy_with(servers, method, listed) as proxy, Wire(proxy.host, proxy.port) as wire:
        wire.send(startup("alice", "postgres"))
        assert wire.read().kind == "R"
        proxy.stop()
        wire.read_to_end()
        proxy.start()
