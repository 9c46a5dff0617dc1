"""Host: what a plan needs to know about this machine and this process, each fact read once."""

from __future__ import annotations

import os

from pyoci.record import Record

# include/linux/proc_ns.h: the inode of the initial user namespace. A full id map proves nothing.
_INITIAL_USER_INODE = 0xEFFFFFFD


class Host(Record):
    """euid, egid: of this process. user_namespace: it runs in one that is not the initial one.
    kcore: /proc/kcore exists, which /dev/core of a container links to.
    """

    euid: int
    egid: int
    user_namespace: bool
    kcore: bool

    def privileged(self) -> bool:
        """Root of the initial user namespace: may open bind sources and make device nodes."""
        return self.euid == 0 and not self.user_namespace


def read() -> Host:
    return Host(
        euid=os.geteuid(),
        egid=os.getegid(),
        user_namespace=os.stat("/proc/self/ns/user").st_ino != _INITIAL_USER_INODE,
        kcore=os.path.exists("/proc/kcore"),
    )
