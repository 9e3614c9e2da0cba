"""psql: a script with everything it can print, Ctrl-C during a query, and its sudden death."""

import os
import re
import signal
import subprocess

from common import Suite, eventually

HERE = os.path.dirname(os.path.abspath(__file__))


def psql(*arguments):
    done = subprocess.run(["psql", "-X", *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout


def ask(sql):
    return psql("-Atc", sql)[1].strip()


def start(sql, application):
    return subprocess.Popen(["psql", "-Xq", "-c", sql, "-c", "SELECT 'after' AS after"], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT,
                            env={**os.environ, "PGAPPNAME": application})


def asleep(application):
    return ask(f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{application}' "
               "AND wait_event = 'PgSleep'") == "1"


def cancel():
    victim = start("SELECT pg_sleep(60)", "smoke_sleeper")
    sleeping = eventually(lambda: asleep("smoke_sleeper"))
    victim.send_signal(signal.SIGINT)
    return [sleeping, victim.communicate(timeout=30)[0].splitlines(), victim.returncode]


def abrupt_disconnect():
    victim = start("BEGIN; INSERT INTO smoke.item VALUES (77, 'never'); "
                   "SELECT pg_advisory_lock(77), pg_sleep(0.001); SELECT pg_sleep(60)",
                   "smoke_victim")
    sleeping = eventually(lambda: asleep("smoke_victim"))
    victim.kill()
    victim.wait()
    # A server busy with pg_sleep notices a lost client at the end of it, unless it is told.
    ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'smoke_victim'")
    freed = eventually(lambda: ask("SELECT pg_try_advisory_lock(77)") == "t")
    return [sleeping, freed, ask("SELECT count(*) FROM smoke.item WHERE id = 77")]


code, output = psql("-f", os.path.join(HERE, "smoke_psql.sql"))
print(re.sub(r"with PID \d+", "with PID n", output.replace(HERE + "/", "")))
suite = Suite()
suite.show("exit code", code)
suite.show("single transaction", psql("-1", "-c", "SELECT 1", "-c", "SELECT 1/0"))
suite.show("exit code of an error", psql("-c", "SELECT 1/0")[0])
suite.run(cancel, abrupt_disconnect)
suite.finish()
