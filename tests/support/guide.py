"""Runs the commands of docs/first-cutover.md on throwaway servers.

A block `console` has commands behind `$ ` and what they print; a block whose first line is a
comment with a path is that file. Addresses, ports and paths of the page become those of the test.
"""

import os
import re
import subprocess

from .cluster import bin_dir, die_with_us, free_port, wait_until
from .sluice import REPOSITORY, program

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (/\S+)\n")
FOLDERS = ("/etc/pgsluice", "/run/pgsluice", "/var/lib/pgsluice")
# Lines of output that the page has to show as they are; figures differ from run to run.
SHOWN = ("from", "to", "outcome")


def blocks(name):
    """(language, text) of each block of a page in docs/."""
    with open(os.path.join(REPOSITORY, "docs", name)) as page:
        return BLOCK.findall(page.read())


def commands(text):
    """(command, the lines of its output) of a block `console`."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


class Guide:
    """`servers` maps the addresses of the page to clusters; `password` is that of role `app`."""

    def __init__(self, servers, password):
        self.top = servers["10.0.0.1"].top
        self.host, self.port = "127.0.0.1", free_port()
        self.daemon = None
        self.replaced = [(r"127\.0\.0\.1:6432", f"127.0.0.1:{self.port}"),
                         (r"-p 6432\b", f"-p {self.port}")]
        for address, server in servers.items():
            host = re.escape(address)
            self.replaced += [(f"{host}:5432", f"127.0.0.1:{server.port}"),
                              (f"-h {host}", f"-h 127.0.0.1 -p {server.port}"),
                              (f"host={host}", f"host=127.0.0.1 port={server.port}"),
                              (f"host: {host}, port: 5432",
                               f"host: 127.0.0.1, port: {server.port}")]
        for folder in FOLDERS:
            path = os.path.join(self.top, folder.replace("/", "-").strip("-"))
            os.mkdir(path, 0o700)
            self.replaced.append((folder, path))
        socket_path = self.here("/run/pgsluice/control.sock")
        self.environment = {**os.environ, "PGSLUICE_SOCKET": socket_path,
                            "PGPASSFILE": self.write("pgpass", f"*:*:*:app:{password}\n"),
                            "PATH": os.pathsep.join([os.path.dirname(program("pgsluice")),
                                                     bin_dir(), os.environ["PATH"]])}

    def here(self, text):
        """The page's text for the servers and paths of this test."""
        for pattern, replacement in self.replaced:
            text = re.sub(pattern, replacement, text)
        return text

    def write(self, path, text):
        full = os.path.join(self.top, self.here(path))
        with open(full, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
        return full

    def write_block(self, text):
        """A block that is a file; others are for the reader."""
        named = FILE.match(text)
        if named:
            self.write(named.group(1), self.here(text))

    def start(self, command):
        """The daemon; returns when it answers."""
        self.daemon = subprocess.Popen(self.here(command).split(), env=self.environment,
                                       stdin=subprocess.DEVNULL, preexec_fn=die_with_us)
        wait_until(lambda: subprocess.run(["sluicectl", "status"], env=self.environment,
                                          capture_output=True, check=False).returncode == 0,
                   "start of pgsluice")

    def run(self, command, shown):
        """One command as the page has it; it exits with 0 and prints what the page shows."""
        print(f"$ {command}")
        done = subprocess.run(["bash", "-c", f"set -o pipefail\n{self.here(command)}"], check=False,
                              env=self.environment, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        print(done.stdout)
        assert done.returncode == 0, (command, done.stdout)
        printed = [line.split() for line in done.stdout.splitlines()]
        for line in shown:
            if line.split()[:1] and line.split()[0] in SHOWN:
                assert line.split() in printed, (command, line, done.stdout)

    def stop(self):
        if self.daemon is not None:
            self.daemon.terminate()
            assert self.daemon.wait(30) == 0
