"""Runs of stages, of the admitted set and of a canary: their files, how far they are, and loads."""

import json
import os
import threading

import yaml

from .wire import Closed, Wire


def write(proxy, text):
    path = os.path.join(proxy.top, "stages.yaml")
    with open(path, "w") as file:
        file.write(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
    return path


def wait_state(proxy, state, stage=None):
    def there(stages):
        return stages["state"] == state and stage in (None, stages["stage"])

    return proxy.wait_status(lambda s: there(s["stages"]),
                             f"stages that are {state} at {stage}")["stages"]


def wait_over(proxy, how):
    done = wait_state(proxy, "over")
    assert done["outcome"] == how
    return done


def events(proxy):
    """The journal's records as (kind, data)."""
    with open(os.path.join(proxy.state_dir, "journal")) as journal:
        records = [json.loads(line.split(" ", 1)[1]) for line in journal]
    return [(record["kind"], record["data"]) for record in records]


def states(proxy):
    return [data["state"] for kind, data in events(proxy) if kind == "stages"]


class Load(threading.Thread):
    """A client that sends the same statement again and again, whatever the answer."""

    def __init__(self, proxy, source, sql):
        super().__init__(daemon=True)
        self.wire = Wire(proxy.host, proxy.port, "postgres", source=source)
        self.sql, self.stopped = sql, threading.Event()
        self.start()

    def run(self):
        try:
            while not self.stopped.is_set():
                self.wire.run(self.sql)
        except (Closed, OSError):
            pass

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stopped.set()
        self.join(20)
        self.wire.close()
