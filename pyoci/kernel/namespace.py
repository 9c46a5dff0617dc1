"""setns(2) and unshare(2), and what a namespace's descriptor tells about itself."""

from __future__ import annotations

import fcntl

from pyoci import os
from pyoci.kernel.constants import INITIAL_USER_INODE
from pyoci.kernel.libc import c_int, function

_setns = function("setns", c_int, c_int)
_unshare = function("unshare", c_int)

# Below /proc/PID/ns, for the types of linux.namespaces whose names are other ones there.
FILES = {"mount": "mnt", "network": "net"}

_NS_GET_USERNS = 0xB701  # include/uapi/linux/nsfs.h


def join(descriptor: int, flag: int) -> None:
    """setns(2): enter the namespace open as `descriptor`, which must be of the kind `flag` (CLONE_NEW*)."""
    _setns(descriptor, flag)


def unshare(flags: int) -> None:
    """unshare(2): leave the namespaces of the kinds `flags` for new ones."""
    _unshare(flags)


def owner(descriptor: int) -> int:
    """A descriptor of the user namespace that owns the namespace open as `descriptor`, of a user namespace of the one
    above it (ioctl_ns(2)). Raises OSError, EPERM if that is outside of ours."""
    return int(fcntl.ioctl(descriptor, _NS_GET_USERNS))


def in_user_namespace() -> bool:
    """Whether this process is not in the initial user namespace. Told by inode: a full id map proves nothing."""
    return os.stat("/proc/self/ns/user").st_ino != INITIAL_USER_INODE


_NS_GET_NSTYPE = 0xB703  # include/uapi/linux/nsfs.h


def kind(descriptor: int) -> int:
    """CLONE_NEW* of the namespace open as `descriptor`, 0 if it is something else (ioctl_ns(2))."""
    try:
        return int(fcntl.ioctl(descriptor, _NS_GET_NSTYPE))
    except OSError:  # ENOTTY, or whatever a device says to a call that is not its own
        return 0
