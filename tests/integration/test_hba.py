"""Rules in the format of pg_hba.conf: who is asked for what, as the server would ask."""

import contextlib
import itertools
import os
import subprocess

import pytest
from psycopg2.extras import PhysicalReplicationConnection

from support.cluster import Cluster, wait_until
from support.login import connect, login_error, users_file, verifier
from support.sluice import Sluice, program
from support.tls import Authority, Identity
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

PASSWORD = "correct horse"
ADMIN = "host all postgres 127.0.0.1/32 trust\n"


@pytest.fixture(scope="module")
def ruled():
    """A server of its own, whose pg_hba.conf the tests replace."""
    with Cluster() as server:
        for role in ("alice", "bob", "carol"):
            server.query(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{verifier(PASSWORD)}'")
        server.query("CREATE DATABASE alice")
        yield server


@contextlib.contextmanager
def proxy_with(server, rules, tmp_path, users=None, **service):
    path = str(tmp_path / "rules.conf")
    with open(path, "w") as out:
        out.write(rules)
    auth = {"hba_file": path, **({"users_file": users} if users else {})}
    with Sluice({"blue": server}, service={"auth": auth, **service}) as proxy:
        proxy.rules = path
        yield proxy


# --- the same decisions as the server's ---------------------------------------------------------

SERVER_RULES = [
    "host all all all trust",
    "host postgres alice 127.0.0.1/32 trust\nhost all bob 127.0.0.0/8 trust",
    "host all alice 127.0.0.1/32 reject\nhost all all 127.0.0.1 255.255.255.255 trust",
    "host sameuser all all trust\nhost \"postgres\" bob,carol all trust # and no more",
    "host replication alice all trust\nhost postgres bob 127.0.0.2/31 trust",
    "hostssl all all all trust\nhostnossl \"all\",alice \"all\",alice 0.0.0.0/0 trust",
    "host postgres \\\n  alice, bob \\\n 127.0.0.3/16 trust\nlocal all all trust",
]


def physical_login(endpoint, user):
    """A connection to no database, as pg_receivewal makes it."""
    return login(endpoint, user, connection_factory=PhysicalReplicationConnection)


def login(endpoint, user, dbname="postgres", **options):
    """True when a client is let in; if not, it has to be by a rule."""
    error = login_error(endpoint, user, dbname=dbname, sslmode="disable", **options)
    assert error == "" or "rule" in error or "pg_hba.conf" in error, error
    return error == ""


@pytest.mark.parametrize("rules", SERVER_RULES)
def test_decides_as_the_server_does(rules, ruled, tmp_path):
    """The proxy's clients and the server's own come from the same address. The proxy comes to the
    server by a rule of its own for whoever the proxy lets in."""
    cases = list(itertools.product(("alice", "bob", "carol"), ("postgres", "alice")))
    path = os.path.join(ruled.data, "pg_hba.conf")
    with open(path) as before:
        kept = before.read()
    try:
        write_and_reload(ruled, path, ADMIN + rules + "\n")
        expected = {case: login(ruled, *case) for case in cases}
        expected.update({(user, None): physical_login(ruled, user)
                         for user in ("alice", "bob")})
    finally:
        write_and_reload(ruled, path, "host all,replication all 127.0.0.1/32 trust\n" + kept)
    with proxy_with(ruled, rules + "\n", tmp_path) as proxy:
        decided = {case: login(proxy, *case) for case in cases}
        decided.update({(user, None): physical_login(proxy, user)
                        for user in ("alice", "bob")})
    assert decided == expected
    assert True in expected.values()


def write_and_reload(server, path, text):
    with open(path, "w") as out:
        out.write(text)
    before = server.value("SELECT pg_conf_load_time()")
    server.reload()
    wait_until(lambda: server.value("SELECT pg_conf_load_time()") != before, "the rules")
    assert server.value("SELECT count(*) FROM pg_hba_file_rules WHERE error NOT LIKE '%SSL%'") == 0


# --- each method --------------------------------------------------------------------------------

def test_each_client_is_asked_as_its_rule_says(ruled, tmp_path):
    write_and_reload(ruled, os.path.join(ruled.data, "pg_hba.conf"),
                     ADMIN + "host all carol all scram-sha-256\nhost all all all trust\n")
    rules = ("host all mallory,postgres all reject\nhost all alice all scram-sha-256\n"
             "host all bob all trust\nhost all carol all passthrough\n")
    users = users_file(tmp_path / "users.txt", {"alice": verifier(PASSWORD)})
    with proxy_with(ruled, rules, tmp_path, users) as proxy:
        assert "password authentication failed" in login_error(proxy, "alice", "wrong")
        assert "no password supplied" in login_error(proxy, "alice")
        assert login_error(proxy, "alice", PASSWORD) == ""
        assert login_error(proxy, "bob") == ""
        assert login_error(proxy, "carol", PASSWORD) == ""
        assert "password authentication failed" in login_error(proxy, "carol", "wrong")
        for user in ("mallory", "postgres", "nobody"):
            refused = login_error(proxy, user, PASSWORD)
            assert (f'no rule lets in host "127.0.0.1", user "{user}", database "postgres", '
                    "no encryption") in refused
            assert 'auth.hba_file of service "app"' in refused
        assert_reloads(proxy)


def assert_reloads(proxy):
    """New logins follow the new rules, those that are in stay; a wrong file changes nothing."""
    with contextlib.closing(connect(proxy, "bob")) as session, session.cursor() as cursor:
        with open(proxy.rules, "w") as out:
            out.write("host all bob all reject\nhost all all all passthrough\n")
        proxy.ctl("reload")
        assert "no rule lets in" in login_error(proxy, "bob")
        with open(proxy.rules, "w") as out:
            out.write("\nhost all bob all kerberos\n")
        code, told = proxy.ctl("reload", json=False, check=False)
        assert code == 2 and f'{proxy.rules}:2: "kerberos" is not a method here' in told
        assert "no rule lets in" in login_error(proxy, "bob")
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("bob",)


def test_certificates_let_in_whom_they_name(ruled, authority, identity, tmp_path):
    write_and_reload(ruled, os.path.join(ruled.data, "pg_hba.conf"),
                     ADMIN + "host all all all trust\n")
    mine, strange = authority.issue("alice"), Authority().issue("alice")
    tls = {"cert": identity.cert, "key": identity.key, "ca": authority.cert}
    with proxy_with(ruled, "hostssl all all all cert\n", tmp_path, tls=tls) as proxy:
        def error_with(user, shown=None, **options):
            files = {"sslcert": shown.cert, "sslkey": readable(shown)} if shown else {}
            return login_error(proxy, user, **{"sslmode": "require", **files, **options})

        assert error_with("alice", mine) == ""
        assert 'certificate authentication failed for user "bob"' in error_with("bob", mine)
        assert "requires a valid client certificate" in error_with("alice")
        assert "no rule lets in" in error_with("alice", mine, sslmode="disable")
        assert error_with("alice", strange) != ""  # the handshake ends in an alert
        assert error_with("carol", expired(authority)) != ""
        assert error_with("alice", mine) == ""  # nobody else was disturbed


@pytest.mark.parametrize("by", ["rule", "mode"])
def test_certificates_can_be_needed_beside_passwords(by, ruled, authority, identity, tmp_path):
    write_and_reload(ruled, os.path.join(ruled.data, "pg_hba.conf"),
                     ADMIN + "host all all all scram-sha-256\n")
    mine, other = authority.issue("alice"), authority.issue("another name")
    tls = {"cert": identity.cert, "key": identity.key, "ca": authority.cert}

    def errors(level):
        rule = f"hostssl all all all passthrough clientcert={level}\n" if by == "rule" else \
            "host all all all passthrough\n"
        mode = {"mode": level} if by == "mode" else {}
        with proxy_with(ruled, rule, tmp_path, tls={**tls, **mode}) as proxy:
            def error_with(shown, password=PASSWORD, sslmode="require"):
                files = {"sslcert": shown.cert, "sslkey": readable(shown)} if shown else {}
                return login_error(proxy, "alice", password, sslmode=sslmode, **files)

            assert error_with(mine) == ""
            assert "password authentication failed" in error_with(mine, "wrong")
            assert "requires a valid client certificate" in error_with(None)
            plain = error_with(mine, sslmode="disable")
            assert ("no rule lets in" if by == "rule" else "with TLS only") in plain
            return error_with(other)

    assert errors("verify-ca") == ""
    assert 'certificate authentication failed for user "alice"' in errors("verify-full")


def readable(shown: Identity):
    os.chmod(shown.key, 0o600)  # libpq takes no other
    return shown.key


def expired(authority):
    return authority.issue("carol", days=-1)


def test_a_session_let_in_by_a_rule_moves(ruled, green, tmp_path):
    write_and_reload(ruled, os.path.join(ruled.data, "pg_hba.conf"),
                     ADMIN + "host all all all scram-sha-256\n")
    secret = ruled.value("SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'")
    green.query(f"CREATE ROLE alice LOGIN PASSWORD '{secret}'")
    users = users_file(tmp_path / "users.txt", {"alice": secret})
    path = tmp_path / "rules.conf"
    path.write_text("host all alice all scram-sha-256\n")
    auth = {"hba_file": str(path), "users_file": users}
    with Sluice({"blue": ruled, "green": green}, service={"auth": auth}) as proxy:
        with contextlib.closing(connect(proxy, "alice", PASSWORD)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                proxy.ctl("retarget", "green")
                cursor.execute("SHOW port")
                assert cursor.fetchone() == (str(green.port),)


# --- a configuration that cannot be meant --------------------------------------------------------

@pytest.mark.parametrize("rules, auth, tls, expected", [
    ("host all all all trust\nhost all all\n", {}, {}, "{path}:2: the record ends early"),
    ("host all all all md5\n", {}, {}, '{path}:1: asks clients for passwords, expected "users_'),
    ("hostssl all all all cert\n", {}, {}, '{path}:1: asks for certificates, expected "tls.cert"'),
    ("host all all all trust\nhostssl all all all trust clientcert=verify-ca\n", {}, {},
     '{path}:2: asks for certificates, expected "tls.cert"'),
    ("host all all all trust\n", {"method": "trust"}, {}, 'both "method" and "hba_file"'),
    ("", {"hba_file": "/nowhere/rules"}, {}, "/nowhere/rules: No such file"),
    ("host all all all trust\n", {}, {"ca": "/ca"}, "tls.ca has no effect"),
])
def test_wrong_rules_are_refused_before_the_start(rules, auth, tls, expected, ruled, tmp_path):
    path = tmp_path / "rules.conf"
    path.write_text(rules)
    service = {"auth": {"hba_file": str(path), **auth}, **({"tls": tls} if tls else {})}
    proxy = Sluice({"blue": ruled}, service=service, start=False)
    done = subprocess.run([program("pgsluice"), "-c", proxy.config_path, "--check"],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done.stderr
    assert expected.format(path=path) in done.stdout + done.stderr
