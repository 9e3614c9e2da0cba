"""Host names of a test's own: /etc/hosts as one process sees it."""

import ctypes
import os
import tempfile

from .cluster import die_with_us

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18


class Hosts:
    """A hosts file that takes the place of /etc/hosts for a process started with `enter`."""

    def __init__(self, **names):
        handle, self.path = tempfile.mkstemp(prefix="pgsluice-hosts-")
        os.close(handle)
        os.chmod(self.path, 0o644)
        self.set(**names)

    def set(self, **names):
        """Says which addresses each name has from now on; a list, or none for no such name."""
        with open(self.path, "w") as hosts:
            for name, addresses in names.items():
                hosts.writelines(f"{address} {name}\n" for address in addresses)

    def enter(self):
        """preexec_fn: gives the process a view of the file system with this file in its place."""
        die_with_us()
        libc = ctypes.CDLL(None, use_errno=True)
        if (libc.unshare(CLONE_NEWNS) != 0 or
                libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0 or
                libc.mount(self.path.encode(), b"/etc/hosts", None, MS_BIND, None) != 0):
            raise OSError(ctypes.get_errno(), "cannot replace /etc/hosts")

    def close(self):
        os.unlink(self.path)


def can_replace():
    """Whether `enter` works here: it needs CAP_SYS_ADMIN."""
    hosts = Hosts()
    child = os.fork()
    if child == 0:
        try:
            hosts.enter()
        except OSError:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    hosts.close()
    return status == 0
