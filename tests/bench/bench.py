#!/usr/bin/python3
"""pgsluice beside its peers: one table of ratios. tools/bench runs this, README.md explains it.

Each figure is taken for every target in turns, round after round, each target started afresh.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import scenarios  # noqa: E402
import table  # noqa: E402
import targets  # noqa: E402
from support.cluster import Cluster, run_tool  # noqa: E402
from support.tls import Authority  # noqa: E402


def names_of(text, valid, what):
    """The names in a list with commas; exits with 2 where one is unknown."""
    if not text:
        return list(valid)
    names = text.split(",")
    for name in names:
        if name not in valid:
            print(f"bench: unknown {what} \"{name}\"; valid: {', '.join(valid)}", file=sys.stderr)
            sys.exit(2)
    return names


def options_of_this_run():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short round, under 3 minutes")
    parser.add_argument("--rounds", type=int, help="default 3; 1 with --quick")
    parser.add_argument("--seconds", type=float, help="of load per measurement; default 3, or 1")
    parser.add_argument("--only", default="", metavar="SCENARIO,…")
    parser.add_argument("--targets", default="", metavar="NAME,…", help="besides direct")
    parser.add_argument("--binary", action="append", default=[], metavar="NAME=PROGRAM",
                        help="another build of pgsluice to compare with")
    parser.add_argument("--json", metavar="FILE", help="every round's figures")
    parser.add_argument("--list", action="store_true", help="the scenarios, and nothing else")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.seconds = options.seconds or (1 if options.quick else 3)
    return options


def binaries_of(options):
    found = {}
    for each in options.binary:
        name, _, path = each.partition("=")
        if not os.access(path, os.X_OK):
            print(f"bench: --binary {each}: not a program that can be run", file=sys.stderr)
            sys.exit(2)
        found[name] = os.path.abspath(path)
    return found


def make_server():
    """A server with the bench's role and pgbench's tables."""
    server = Cluster("bench", autovacuum="off", max_connections=1300, shared_buffers="256MB")
    server.require_password(targets.USER, targets.PASSWORD)
    server.create_database("bench")
    run_tool(server.bindir, ["pgbench", "-i", "-q", "-s", "5", "-h", server.host, "-p",
                             str(server.port), "-U", "postgres", "bench"])
    server.query(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {targets.USER}; "
                 f"CREATE TABLE sink (t text); GRANT ALL ON sink TO {targets.USER}",
                 dbname="bench")
    return server


def measure(bench, chosen, makers, options):
    """{scenario: {target: [figures, …]}}."""
    found = {}
    for turn in range(options.rounds):
        for name in chosen:
            scenario = scenarios.SCENARIOS[name]
            order = [each for each in ["direct", *makers] if scenario.fits(each, makers)]
            for each in order if turn % 2 == 0 else reversed(order):
                print(f"round {turn + 1}: {name}, {each}", file=sys.stderr)
                figures = scenario.run(bench, each, makers)
                found.setdefault(name, {}).setdefault(each, []).append(figures)
    return found


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {cpu}, Linux {platform.release()}"


def version_of(path):
    flag = "-v" if path.endswith(("nginx", "haproxy")) else "--version"
    done = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def main():
    options = options_of_this_run()
    if options.list:
        for name, scenario in scenarios.SCENARIOS.items():
            print(f"{name:18} {scenario.what}")
        return
    chosen = names_of(options.only, scenarios.SCENARIOS, "scenario")
    makers = targets.makers(binaries_of(options))
    wanted = names_of(options.targets, makers, "target")
    missing = [name for name in wanted if not makers[name][0]]
    makers = {name: makers[name] for name in wanted if makers[name][0]}
    began = time.monotonic()
    with make_server() as server:
        identity = Authority().issue("bench", key=["-newkey", "rsa:2048", "-nodes"])
        bench = scenarios.Bench(server, identity, options.seconds)
        found = measure(bench, chosen, makers, options)
    print(f"# {time.strftime('%Y-%m-%d')}: {options.rounds} round(s) of {options.seconds:g} s, "
          f"{time.monotonic() - began:.0f} s in all\n\n{machine()}\n")
    for name, (path, _) in makers.items():
        print(f"* {name}: {version_of(path)}")
    for name in missing:
        print(f"* {name}: not installed, left out")
    print("\n" + table.markdown(found))
    if options.json:
        with open(options.json, "w") as out:
            json.dump(found, out, indent=1)


if __name__ == "__main__":
    main()
