"""The daemon as an operator meets it: command line, configuration, journal, signals, socket."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
from contextlib import closing

import psycopg2
import pytest

from support.cluster import free_port, wait_until
from support.sluice import REPOSITORY, Sluice, program

EXAMPLE = os.path.join(REPOSITORY, "configs", "pgsluice.yaml")


def run(name, *args, timeout_s=20, **env):
    """(exit code, stdout, stderr) of one of our programs."""
    done = subprocess.run([program(name), *map(str, args)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout_s, env={**os.environ, **env})
    return done.returncode, done.stdout, done.stderr


def port_behind(host, port):
    """The port of the server that a new client of this address reaches."""
    with closing(psycopg2.connect(host=host, port=port, user="postgres")) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('port')")
            return int(cursor.fetchone()[0])


def port_of(proxy):
    """The port of the server that a new client of the proxy reaches."""
    port = port_behind(proxy.host, proxy.port)
    proxy.wait_status(lambda s: s["sessions"]["total"] == 0, "the session to end")
    return port


def journal(proxy):
    with open(os.path.join(proxy.state_dir, "journal"), encoding="utf-8") as lines:
        return [json.loads(line[9:]) for line in lines]


# --- command line --------------------------------------------------------------------------------

def test_check_accepts_the_example():
    assert run("pgsluice", "--check", "-c", EXAMPLE) == (0, "", "")


def test_check_names_every_error_with_its_place(tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("workers: many\nservices:\n  app:\n    listen: [\"127.0.0.1:1\"]\n"
                    "    backends: {blue: {host: h}}\n    hodl: {timeout: 1s}\n")
    code, out, err = run("pgsluice", "--check", "-c", file)
    assert (code, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"{file}:1:10: workers: \"many\" is not valid, expected auto")
    assert re.search(rf"^{file}:6:5: unknown key \"hodl\".* did you mean \"hold\"\?$", second)


@pytest.mark.parametrize("args", [
    [], ["--frob"], ["-c"], ["-c", "/nonexistent"], ["-c", EXAMPLE, "--listen", "h:1"],
    ["--listen", "h:1"], ["--listen", "h", "--backend", "a=h:1"], ["--backend", "a=h:1"],
    ["--listen", "h:1", "--backend", "h:1"], ["--listen", "h:1", "--backend", "a=h:1", "--check"],
])
def test_wrong_usage_exits_with_2_and_says_why(args):
    code, _out, err = run("pgsluice", *args)
    assert code == 2 and err.strip()


@pytest.mark.parametrize("name", ["pgsluice", "sluicectl"])
def test_version_and_help(name):
    assert re.fullmatch(name + r" \d+\.\d+\.\d+\n", run(name, "--version")[1])
    code, out, _err = run(name, "--help")
    assert code == 0 and "Usage: " + name in out


def test_print_config_is_a_configuration(tmp_path):
    code, out, _err = run("pgsluice", "--print-config", "-c", EXAMPLE)
    assert code == 0
    file = tmp_path / "printed.yaml"
    file.write_text(out)
    assert run("pgsluice", "--print-config", "-c", file)[:2] == (0, out)


def test_no_daemon_exits_with_3(tmp_path):
    path = tmp_path / "none.sock"
    assert run("sluicectl", "--socket", path, "status")[0] == 3
    assert run("sluicectl", "status", PGSLUICE_SOCKET=str(path))[0] == 3


# --- start without a file ------------------------------------------------------------------------

def test_start_without_a_file(blue, green):
    port = free_port()
    command = [program("pgsluice"), "--listen", f"127.0.0.1:{port}",
               "--backend", f"blue=127.0.0.1:{blue.port}",
               "--backend", f"green={green.top}:{green.port}", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            socket_path = re.search(r"--socket (\S+) status", daemon.stderr.readline()).group(1)
            wait_until(lambda: run("sluicectl", "--socket", socket_path, "status")[0] == 0, "start")
            directory = os.path.dirname(socket_path)
            assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
            for expected in [blue.port, green.port]:
                assert port_behind("127.0.0.1", port) == expected
                run("sluicectl", "--socket", socket_path, "retarget", "green")
            code, out, _err = run("sluicectl", "--socket", socket_path, "--json", "status")
            assert code == 0 and json.loads(out)["services"][0]["name"] == "default"
        finally:
            daemon.terminate()
            daemon.stderr.read()
    assert daemon.returncode == 0
    assert not os.path.exists(directory), "the private directory goes with the daemon"


# --- journal -------------------------------------------------------------------------------------

def test_second_daemon_is_told_who_is_there(blue):
    with Sluice({"blue": blue}) as proxy:
        code, _out, err = run("pgsluice", "-c", proxy.config_path)
        assert code == 1
        assert f"is in use by process {proxy.process.pid}" in err
        assert port_of(proxy) == blue.port, "the first one goes on"


def test_journal_counts_after_the_first_start(blue, green):
    with Sluice({"blue": blue, "green": green}) as proxy:
        proxy.ctl("retarget", "green")
        proxy.restart()
        status = proxy.status()
        assert (status["route"], status["generation"]) == ("green", 2)
        assert port_of(proxy) == green.port
        assert "route_differs service=app journal=green configuration=blue" in proxy.log_text()


def test_backend_of_the_route_cannot_go_missing(blue, green):
    with Sluice({"blue": blue, "green": green}) as proxy:
        proxy.ctl("retarget", "green")
        proxy.stop()
        del proxy.service["backends"]["green"]
        proxy.write_config()
        code, _out, err = run("pgsluice", "-c", proxy.config_path)
        assert code == 1 and 'names backend "green"' in err
        proxy.service["backends"]["green"] = {"host": green.host, "port": green.port}
        proxy.write_config()
        proxy.start()


def test_damaged_journal_refuses_to_start_and_torn_tail_does_not(blue):
    with Sluice({"blue": blue}) as proxy:
        proxy.ctl("pause")
        proxy.ctl("resume")
        proxy.stop()
        path = os.path.join(proxy.state_dir, "journal")
        with open(path, "ab") as file:
            file.write(b"01234567 {\"seq\":")
        proxy.start()
        assert "journal_torn bytes=16" in proxy.log_text()
        proxy.stop()
        with open(path, "r+b") as file:
            good = file.read()
            file.seek(20)
            file.write(b"#")
        code, _out, err = run("pgsluice", "-c", proxy.config_path)
        assert code == 1 and "damaged at byte offset 0" in err
        with open(path, "wb") as file:
            file.write(good)
        proxy.start()


@pytest.mark.parametrize("how", ["stop", "kill9"])
def test_pause_that_stands_survives_a_restart(blue, how):
    with Sluice({"blue": blue}) as proxy:
        proxy.ctl("pause")
        getattr(proxy, how)()
        proxy.start()
        assert proxy.status()["gate"] == "paused"
        proxy.ctl("resume")
        getattr(proxy, how)()
        proxy.start()
        assert proxy.status()["gate"] == "open"
        assert port_of(proxy) == blue.port


def test_pause_that_was_waiting_does_not_survive_a_crash(blue):
    with Sluice({"blue": blue}) as proxy:
        connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres")
        connection.cursor().execute("BEGIN")
        waiting = proxy.ctl_start("pause", "--timeout", "60s")
        proxy.wait_status(lambda s: s["gate"] == "draining", "the pause to begin")
        proxy.kill9()
        assert waiting.finish()[0] == 6, "nobody knows what became of it"
        connection.close()
        proxy.start()
        assert proxy.status()["gate"] == "open"


RETARGET_POINTS = {
    "journal_before:cutover_begun": "blue",
    "journal_written:cutover_begun": "blue",
    "journal_after:cutover_begun": "blue",
    "cutover:prepare:after": "blue",
    "cutover:drain:after": "blue",
    "cutover:verdict:after": "blue",
    "journal_before:cutover_committed": "blue",
    "journal_after:cutover_committed": "green",
    "cutover:move:before": "green",
    "cutover:move:after": "green",
    "cutover:open:after": "green",
    "journal_before:cutover_done": "green",
    "journal_after:cutover_done": "green",
}


@pytest.mark.parametrize("point", RETARGET_POINTS)
def test_killed_anywhere_in_a_retarget_it_is_on_one_side(blue, green, point, monkeypatch):
    side = {"blue": blue, "green": green}[RETARGET_POINTS[point]]
    monkeypatch.setenv("PGSLUICE_FAULT", point + "=kill")
    with Sluice({"blue": blue, "green": green}) as proxy:
        assert proxy.ctl("retarget", "green", check=False)[0] == 6
        assert proxy.process.wait(20) == -signal.SIGKILL
        monkeypatch.delenv("PGSLUICE_FAULT")
        proxy.start()
        status = proxy.wait_status(
            lambda s: s["gate"] == "open" and (s["cutover"] or {}).get("outcome") != "running",
            "recovery")
        assert status["route"] == RETARGET_POINTS[point]
        assert port_of(proxy) == side.port
        kinds = [record["kind"] for record in journal(proxy)]
        assert kinds[-1] in ("route", "cutover_aborted", "cutover_done")
        proxy.ctl("retarget", "green" if status["route"] == "blue" else "blue")


# --- reload and stop -----------------------------------------------------------------------------

def test_reload_applies_what_it_can_and_names_the_rest(blue, green):
    with Sluice({"blue": blue}) as proxy:
        proxy.service["backends"]["green"] = {"host": green.host, "port": green.port}
        proxy.service["hold"] = {"timeout": "7s"}
        proxy.settings["workers"] = 3
        proxy.write_config()
        result = proxy.ctl("reload")[1]
        assert sorted(result["applied"]) == ["services.app.backends.green",
                                             "services.app.hold.timeout"]
        assert result["needs_restart"] == ["workers"]
        proxy.ctl("retarget", "green")
        assert port_of(proxy) == green.port


def test_reload_of_a_wrong_file_changes_nothing(blue):
    with Sluice({"blue": blue}) as proxy:
        with open(proxy.config_path, "w", encoding="utf-8") as file:
            file.write("services: {app: {lisen: []}}\n")
        code, result = proxy.ctl("reload", check=False)
        assert code == 2
        assert any("did you mean \"listen\"?" in error for error in result["errors"])
        proxy.reload()
        wait_until(lambda: "reload_failed" in proxy.log_text(), "SIGHUP")
        assert port_of(proxy) == blue.port


def test_sighup_reloads(blue):
    with Sluice({"blue": blue}) as proxy:
        proxy.service["hold"] = {"timeout": "9s"}
        proxy.write_config()
        proxy.reload()
        wait_until(lambda: "config_changed key=services.app.hold.timeout" in proxy.log_text(),
                   "SIGHUP")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_with_0(blue, number):
    proxy = Sluice({"blue": blue})
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres")
    proxy.process.send_signal(number)
    assert proxy.process.wait(20) == 0
    with pytest.raises(psycopg2.OperationalError):
        connection.cursor().execute("SELECT 1")
    assert not os.path.exists(proxy.socket_path)
    proxy.destroy()


def test_shutdown_ends_it_with_0(blue):
    proxy = Sluice({"blue": blue})
    waiting = proxy.ctl_start("shutdown", "--drain")
    assert waiting.finish()[0] == 0
    assert proxy.process.wait(20) == 0
    proxy.destroy()


def test_shutdown_ends_a_waiting_pause(blue):
    proxy = Sluice({"blue": blue})
    connection = psycopg2.connect(host=proxy.host, port=proxy.port, user="postgres")
    connection.cursor().execute("BEGIN")
    pause = proxy.ctl_start("pause", "--timeout", "60s")
    proxy.wait_status(lambda s: s["gate"] == "draining", "the pause to begin")
    proxy.process.terminate()
    assert proxy.process.wait(20) == 0
    assert pause.finish()[0] == 1
    connection.close()
    proxy.destroy()


# --- control socket ------------------------------------------------------------------------------

def test_socket_speaks_json_lines(blue):
    with Sluice({"blue": blue}) as proxy:
        assert stat.S_IMODE(os.stat(proxy.socket_path).st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(proxy.socket_path)
            peer.sendall(b'{"command":"status"}\n')
            with peer.makefile() as lines:
                answer = json.loads(lines.readline())
                assert answer["exit"] == 0
                assert answer["result"]["services"][0]["name"] == "app"
                assert lines.readline() == "", "one command a connection"


def test_services_are_told_apart(blue, green):
    second = {"listen": [f"127.0.0.1:{free_port()}"], "route": "green",
              "backends": {"green": {"host": green.host, "port": green.port}}}
    proxy = Sluice({"blue": blue}, start=False)
    proxy.settings["services"]["more"] = second
    proxy.write_config()
    with proxy.start():
        code, result = proxy.ctl("pause", check=False)
        assert code == 2 and "expected --service app or more" in result["error"]
        assert proxy.ctl("--service", "mor", "pause", check=False)[0] == 2
        proxy.ctl("--service", "more", "pause")
        gates = {s["name"]: s["gate"] for s in proxy.ctl("status")[1]["services"]}
        assert gates == {"app": "open", "more": "paused"}


def test_logs_for_machines_are_json(blue):
    with Sluice({"blue": blue}, config={"log": {"format": "json", "level": "debug"}}) as proxy:
        proxy.ctl("pause")
        with open(proxy.log_path, encoding="utf-8") as lines:
            events = [json.loads(line) for line in lines]
        assert all({"time", "level", "event"} == set(event) for event in events)
        assert any(event["event"].startswith("mode service=app") for event in events)
