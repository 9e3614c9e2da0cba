#!/usr/bin/python3
"""What forced read-only costs a round trip, by the form in which a client sends a statement.

Starts a server and the proxy on one core, so that nothing depends on where the kernel puts them,
switches the mode on and off by turns, and prints the medians of both and their ratio.
PGSLUICE_BUILD names the build; give further ones to compare them in one run:

    tests/bench/read_only_cost.py [--rounds 12] [--trips 1500] [BUILD ...]
"""

import argparse
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# pylint: disable=wrong-import-position
from support.cluster import Cluster  # noqa: E402
from support.sluice import REPOSITORY, Sluice  # noqa: E402
from support.wire import Wire, bind, describe_portal, execute, parse, query, sync  # noqa: E402

READY = b"Z\0\0\0\5"
TEXT = "SELECT $1::int"
RUN = execute() + sync()
# What is sent before all trips, and the round trips of one turn.
FORMS = {
    "simple": ([], [query("SELECT 1")]),
    "extended, unnamed": ([], [parse(TEXT) + bind("1") + describe_portal() + RUN]),
    "prepared": ([parse(TEXT, "p") + sync()], [bind("1", statement="p") + RUN]),
    "prepared, besides an unnamed": ([parse(TEXT, "p") + parse(TEXT) + sync()],
                                     [bind("1", statement="p") + RUN]),
    "unnamed, kept over a Sync": ([parse(TEXT) + sync()], [bind("1") + RUN]),
    "unnamed, Parse and Bind apart": ([], [parse(TEXT) + sync(), bind("1") + RUN]),
    "not a SELECT": ([], [query("SHOW work_mem")]),
    "BEGIN, SELECT, COMMIT": ([], [query("BEGIN"), query("SELECT 1"),
                                   query("COMMIT")]),
    "the same, extended": ([], [
        parse("BEGIN") + bind() + execute() + parse(TEXT) + bind("1") + describe_portal() + RUN,
        parse(TEXT) + bind("1") + describe_portal() + RUN, parse("COMMIT") + bind() + RUN]),
}


def trip(link, request):
    link.sendall(request)
    answer = link.recv(65536)
    while answer[-6:-1] != READY:
        answer += link.recv(65536)


def turn(wire, trips, count):
    """Microseconds a turn, the median of `count`."""
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        for request in trips:
            trip(wire.socket, request)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000


def measure(proxy, rounds, count):
    """Medians by form, off and on, in alternating rounds."""
    found = {name: ([], []) for name in FORMS}
    for number in range(2 * rounds):
        is_on = number % 2 == 1
        proxy.ctl("readonly", *(["on", "--fence", "none"] if is_on else ["off"]))
        for name, (before, trips) in FORMS.items():
            with Wire(proxy.host, proxy.port, "postgres") as wire:
                for request in before:
                    trip(wire.socket, request)
                turn(wire, trips, 50)
                found[name][is_on].append(turn(wire, trips, count))
    return found


def main():
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("builds", nargs="*",
                       default=[os.environ.get("PGSLUICE_BUILD", f"{REPOSITORY}/build")])
    asked.add_argument("--rounds", type=int, default=12)
    asked.add_argument("--trips", type=int, default=1500)
    given = asked.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with Cluster("cost") as server:
        for build in given.builds:
            os.environ["PGSLUICE_BUILD"] = build
            with Sluice({"blue": server}, workers=1) as proxy:
                found = measure(proxy, given.rounds, given.trips)
            print(build)
            for name, (off, on) in found.items():
                low, high = statistics.median(off), statistics.median(on)
                print(f"  {name:32} off {low:7.1f} us   on {high:7.1f} us   {high / low:.2f}")


if __name__ == "__main__":
    main()
