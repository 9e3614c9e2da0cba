"""The proxy's surroundings, to be spoiled: its disk, its wall clock. Nobody else's are touched."""

import atexit
import ctypes
import os
import shutil
import struct
import subprocess
import tempfile

MNT_DETACH = 2  # <sys/mount.h>


class SmallDisk:
    """A file system of its own for a directory, so small that it can be filled. Needs the right to
    mount; `why_not` says what is missing."""

    def __init__(self, path, bytes_=256 * 1024):
        self.path, self.why_not = path, ""
        self._libc = ctypes.CDLL(None, use_errno=True)
        options = f"size={bytes_},mode=0700".encode()
        if self._libc.mount(b"none", path.encode(), b"tmpfs", 0, options) != 0:
            self.why_not = f"cannot mount a tmpfs: {os.strerror(ctypes.get_errno())}"
        else:
            atexit.register(self.remove)

    def fill(self):
        with open(os.path.join(self.path, "filler"), "wb", buffering=0) as filler:
            for size in (4096, 1):
                try:
                    while filler.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def empty(self):
        filler = os.path.join(self.path, "filler")
        if os.path.exists(filler):
            os.unlink(filler)

    def remove(self):
        if not self.why_not:
            self._libc.umount2(self.path.encode(), MNT_DETACH)
            atexit.unregister(self.remove)
            self.why_not = "it was removed"


class WallClock:
    """A wall clock for one process: start it with `environment`, then `jump()`."""

    library = None

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pgsluice-clock-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.path = os.path.join(self.folder, "jump")
        self.why_not = self._build()
        self.environment = {}
        if not self.why_not:
            self.jump(0)
            self.environment = {"LD_PRELOAD": WallClock.library, "CLOCK_JUMP_FILE": self.path}

    @classmethod
    def _build(cls):
        if os.environ.get("PGSLUICE_SANITIZED"):
            return "a sanitizer wants to be the first library"
        if cls.library is None:
            folder = tempfile.mkdtemp(prefix="pgsluice-clock-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            path = os.path.join(folder, "clock_jump.so")
            source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "clock_jump.c")
            done = subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"],
                                  capture_output=True, text=True)
            if done.returncode != 0:
                return f"cannot build clock_jump.so: {done.stderr[-500:]}"
            cls.library = path
        return ""

    def jump(self, seconds):
        """By that much from the real time."""
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as file:
            file.write(struct.pack("=q", seconds))
