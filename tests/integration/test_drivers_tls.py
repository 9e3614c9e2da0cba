"""Drivers log in by SCRAM over TLS, check the certificate, and cancel statements, before a move and
behind it. What each one can do, and does, of direct TLS and channel binding.
"""

import contextlib
import os
import signal
import subprocess

import pytest

from support.cluster import Cluster, bindir_of, temp_dir, wait_until
from support.login import users_file, verifier
from support.sluice import Sluice
from support.suites import ASK_CURRVAL, COMMANDS, Probe, compare, environment, run_suite
from support.tls import Authority, Impostor, is_asleep, only_tls_for
from support.tls import authority, identity  # noqa: F401  pylint: disable=unused-import

PASSWORD = "correct horse"
SECRETS = {"driver": verifier(PASSWORD)}
LIBPQ = ["psycopg2", "psycopg3"]
DRIVERS = [*LIBPQ, "asyncpg", "node-postgres", "pgjdbc"]
CANCELLED = {"asyncpg": "! cancelled"}


@pytest.fixture(scope="module")
def servers(authority):
    """`driver` has the same verifier on both, and is let in by TLS only."""
    with contextlib.ExitStack() as stack:
        both = {}
        for name in ("blue", "green"):
            settings = authority.server_settings(name)
            both[name] = stack.enter_context(Cluster(name, **settings))
            only_tls_for(both[name], SECRETS, "SUPERUSER LOGIN")
        yield both


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory):
    return users_file(tmp_path_factory.mktemp("users") / "users.txt", SECRETS)


@contextlib.contextmanager
def proxy_to(servers, identity, authority, listed, **options):
    """Asks for SCRAM over TLS, and logs in at the servers in the same way."""
    backends = {name: {"host": "localhost", "port": server.port,
                       "tls": {"mode": "verify-full", "ca": authority.cert}}
                for name, server in servers.items()}
    service = {"auth": {"method": "scram-sha-256", "users_file": listed}, "backends": backends,
               "tls": {"mode": "require", "cert": identity.cert, "key": identity.key},
               **options.pop("service", {})}
    with Sluice(servers, service=service, **options) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def proxy(servers, identity, authority, secrets_file):
    with proxy_to(servers, identity, authority, secrets_file) as running:
        yield running


def login(authority, **more):
    """Environment of a client that has the password and checks everything."""
    return {"PGHOST": "localhost", "PGUSER": "driver", "PGPASSWORD": PASSWORD,
            "PGSSLMODE": "verify-full", "PGSSLROOTCERT": authority.cert,
            "NODE_EXTRA_CA_CERTS": authority.cert, **more}


def newer_libpq(version):
    """Has programs that use libpq take the one of this version, but nothing else from there."""
    there, folder = os.path.join(os.path.dirname(bindir_of(version)), "lib"), temp_dir()
    for name in os.listdir(there):
        if name.startswith(("libpq.so.", "libssl.so.", "libcrypto.so.")):
            os.symlink(os.path.join(there, name), os.path.join(folder, name))
    return {"LD_LIBRARY_PATH": folder}


def psql(endpoint, *arguments, **more):
    return subprocess.run(["psql", "-XAt", *arguments], env=environment(endpoint, **more),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                          check=False)


def greeting(client, endpoint, **more):
    """What a client says of its login: `= ready`, or `! ` and why not."""
    if client != "psql":
        with Probe(client, endpoint, **more) as probe:
            return probe.greeting
    done = psql(endpoint, "-c", "SELECT 'ready'", **more)
    return f"= {done.stdout.strip()}" if done.returncode == 0 else f"! {done.stderr.strip()}"


# --- logins -------------------------------------------------------------------------------------

@pytest.mark.parametrize("client", ["psql", *DRIVERS])
def test_certificate_and_password_are_checked(client, proxy, servers, authority, secrets_file):
    assert greeting(client, proxy, **login(authority)) == "= ready"
    wrong = greeting(client, proxy, **login(authority, PGPASSWORD="wrong"))
    assert "password authentication failed" in wrong
    other = Authority()
    forged = greeting(client, proxy, **login(other))
    assert forged.startswith("!") and ("certif" in forged or "CERTIF" in forged
                                       or "trust anchor" in forged), forged
    elsewhere = authority.issue("elsewhere", hosts="DNS:elsewhere")
    with proxy_to(servers, elsewhere, authority, secrets_file) as misnamed:
        refused = greeting(client, misnamed, **login(authority))
        assert refused.startswith("!") and "localhost" in refused, refused
    assert greeting(client, proxy, **login(authority)) == "= ready"


# --- channel binding ----------------------------------------------------------------------------

@pytest.mark.parametrize("client", ["psql", *LIBPQ])
def test_libpq_insists_on_channel_binding(client, proxy, servers, authority):
    insists = login(authority, PGCHANNELBINDING="require")
    assert greeting(client, proxy, **insists) == "= ready"
    with Impostor(proxy, authority.issue("between")) as between:
        refused = greeting(client, between, **insists)
        assert "channel binding check failed" in refused
        assert between.passed > 0


def test_node_postgres_binds_where_it_is_told_to(proxy, authority):
    binds = login(authority, PROBE_BIND="1")
    assert greeting("node-postgres", proxy, **binds) == "= ready"
    with Impostor(proxy, authority.issue("between")) as between:
        assert "channel binding check failed" in greeting("node-postgres", between, **binds)
        assert greeting("node-postgres", between, **login(authority)) == "= ready"


# --- direct TLS ---------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [17, 18])
@pytest.mark.parametrize("client", ["psql", *LIBPQ, "libpq"])
def test_libpq_begins_with_tls(client, version, proxy, authority):
    direct = login(authority, PGSSLNEGOTIATION="direct", PGCHANNELBINDING="require",
                   **newer_libpq(version))
    assert greeting(client, proxy, **direct) == "= ready"
    forged = greeting(client, proxy, **{**direct, "PGSSLROOTCERT": Authority().cert})
    assert "certificate verify failed" in forged


def test_asyncpg_begins_with_tls_if_told_the_protocols_name(proxy, authority):
    direct = login(authority, PGSSLNEGOTIATION="direct")
    assert greeting("asyncpg", proxy, **direct) == "= ready"
    assert greeting("asyncpg", proxy, **{**direct, "PROBE_ALPN": ""}).startswith("!")


# --- cancelling ---------------------------------------------------------------------------------

def cancels_on(probe, client, server):
    """Cancels a long statement, which has to run on this server; and the session goes on."""
    probe.sleep()
    wait_until(lambda: is_asleep(server), "the statement to run")
    assert probe.cancel() == CANCELLED.get(client, "! 57014")
    assert probe.ask("SHOW cluster_name") == f"= {server.name}"


@pytest.mark.parametrize("client", DRIVERS)
def test_statements_are_cancelled_before_and_behind_a_move(client, servers, identity, authority,
                                                           secrets_file):
    with proxy_to(servers, identity, authority, secrets_file) as proxy:
        with Probe(client, proxy, **login(authority)) as probe:
            assert probe.greeting == "= ready"
            cancels_on(probe, client, servers["blue"])
            for side in ("green", "blue"):
                proxy.ctl("retarget", side)
                cancels_on(probe, client, servers[side])


@pytest.mark.parametrize("client", DRIVERS)
def test_statements_are_cancelled_while_moving_all_the_time(client, servers, identity, authority,
                                                            secrets_file):
    with proxy_to(servers, identity, authority, secrets_file, move_every=1) as proxy:
        with Probe(client, proxy, **login(authority)) as probe:
            pids = set()
            for _ in range(3):
                cancels_on(probe, client, servers["blue"])
                pids.add(probe.ask("SELECT pg_backend_pid()"))
            assert len(pids) == 3, "it is not moved"


@pytest.mark.parametrize("version", [17, 18])
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_cancel_request_comes_by_tls_from_a_newer_libpq(version, negotiation, servers, identity,
                                                        authority, secrets_file):
    """PQcancelBlocking() wants the same certificate for its connection as for the session's."""
    with proxy_to(servers, identity, authority, secrets_file) as proxy:
        with Probe("libpq", proxy, **login(authority, PGSSLNEGOTIATION=negotiation),
                   **newer_libpq(version)) as probe:
            assert probe.greeting == "= ready"
            cancels_on(probe, "libpq", servers["blue"])
            proxy.ctl("retarget", "green")
            cancels_on(probe, "libpq", servers["green"])


def test_psql_cancels_at_control_c(servers, identity, authority, secrets_file, tmp_path):
    """Two long statements of one psql; between them the session moves."""
    gate = str(tmp_path / "gate")
    os.mkfifo(gate)
    with proxy_to(servers, identity, authority, secrets_file) as proxy:
        with subprocess.Popen(["psql", "-XAt", "-c", "SELECT pg_sleep(60)", "-c", f"\\! cat {gate}",
                               "-c", "SELECT pg_sleep(60)", "-c", "\\conninfo"],
                              env=environment(proxy, **login(authority)), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as client:
            wait_until(lambda: is_asleep(servers["blue"]), "the first statement")
            client.send_signal(signal.SIGINT)
            wait_until(lambda: not is_asleep(servers["blue"]), "the first one to be cancelled")
            proxy.ctl("retarget", "green")
            with open(gate, "w") as release:
                release.write("moved\n")
            wait_until(lambda: is_asleep(servers["green"]), "the second statement")
            client.send_signal(signal.SIGINT)
            said = client.communicate(timeout=30)[0]
    assert said.count("canceling statement due to user request") == 2, said
    assert "moved" in said and "TLSv1.3" in said, said


# --- whole suites -------------------------------------------------------------------------------

@pytest.mark.deadline(400)
@pytest.mark.parametrize("client", COMMANDS)
def test_suite_sees_no_difference_while_it_is_moved(client, servers, identity, authority,
                                                    secrets_file):
    blue = servers["blue"]
    direct = run_suite(client, blue, blue, **login(authority))
    assert direct[-1] == "exit code 0"
    service = {"pins": {"currval": "defined"}} if client in ASK_CURRVAL else {}
    with proxy_to(servers, identity, authority, secrets_file, move_every=1,
                  service=service) as proxy:
        seen = run_suite(client, blue, proxy, **login(authority))
    compare(direct, seen, "moved")
