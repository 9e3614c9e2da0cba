"""What the Python client suites share: scenarios print one canonical line each.

The server is named by PGHOST, PGPORT, PGUSER and PGDATABASE. Nothing that differs from run to run
may be printed (process ids, OIDs, times): the outputs of a direct and a proxied run are compared.
"""

import hashlib
import json
import socket
import sys
import time


class Suite:
    """Runs scenarios and prints `name = result`, or `name ! error` and fails at the end."""

    def __init__(self):
        self.failures = 0

    def show(self, name, result):
        print(f"{name} = {json.dumps(result, default=str, ensure_ascii=False)}", flush=True)

    def failed(self, name, error):
        self.failures += 1
        print(f"{name} ! {type(error).__name__}: {error}", flush=True)

    def run(self, *scenarios):
        for scenario in scenarios:
            try:
                self.show(scenario.__name__, scenario())
            except Exception as error:  # pylint: disable=broad-except
                self.failed(scenario.__name__, error)

    async def run_async(self, *scenarios):
        for scenario in scenarios:
            try:
                self.show(scenario.__name__, await scenario())
            except Exception as error:  # pylint: disable=broad-except
                self.failed(scenario.__name__, error)

    def finish(self):
        sys.exit(1 if self.failures else 0)


def digest(data):
    """Length and MD5 of something too large to print."""
    raw = data.encode() if isinstance(data, str) else bytes(data)
    return f"{len(raw)} bytes, md5 {hashlib.md5(raw).hexdigest()}"


def bulk_rows(count=100_000):
    """The rows of the COPY scenario, in COPY's text format."""
    return "".join(f"{i}\tbody of row {i} {'x' * (i % 40)}\n" for i in range(count))


def eventually(condition, deadline_s=20):
    """Polls until the condition is true; False when it did not become true in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def cut(fileno):
    """Ends a connection under its client's hands: no Terminate, no farewell."""
    with socket.fromfd(fileno, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
