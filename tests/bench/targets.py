"""What the bench measures: a direct connection, pgsluice, and peers in their plainest form."""

import contextlib
import os
import shutil
import subprocess

from support.cluster import as_postgres, child_pids, die_with_us, free_port, temp_dir, wait_until
from support.login import users_file
from support.sluice import Sluice, program

USER, PASSWORD = "app", "correct horse"
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree(pid):
    """A process and all that it has started."""
    found = [pid]
    for child in child_pids(pid):
        found += tree(child)
    return found


def cpu_s(pids):
    """User and system time of these processes, with that of children that have ended."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
            total += sum(int(each) for each in fields[11:15]) * TICK_S
    return total


def pss_kib(pids):
    """Proportional set size, shared pages counted in part."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as rollup:
            total += next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return total


class Direct:
    """No proxy at all."""

    tls = False

    def __init__(self, server):
        self.port = server.port

    def pids(self):
        return []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass


class Peer:
    """A program that stays in the foreground and ends on SIGTERM."""

    tls = False

    def __init__(self, command, port):
        self.command, self.port, self.process = command, port, None

    def pids(self):
        return tree(self.process.pid)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, cwd="/",
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_us, **as_postgres())
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _file(top, name, text):
    path = os.path.join(top, name)
    with open(path, "w") as out:
        out.write(text)
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")
    return path


def _tool(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class PgBouncer(Peer):
    tls = True

    def __init__(self, server, identity, auth):
        top, port = temp_dir("pgsluice-bench-"), free_port()
        users = users_file(os.path.join(top, "users.txt"), {USER: PASSWORD})
        key = shutil.copy(identity.key, top)
        for path in (users, key):
            if os.geteuid() == 0:
                shutil.chown(path, "postgres", "postgres")
        method = {"trust": "any", "scram": "scram-sha-256"}[auth]
        forced = f" user={USER} password='{PASSWORD}'" if method == "any" else ""
        settings = _file(top, "pgbouncer.ini", (
            f"[databases]\n* = host={server.host} port={server.port}{forced}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = {method}\nauth_file = {users}\npool_mode = session\n"
            "max_client_conn = 3000\ndefault_pool_size = 1000\nlog_connections = 0\n"
            "log_disconnections = 0\nserver_tls_sslmode = disable\nclient_tls_sslmode = allow\n"
            f"client_tls_cert_file = {identity.cert}\nclient_tls_key_file = {key}\n"))
        super().__init__([_tool("pgbouncer"), "-q", settings], port)


class HAProxy(Peer):
    def __init__(self, server, *_):
        top, port = temp_dir("pgsluice-bench-"), free_port()
        settings = _file(top, "haproxy.cfg", (
            f"global\n  maxconn 3000\n  nbthread {os.cpu_count()}\ndefaults\n  mode tcp\n"
            "  timeout connect 10s\n  timeout client 1h\n  timeout server 1h\n"
            f"listen pg\n  bind 127.0.0.1:{port}\n  server pg {server.host}:{server.port}\n"))
        super().__init__([_tool("haproxy"), "-f", settings, "-db"], port)


class Nginx(Peer):
    def __init__(self, server, *_):
        top, port = temp_dir("pgsluice-bench-"), free_port()
        settings = _file(top, "nginx.conf", (
            f"load_module {NGINX_STREAM};\ndaemon off;\npid {top}/pid;\n"
            f"worker_processes {os.cpu_count()};\n"
            f"error_log {top}/log;\nevents {{ worker_connections 4000; }}\nstream {{ server {{ "
            f"listen 127.0.0.1:{port}; proxy_pass {server.host}:{server.port}; "
            "proxy_timeout 1h; } }\n"))
        super().__init__([_tool("nginx"), "-e", f"{top}/log", "-c", settings], port)


class OurProxy(Sluice):
    """pgsluice, or another build of it, where `binary` says so."""

    tls = True

    def __init__(self, server, identity, auth, binary=None, more=None):
        self.binary = binary or program("pgsluice")
        method = {"trust": "trust", "scram": "scram-sha-256"}[auth]
        users = users_file(os.path.join(temp_dir("pgsluice-bench-"), "users.txt"),
                           {USER: PASSWORD})
        super().__init__({"blue": server, **(more or {})}, start=False, workers=os.cpu_count(),
                         service={"auth": {"method": method, "users_file": users},
                                  "tls": {"cert": identity.cert, "key": identity.key}})

    def executable(self):
        return self.binary

    def pids(self):
        return tree(self.process.pid)

    def __enter__(self):
        return self.start()


def makers(binaries):
    """{name: (the program it needs, how it is made)}; pgsluice comes first."""
    ours = {"pgsluice": program("pgsluice"), **binaries}
    found = {name: (path, lambda *a, path=path: OurProxy(*a, binary=path))
             for name, path in ours.items()}
    found["pgbouncer"] = (_tool("pgbouncer"), PgBouncer)
    found["haproxy"] = (_tool("haproxy"), HAProxy)
    has_stream = os.path.exists(NGINX_STREAM)
    found["nginx"] = (_tool("nginx") if has_stream else None, Nginx)
    return found


@contextlib.contextmanager
def started(target, probe):
    """The target while it runs; `probe(port)` is true once it serves."""
    with target:
        wait_until(lambda: probe(target.port), "a target that serves")
        yield target
