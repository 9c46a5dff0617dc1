"""The place where all is measured: a private mount namespace that shows cgroup v2 only, and an empty tmpfs on /run.

The view's root is a new cgroup, through a cgroup namespace, and this process lives in a leaf of it: a root that held
processes could hand no controller on, and crun would wait two seconds for that to change.
"""

from __future__ import annotations

import ctypes
import os
import stat
import time
from typing import Any

_CLONE_NEWNS, _CLONE_NEWCGROUP = 0x00020000, 0x02000000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
WORK = "/run/bench"


def call(name: str, *arguments: Any) -> None:
    """One function of libc. Raises OSError with the call as it was made."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}: {os.strerror(ctypes.get_errno())}")


class Booted:
    """In the booted tree, where systemd has the cgroups: a tmpfs for the bundles, and everything else as it is."""

    def __init__(self) -> None:
        call("unshare", _CLONE_NEWNS)
        call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
        os.mkdir(WORK)
        call("mount", b"tmpfs", WORK.encode(), b"tmpfs", ctypes.c_ulong(0), b"mode=755")

    def leave(self) -> None:
        """Nothing is left but an empty directory, and the tree ends with this command."""


class View:
    """Enters the place for good (this process does not come back); `leave` ends it as far as others can see it."""

    def __init__(self) -> None:
        top = "/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup"
        with open("/proc/self/cgroup") as file:
            self._before = next(line.split("::")[1].strip() for line in file if line.startswith("0::"))
        self._top = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        self._name = f"pyoci-bench.{os.getpid()}"
        _give_controllers(self._top)
        os.mkdir(self._name, dir_fd=self._top)
        self._join(self._name)
        call("unshare", _CLONE_NEWNS | _CLONE_NEWCGROUP)
        os.mkdir(f"{self._name}/init", dir_fd=self._top)
        self._join(f"{self._name}/init")
        call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
        call("umount2", b"/sys/fs/cgroup", _MNT_DETACH)
        call("mount", b"cgroup2", b"/sys/fs/cgroup", b"cgroup2", ctypes.c_ulong(0), None)
        call("mount", b"tmpfs", b"/run", b"tmpfs", ctypes.c_ulong(0), b"mode=755")
        os.mkdir(WORK)

    def leave(self) -> None:
        """Goes back to the cgroup this process came from and removes the own one."""
        self._join(self._before.strip("/") or ".")
        left = [self._name]
        for directory in left:
            opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._top)
            names = [name for name in os.listdir(opened) if stat.S_ISDIR(os.stat(name, dir_fd=opened).st_mode)]
            os.close(opened)
            left += [f"{directory}/{name}" for name in names]
        deadline = time.monotonic() + 2
        while left:  # deepest last; a killed process may hold its cgroup for a moment
            try:
                os.rmdir(left[-1], dir_fd=self._top)
                left.pop()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _join(self, cgroup: str) -> None:
        _write(f"{cgroup}/cgroup.procs", "0", self._top)


def _give_controllers(top: int) -> None:
    """Hands on to the own cgroup whatever the machine's root hands on; a lane's cgroup may have nothing to give."""
    file = os.open("cgroup.controllers", os.O_RDONLY, dir_fd=top)
    controllers = os.read(file, 4096).decode().split()
    os.close(file)
    for controller in controllers:
        try:
            _write("cgroup.subtree_control", f"+{controller}", top)
        except OSError:
            pass


def _write(name: str, text: str, directory: int) -> None:
    file = os.open(name, os.O_WRONLY, dir_fd=directory)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
