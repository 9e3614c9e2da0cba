"""What one address may get wrong before nothing of its is looked at for a while."""

from support.login import log_in, users_file, verifier
from support.sluice import Sluice
from support.cluster import wait_until
from support.tls import is_asleep
from support.wire import Wire, cancel_request, errors_of, query

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
