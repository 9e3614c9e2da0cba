"""TLS towards backends: what their certificates have to show, and what is said before it."""

import contextlib
import json
import ssl

import psycopg2
import pytest

from support.cluster import Cluster, wait_until
from support.fakes import FakeServer
from support.login import Scram, users_file, verifier
from support.sluice import Sluice
from support.tls import Authority, TlsWire, is_asleep, only_tls_for
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import
from support.wire import SSL_REQUEST, Wire, cancel_request, errors_of, frame, query, startup

PASSWORD = "correct horse"
STARTUP = startup("postgres", "postgres")
WHETHER_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
SECRETS = {role: verifier(PASSWORD) for role in ("alice", "bob")}


@pytest.fixture(scope="module")
def blue(authority):
    """Its certificate is for `localhost`, not for its address."""
    with Cluster("blue", **authority.server_settings("blue", hosts="DNS:localhost")) as server:
        only_tls_for(server, SECRETS)
        yield server


@pytest.fixture(scope="module")
def green(authority):
    with Cluster("green", **authority.server_settings("green")) as server:
        only_tls_for(server, SECRETS)
        yield server


@pytest.fixture(scope="module")
def plain():
    with Cluster("plain") as server:
        yield server


def backend(server, mode, authority=None, host=None):
    tls = {"mode": mode, **({"ca": authority.cert} if authority else {})}
    return {"host": host or server.host, "port": server.port, "tls": tls}


@contextlib.contextmanager
def proxy_to(*backends, **options):
    """A proxy whose backends are `blue` and `green`."""
    named = dict(zip(("blue", "green"), backends))
    service = {"backends": named, **options.pop("service", {})}

    class Anywhere:
        host, port = "127.0.0.1", 1

    with Sluice({"blue": Anywhere}, service=service, **options) as proxy:
        yield proxy


def refusal(proxy):
    """Fields of the error that a new client gets."""
    with Wire(proxy.host, proxy.port) as wire:
        wire.send(STARTUP)
        messages = wire.read_to_end()
        assert errors_of(messages) == ["57P03"]
        return messages[-1].fields()["D"]


def connect(proxy, user, **options):
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user=user, dbname="postgres",
                                  password=PASSWORD, connect_timeout=20, **options)
    connection.autocommit = True
    return connection


def one(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


# --- which backends are taken -------------------------------------------------------------------

@pytest.mark.parametrize("mode, host, with_ca, expected", [
    ("disable", "127.0.0.1", False, "f"), ("prefer", "127.0.0.1", False, "t"),
    ("require", "127.0.0.1", False, "t"), ("require", "127.0.0.1", True, "t"),
    ("verify-ca", "127.0.0.1", True, "t"), ("verify-full", "localhost", True, "t")])
def test_right_certificate_is_taken(mode, host, with_ca, expected, blue, authority):
    with proxy_to(backend(blue, mode, authority if with_ca else None, host)) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            assert wire.value(WHETHER_TLS) == expected


def test_host_name_has_to_be_the_certificates(blue, green, authority):
    with proxy_to(backend(blue, "verify-full", authority)) as proxy:
        assert "mismatch" in refusal(proxy)
    with proxy_to(backend(green, "verify-full", authority)) as proxy:  # has the address, too
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            assert wire.value(WHETHER_TLS) == "t"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_certificate_of_another_authority_is_refused(mode, blue):
    with proxy_to(backend(blue, mode, Authority(), "localhost")) as proxy:
        assert "certificate verify failed" in refusal(proxy)


def test_server_without_tls_is_taken_only_where_that_is_allowed(plain):
    with proxy_to(backend(plain, "prefer")) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            assert wire.value(WHETHER_TLS) == "f"
    with proxy_to(backend(plain, "require")) as proxy:
        assert "the server has no TLS, which is required" in refusal(proxy)


def tls_server(identity, seen=None):
    """Lets TLS begin and reads on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert, identity.key)
    context.set_servername_callback(lambda _s, name, _c: seen.append(name) if seen is not None
                                    else None)

    def talk(connection):
        connection.recv(8)
        connection.sendall(b"S")
        with contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True).recv(1)
    return FakeServer(talk)


def test_expired_certificate_is_refused(authority):
    with tls_server(authority.issue("expired", days=-1)) as server:
        with proxy_to(backend(server, "verify-ca", authority)) as proxy:
            assert "certificate has expired" in refusal(proxy)


def test_server_hears_which_name_is_meant(authority):
    names = []
    with tls_server(authority.issue("elsewhere", "DNS:elsewhere"), names) as server:
        for host in ("localhost", "127.0.0.1"):
            with proxy_to(backend(server, "verify-full", authority, host)) as proxy:
                assert "mismatch" in refusal(proxy)
    assert set(names) == {"localhost", None}


ANSWERS = {
    "an error": (frame(b"E", b"SFATAL\0C08006\0Mno\0\0"),
                 "answered the request for TLS with an error"),
    "nonsense": (b"X", "answer to the request for TLS is invalid"),
    "the end": (b"", "the connection was closed"),
    "bytes behind": (b"S" + frame(b"R", b"\0\0\0\0") + frame(b"Z", b"I"),
                     "unencrypted data after its answer"),
    "one byte behind": (b"SS", "unencrypted data after its answer"),
    "no handshake": (b"S", "wrong version number"),
}


@pytest.mark.parametrize("mode", ["prefer", "require"])
@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_server_says_in_clear_is_never_read_as_protocol(name, mode):
    answer, why = ANSWERS[name]

    def talk(connection):
        connection.recv(8)
        connection.sendall(answer)
        if name == "no handshake":
            connection.recv(65536)
            connection.sendall(frame(b"R", b"\0\0\0\0") + frame(b"Z", b"I"))
        elif name != "the end":
            connection.recv(65536)
        connection.close()

    with FakeServer(talk) as server, proxy_to(backend(server, mode)) as proxy:
        assert why in refusal(proxy)


def test_handshake_that_does_not_end_is_given_up():
    with FakeServer(lambda connection: connection.recv(8) and connection.sendall(b"S")) as server:
        with proxy_to(backend(server, "require"), service={"connect_timeout": "300ms"}) as proxy:
            assert "no answer within the time allowed" in refusal(proxy)


# --- passwords ----------------------------------------------------------------------------------

def scram_proxy(blue, green, tmp_path, identity, **options):
    listed = users_file(tmp_path / "users.txt", SECRETS)
    tls = {"cert": identity.cert, "key": identity.key}
    auth = {"method": options.pop("method", "scram-sha-256"), "users_file": listed}
    return proxy_to(backend(blue, "require"), backend(green, "require"),
                    service={"auth": auth, "tls": tls}, **options)


def test_relayed_login_that_could_be_bound_fails_clearly(blue, green, tmp_path, identity):
    """The client's TLS ends at the proxy, and the server has another one: what binds a login to
    its connection must neither be relayed nor be dropped behind the client's back."""
    with scram_proxy(blue, green, tmp_path, identity, method="passthrough") as proxy:
        for options in ({"sslmode": "disable"},
                        {"sslmode": "require", "channel_binding": "disable"}):
            with contextlib.closing(connect(proxy, "alice", **options)) as client:
                assert one(client, WHETHER_TLS) is True
        with pytest.raises(psycopg2.OperationalError, match="cannot be relayed") as no:
            connect(proxy, "alice", sslmode="require")
        assert "channel_binding=disable" in str(no.value)
        with pytest.raises(psycopg2.OperationalError, match="channel binding is required"):
            connect(proxy, "alice", sslmode="require", channel_binding="require")
        for header, mechanism in ((b"y,,", "SCRAM-SHA-256"),
                                  (b"p=tls-server-end-point,,", "SCRAM-SHA-256-PLUS")):
            login = Scram(proxy, "alice", header, mechanism)
            assert b"PLUS" not in login.seen[0].body
            assert login.error()["C"] == "28000"


def test_client_of_a_plain_backend_may_say_that_it_could_bind(plain, identity):
    """There is nothing to bind to: the server itself has no TLS."""
    plain.require_password("carol", PASSWORD)
    tls = {"cert": identity.cert, "key": identity.key}
    with proxy_to(backend(plain, "disable"), service={"tls": tls}) as proxy:
        with contextlib.closing(connect(proxy, "carol", sslmode="require")) as client:
            assert one(client, "SELECT current_user") == "carol"


@pytest.mark.parametrize("sslmode", ["disable", "require"])
def test_scram_sessions_move_between_servers_with_tls(sslmode, blue, green, tmp_path, identity):
    with scram_proxy(blue, green, tmp_path, identity) as proxy:
        clients = {role: connect(proxy, role, sslmode=sslmode) for role in SECRETS}
        for role, client in clients.items():
            one(client, f"SELECT set_config('app.whose', '{role}', false)")
        for side in ("green", "blue", "green"):
            proxy.ctl("retarget", side)
            for role, client in clients.items():
                assert one(client, "SHOW cluster_name") == side
                assert one(client, WHETHER_TLS) is True
                assert one(client, "SHOW app.whose") == role
                assert client.info.ssl_in_use == (sslmode == "require")
        for client in clients.values():
            client.close()


def test_session_moves_at_every_boundary(blue, green, tmp_path, identity):
    with scram_proxy(blue, green, tmp_path, identity, move_every=1) as proxy:
        with contextlib.closing(connect(proxy, "alice", sslmode="require")) as client:
            pids = {one(client, "SELECT pg_backend_pid()") for _ in range(10)}
            assert len(pids) == 10
            for size in (1, 16384, 300000):
                assert one(client, f"SELECT repeat('m', {size})") == "m" * size


# --- what goes over it --------------------------------------------------------------------------

@pytest.mark.parametrize("front", [Wire, TlsWire])
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_much_data_goes_both_ways(front, mode, blue, identity):
    tls = {"cert": identity.cert, "key": identity.key}
    with proxy_to(backend(blue, mode), service={"tls": tls}) as proxy:
        with front(proxy.host, proxy.port, user="postgres") as wire:
            assert len(wire.value("SELECT repeat('r', 5000000)")) == 5_000_000
            assert wire.value("SELECT length('" + "q" * 3_000_000 + "')") == "3000000"
            assert len(wire.rows("SELECT n FROM generate_series(1, 50000) n")) == 50_000
            wire.send(*[query(f"SELECT {n}, '{'p' * 20000}'") for n in range(50)])
            assert len(wire.read_ready(50)) == 200


def test_half_close_reaches_the_server_behind_everything(blue):
    with proxy_to(backend(blue, "require")) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            wire.send(*[query("SELECT repeat('h', 100000)")] * 20)
            wire.half_close()
            assert len([m for m in wire.read_to_end() if m.kind == "D"]) == 20


def test_cancel_request_reaches_a_server_with_tls(blue):
    with proxy_to(backend(blue, "require")) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: is_asleep(blue), "the statement to run")
            wire.cancel()
            assert errors_of(wire.read_ready()) == ["57014"]


def test_no_cancel_key_is_sent_in_clear(authority):
    """A server that writes down what connections begin with, before and inside of TLS."""
    identity, opened = authority.issue("noted"), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert, identity.key)
    welcome = (frame(b"R", b"\0\0\0\0") + frame(b"K", b"\0\0\0\7secr") + frame(b"Z", b"I"))

    def talk(connection):
        opened.append(connection.recv(65536))
        connection.sendall(b"S")
        inside = context.wrap_socket(connection, server_side=True)
        first = inside.recv(65536)
        if first[4:8] == b"\x04\xd2\x16\x2e":
            opened.append(first)
            inside.close()
            return
        inside.sendall(welcome)
        while inside.recv(65536):
            pass

    with FakeServer(talk) as server, proxy_to(backend(server, "require")) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            wire.send(query("SELECT 1"))
            proxy.wait_status(lambda s: s["sessions"]["active"] == 1, "the statement to run")
            wire.cancel()
            wait_until(lambda: len(opened) == 3, "the cancel request")
    # The stop at the end cancels what still runs once more.
    assert opened[:2] == [SSL_REQUEST] * 2 and opened[2] == cancel_request(7, b"secr")


# --- the control plane --------------------------------------------------------------------------

def test_control_plane_logs_in_by_the_same_rules(blue, green, authority):
    both = [backend(server, "verify-full", authority, "localhost") for server in (blue, green)]
    with proxy_to(*both) as proxy, Wire(proxy.host, proxy.port, user="postgres") as wire:
        code, answer = proxy.ctl("preflight", "--to", "green", check=False)
        assert code == 0, answer
        proxy.ctl("cutover", "--to", "green")
        assert wire.value("SHOW cluster_name") == "green"
    wrong = [both[0], backend(green, "verify-full", Authority(), "localhost")]
    with proxy_to(*wrong) as proxy:
        code, answer = proxy.ctl("preflight", "--to", "green", check=False)
        assert code == 1 and "tls: " in json.dumps(answer), answer
