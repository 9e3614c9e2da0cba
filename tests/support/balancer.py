"""Load balancers in front of the proxy: the real haproxy, and a proxy that takes its word."""

import contextlib
import os
import socket
import subprocess

import pytest

from .cluster import die_with_us, free_port, temp_dir, wait_until
from .wire import Wire, startup

PROGRAM = "/usr/sbin/haproxy"

needs_haproxy = pytest.mark.skipif(not os.path.exists(PROGRAM), reason="no haproxy")


@contextlib.contextmanager
def haproxy(to_port, *, bind="", server=""):
    """haproxy in front of a port, with further words of the two lines that `bind` and `server`
    name; yields its own port once it listens there."""
    port, top = free_port(), temp_dir()
    path = os.path.join(top, "haproxy.cfg")
    with open(path, "w") as conf:
        conf.write(f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen postgres
  bind 127.0.0.1:{port} {bind}
  server one 127.0.0.1:{to_port} {server}
""")
    with subprocess.Popen([PROGRAM, "-db", "-q", "-f", path], stdin=subprocess.DEVNULL,
                          preexec_fn=die_with_us) as process:
        try:
            wait_until(lambda: _listens(port), "haproxy")
            yield port
        finally:
            process.kill()


def _listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def start_balanced(proxy):
    """Starts a proxy whose clients all come through a balancer on this machine. Its port, too,
    asks for a header first, so that only its control socket tells when it serves."""
    proxy.service["listen"] = [{"address": f"127.0.0.1:{proxy.port}",
                                "proxy_protocol": "required", "trusted": ["127.0.0.0/8"]}]
    proxy.write_config()
    proxy.start(wait=False)
    wait_until(lambda: proxy.ctl("status", check=False)[0] == 0, "start of pgsluice")
    return proxy


def connect_balanced(proxy, address, port):
    """A session of the client at that address, as a balancer passes it on."""
    wire = Wire(proxy.host, proxy.port)
    wire.send(f"PROXY TCP4 {address} 10.0.0.1 {port} 5432\r\n".encode(),
              startup("postgres", "postgres"))
    wire.finish_startup()
    return wire
