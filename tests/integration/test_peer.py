"""Clients who are let in by another name: the operating system's on a unix socket, or the one in a
certificate; with user name maps.
"""

import contextlib
import os
import pwd

import psycopg2
import pytest

from support.login import login_error, users_file, verifier
from support.sluice import Sluice
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

ME = pwd.getpwuid(os.geteuid()).pw_name
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def server(blue):
    """Trusts everybody; so whoever is kept out is kept out by the proxy."""
    blue.query(f'CREATE ROLE alice LOGIN; CREATE ROLE app LOGIN; CREATE ROLE "{ME} too" LOGIN')
    if ME != "postgres":
        blue.query(f'CREATE ROLE "{ME}" LOGIN')
    return blue


@contextlib.contextmanager
def proxy_with(server, tmp_path, auth=None, rules=None, maps=None, **service):
    """`.socket` is the directory of its unix socket."""
    auth = dict(auth or {})
    for key, text in (("hba_file", rules), ("ident_file", maps)):
        if text:
            auth[key] = str(tmp_path / key)
            (tmp_path / key).write_text(text)
    with Sluice({"blue": server}, service={"auth": auth, **service}, start=False) as proxy:
        proxy.socket = proxy.top
        proxy.service["listen"].append(f"{proxy.socket}:{proxy.port}")
        proxy.write_config()
        proxy.start()
        yield proxy


def over_socket(proxy, user):
    """Why a client on the unix socket is not let in, or nothing."""
    try:
        psycopg2.connect(host=proxy.socket, port=proxy.port, user=user, dbname="postgres").close()
        return ""
    except psycopg2.OperationalError as error:
        return str(error)


def test_peer_lets_in_who_has_the_name(server, tmp_path):
    with proxy_with(server, tmp_path, {"method": "peer"}) as proxy:
        assert over_socket(proxy, ME) == ""
        assert 'peer authentication failed for user "alice"' in over_socket(proxy, "alice")
        assert "needs a connection to a unix socket" in login_error(proxy, ME)


def test_maps_say_who_may_be_whom(server, tmp_path):
    rules = "local all app peer map=staff\nlocal all all peer\nhost all all all reject\n"
    with proxy_with(server, tmp_path, rules=rules, maps=f"staff {ME} app\n") as proxy:
        assert over_socket(proxy, "app") == ""
        assert over_socket(proxy, ME) == ""
        assert "peer authentication failed" in over_socket(proxy, f"{ME} too")
        (tmp_path / "ident_file").write_text("staff somebody app\n")
        proxy.ctl("reload")
        assert "peer authentication failed" in over_socket(proxy, "app")
        (tmp_path / "ident_file").write_text("other somebody app\n")
        code, told = proxy.ctl("reload", json=False, check=False)
        assert code == 2 and '"staff" is not there' in told


def test_certificates_may_be_mapped(server, authority, identity, tmp_path):
    shown = authority.issue("Alice Liddell")
    os.chmod(shown.key, 0o600)
    tls = {"cert": identity.cert, "key": identity.key, "ca": authority.cert}
    with proxy_with(server, tmp_path, rules="hostssl all all all cert map=people\n",
                    maps='people "Alice Liddell" alice\n', tls=tls) as proxy:
        mine = {"sslmode": "require", "sslcert": shown.cert, "sslkey": shown.key}
        assert login_error(proxy, "alice", **mine) == ""
        refused = login_error(proxy, "app", **mine)
        assert 'certificate authentication failed for user "app"' in refused


def test_a_session_let_in_by_peer_moves(server, green, tmp_path):
    green.query(f'CREATE ROLE "{ME} moves" LOGIN')
    server.query(f'CREATE ROLE "{ME} moves" LOGIN')
    listed = users_file(tmp_path / "users.txt", {f"{ME} moves": verifier(PASSWORD)})
    rules, maps = "local all all peer map=movers\n", f'movers {ME} "{ME} moves"\n'
    backends = {name: {"host": s.host, "port": s.port}
                for name, s in (("blue", server), ("green", green))}
    with proxy_with(server, tmp_path, {"users_file": listed}, rules, maps,
                    backends=backends, route="blue") as proxy:
        session = psycopg2.connect(host=proxy.socket, port=proxy.port, user=f"{ME} moves",
                                   dbname="postgres")
        session.autocommit = True
        with contextlib.closing(session), session.cursor() as cursor:
            proxy.ctl("retarget", "green")
            cursor.execute("SHOW port")
            assert cursor.fetchone() == (str(green.port),)
