"""What one address may get wrong before nothing of its is looked at for a while, and how many
connections it may have without a login."""

import contextlib

from support.login import log_in, users_file, verifier
from support.sluice import Sluice
from support.cluster import wait_until
from support.tls import is_asleep
from support.wire import Wire, cancel_request, errors_of, kinds, query, startup

PASSWORD = "correct horse"
ELSEWHERE = "127.0.0.2"


def last_of(proxy, password, source=None):
    """The last message of a login."""
    with Wire(proxy.host, proxy.port, source=source) as wire:
        return log_in(wire, "alice", password)[-1]


def test_failed_logins_of_an_address_are_limited(blue, tmp_path):
    blue.query("DROP ROLE IF EXISTS alice; CREATE ROLE alice LOGIN")
    auth = {"method": "scram-sha-256",
            "users_file": users_file(tmp_path / "users.txt", {"alice": verifier(PASSWORD)})}
    with Sluice({"blue": blue}, service={"auth": auth, "limits": {"failed_logins": 3}}) as proxy:
        for _ in range(3):
            assert last_of(proxy, PASSWORD).kind == "Z"
            assert last_of(proxy, "wrong").sqlstate() == "28P01"
        refused = last_of(proxy, PASSWORD)
        assert refused.sqlstate() == "28000"
        assert "too many failed logins" in refused.fields()["M"]
        assert last_of(proxy, PASSWORD, ELSEWHERE).kind == "Z"
        assert proxy.log_text().count("login_limit_reached") == 1
        proxy.service["limits"]["failed_logins"] = 0
        proxy.write_config()
        proxy.ctl("reload")
        assert last_of(proxy, PASSWORD).kind == "Z"


def test_relayed_logins_count_as_well(blue):
    blue.require_password("relayed", PASSWORD)
    with Sluice({"blue": blue}, service={"limits": {"failed_logins": 1}}) as proxy:
        for expected in ("28P01", "28000"):
            with Wire(proxy.host, proxy.port) as wire:
                assert log_in(wire, "relayed", "wrong")[-1].sqlstate() == expected


# --- connections that have not logged in --------------------------------------------------------

LIMIT = 3
SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


@contextlib.contextmanager
def limited(server, limit=LIMIT, **service):
    """A proxy whose own start, which is looked for by connecting, does not count any more."""
    with Sluice({"blue": server},
                service={"limits": {"unauthenticated": limit}, **service}) as proxy:
        wait_for_sessions(proxy, 0)
        yield proxy


def assert_refused(proxy):
    """A further connection is, before it has said anything."""
    with Wire(proxy.host, proxy.port) as wire:
        messages = wire.read_to_end()
        assert kinds(messages) == "E" and messages[0].sqlstate() == "53300"
        words = messages[0].fields()
        assert "have not logged in" in words["M"]
        assert f"limits.unauthenticated = {LIMIT}" in words["D"]


def logs_in(proxy, source=None):
    with Wire(proxy.host, proxy.port, "postgres", source=source) as wire:
        return wire.startup[-1].kind == "Z"


def wait_for_sessions(proxy, count):
    proxy.wait_status(lambda s: s["sessions"]["total"] == count, f"{count} sessions")


def silent_ones(proxy, sent, stack):
    before = proxy.status()["sessions"]["total"]
    for _ in range(LIMIT):
        stack.enter_context(Wire(proxy.host, proxy.port)).send(sent)
    wait_for_sessions(proxy, before + LIMIT)


def test_connections_without_a_login_are_limited_by_address(blue):
    blue.require_password("waited_for", PASSWORD)
    # The last one is asked by the server, which is all that passthrough has.
    stages = [b"", b"\0\0", SSL_REQUEST, startup("postgres", "postgres")[:-3],
              startup("waited_for", "postgres")]
    with limited(blue) as proxy:
        with contextlib.ExitStack() as logged_in:
            clients = [logged_in.enter_context(Wire(proxy.host, proxy.port, "postgres"))
                       for _ in range(LIMIT + 1)]
            for told, sent in enumerate(stages, 1):
                with contextlib.ExitStack() as waiting:
                    silent_ones(proxy, sent, waiting)
                    for _ in range(2):
                        assert_refused(proxy)
                    assert logs_in(proxy, ELSEWHERE)
                    assert clients[0].value("SELECT 'undisturbed'") == "undisturbed"
                wait_for_sessions(proxy, LIMIT + 1)
                assert logs_in(proxy)
                wait_for_sessions(proxy, LIMIT + 1)
                assert proxy.log_text().count("unauthenticated_limit_reached") == told


def test_the_limit_of_an_address_can_be_changed_while_some_wait(blue):
    with limited(blue) as proxy:
        with contextlib.ExitStack() as waiting:
            silent_ones(proxy, b"", waiting)
            assert_refused(proxy)
            proxy.service["limits"]["unauthenticated"] = 0
            proxy.write_config()
            proxy.ctl("reload")
            assert logs_in(proxy)
        wait_for_sessions(proxy, 0)


def test_clients_of_one_address_that_wait_at_the_gate_are_not_limited(blue):
    with limited(blue) as proxy:
        assert proxy.ctl("pause")[0] == 0
        with contextlib.ExitStack() as held:
            newcomers = []
            for count in range(1, 2 * LIMIT + 1):
                newcomers.append(held.enter_context(Wire(proxy.host, proxy.port)))
                newcomers[-1].send(startup("postgres", "postgres"))
                proxy.wait_status(lambda s, count=count: s["sessions"]["held"] == count,
                                  "newcomers at the gate")
            proxy.ctl("resume")
            for each in newcomers:
                assert each.finish_startup()[-1].kind == "Z"


def test_the_console_has_logged_in_like_everybody(blue):
    with limited(blue, 1, auth={"method": "trust"}, console={"viewer": ["postgres"]}) as proxy:
        with Wire(proxy.host, proxy.port, "postgres", dbname="pgsluice") as console:
            assert console.startup[-1].kind == "Z"
            assert logs_in(proxy)


def test_load_balancers_are_not_limited_but_those_behind_them(blue):
    listen = [{"address": None, "proxy_protocol": "required", "trusted": ["127.0.0.1"]}]
    with Sluice({"blue": blue}, start=False,
                service={"limits": {"unauthenticated": LIMIT}}) as proxy:
        listen[0]["address"] = f"{proxy.host}:{proxy.port}"
        proxy.service["listen"] = listen
        proxy.write_config()
        proxy.start()
        wait_for_sessions(proxy, 0)
        with contextlib.ExitStack() as waiting:
            for last in (1, 2):
                for _ in range(LIMIT):
                    wire = waiting.enter_context(Wire(proxy.host, proxy.port))
                    wire.send(f"PROXY TCP4 10.0.0.{last} 127.0.0.1 4711 5432\r\n".encode())
            wait_until(lambda: sorted(s["address"].split(":")[0] for s in proxy.sessions()) ==
                       ["10.0.0.1"] * LIMIT + ["10.0.0.2"] * LIMIT, "what the headers say")
            with Wire(proxy.host, proxy.port) as wire:
                wire.send(b"PROXY TCP4 10.0.0.1 127.0.0.1 4711 5432\r\n")
                assert errors_of(wire.read_to_end()) == ["53300"]
            with Wire(proxy.host, proxy.port) as wire:
                wire.send(b"PROXY TCP4 10.0.0.3 127.0.0.1 4711 5432\r\n",
                          startup("postgres", "postgres"))
                assert wire.finish_startup()[-1].kind == "Z"


# --- guesses ------------------------------------------------------------------------------------

def send_cancel(proxy, pid, key, source=None):
    with Wire(proxy.host, proxy.port, source=source) as wire:
        wire.send(cancel_request(pid, key))
        assert wire.read_to_end() == []


def test_cancel_requests_that_guess_are_limited(blue):
    with Sluice({"blue": blue}, service={"limits": {"unknown_cancels": 5}}) as proxy:
        with Wire(proxy.host, proxy.port, user="postgres") as wire:
            wire.send(query("SELECT pg_sleep(60)"))
            wait_until(lambda: is_asleep(blue), "the statement to run")
            pid, key = wire.key
            for guess in range(5):
                send_cancel(proxy, pid, bytes([key[0] ^ (guess + 1)]) + key[1:])
            send_cancel(proxy, pid, key)  # right, but too late
            assert wire.silent(0.3) and is_asleep(blue)
            send_cancel(proxy, pid, key, ELSEWHERE)
            assert errors_of(wire.read_ready()) == ["57014"]
        assert proxy.log_text().count("cancel_limit_reached") == 1
