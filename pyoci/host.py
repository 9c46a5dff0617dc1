"""Host: what a plan needs to know about this machine and this process, each fact read once."""

from __future__ import annotations

from pyoci import os
from pyoci.kernel import textfile
from pyoci.kernel.constants import INITIAL_USER_INODE
from pyoci.record import Record

# include/linux/proc_ns.h: the inode of the initial user namespace. A full id map proves nothing.


class Host(Record):
    """euid, egid: of this process. user_namespace: it runs in one that is not the initial one.
    kcore: /proc/kcore exists, which /dev/core of a container links to. set_groups: setgroups(2) is not forbidden here,
    as it is for good in a user namespace whose maker was unprivileged and mapped one group, and in those below it.
    """

    euid: int
    egid: int
    user_namespace: bool
    kcore: bool
    set_groups: bool = True

    def privileged(self) -> bool:
        """Root of the initial user namespace: may open bind sources and make device nodes."""
        return self.euid == 0 and not self.user_namespace


def read() -> Host:
    """Look at the machine and at this process, once for each command."""
    inside = os.stat("/proc/self/ns/user").st_ino != INITIAL_USER_INODE
    return Host(
        euid=os.geteuid(),
        egid=os.getegid(),
        user_namespace=inside,
        kcore=os.path.exists("/proc/kcore"),
        set_groups=not inside or _may_set_groups(),
    )


def _may_set_groups() -> bool:
    return textfile.read("/proc/self/setgroups") != b"deny\n"
