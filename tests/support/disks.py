"""A disk of a test's own: a daemon that sees a small one in the place of its state directory."""

import ctypes
import os

from .cluster import die_with_us
from .names import CLONE_NEWNS, MS_PRIVATE, MS_REC


def small_disk(directory, megabytes):
    """A preexec_fn that mounts an empty disk of that size there, for the process alone."""
    def enter():
        die_with_us()
        libc = ctypes.CDLL(None, use_errno=True)
        size = f"size={megabytes}m,mode=0700".encode()
        if (libc.unshare(CLONE_NEWNS) != 0 or
                libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0 or
                libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, size) != 0):
            raise OSError(ctypes.get_errno(), f"cannot mount a disk on {directory}")
    return enter


def seen_by(process, path):
    """The path under which we reach what the process sees as `path`."""
    return os.path.join(f"/proc/{process.pid}/root", path.lstrip("/"))
