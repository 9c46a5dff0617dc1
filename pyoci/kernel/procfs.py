"""A procfs of our own: opened where nobody can mount over it, checked where it could not be made.

The decision: docs/decisions/private-procfs.md.
"""

from __future__ import annotations

from errno import EACCES, EPERM

from pyoci import os
from pyoci.kernel import mount
from pyoci.kernel.constants import PROC_SUPER_MAGIC, RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV
from pyoci.kernel.path import filesystem_type, openat2

_PROC_ROOT_INODE = 1  # include/linux/proc_fs.h


def root_is_procfs(descriptor: int) -> bool:
    """Whether this is the root directory of a procfs, and not something bound over its place."""
    return filesystem_type(descriptor) == PROC_SUPER_MAGIC and os.fstat(descriptor).st_ino == _PROC_ROOT_INODE


def open_private(*options: str) -> int:
    """Open a procfs of our pid namespace: a new detached one, or the verified /proc where that is refused.

    Refused (EPERM) is a new one in a user namespace whose /proc is partly covered; there the mounted one is checked to
    be the root of a procfs. Raises OSError.
    """
    try:
        return mount.new_filesystem("proc", "proc", options)
    except OSError as error:
        if error.errno not in (EPERM, EACCES):
            raise
    descriptor = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not root_is_procfs(descriptor):
        os.close(descriptor)
        raise OSError(EPERM, "not the root of a procfs", "/proc")
    return descriptor


def write(proc: int, name: str, text: str) -> None:
    """Write `text` to a file of the procfs open as `proc`, in one write(2), without following links at its end.

    Where open_private() had to take the mounted /proc, somebody may have put another file of a procfs, which takes what
    we write as well, over this one: that is EXDEV.
    """
    resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
    descriptor = openat2(proc, os.fsencode(name), os.O_WRONLY | os.O_NOFOLLOW, resolve)
    try:
        if filesystem_type(descriptor) != PROC_SUPER_MAGIC:
            raise OSError(EPERM, "not a file of procfs", name)
        os.write(descriptor, text.encode("utf-8", "surrogateescape"))
    finally:
        os.close(descriptor)
