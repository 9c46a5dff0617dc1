"""capset(2), the bounding set and the ambient set, as bit masks."""

from __future__ import annotations

import ctypes
from ctypes import c_int, c_uint32, c_ulong, c_void_p
from errno import EINVAL

from pyoci.kernel.constants import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
)
from pyoci.kernel.libc import function, number, syscall

_VERSION_3 = 0x20080522


class Header(ctypes.Structure):
    """struct __user_cap_header_struct of <linux/capability.h>."""

    _fields_ = [("version", c_uint32), ("pid", c_int)]


class Data(ctypes.Structure):
    """struct __user_cap_data_struct; version 3 takes two: the low and the high 32 capabilities."""

    _fields_ = [("effective", c_uint32), ("permitted", c_uint32), ("inheritable", c_uint32)]


_capset = syscall("capset", number("capset"), c_void_p, c_void_p)
_capget = syscall("capget", number("capget"), c_void_p, c_void_p)
_prctl5 = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def get() -> tuple[int, int, int]:
    """capget(2) of this process: effective, permitted, inheritable."""
    header, data = Header(version=_VERSION_3), (Data * 2)()
    _capget(ctypes.addressof(header), ctypes.addressof(data))
    low, high = data[0], data[1]
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def set(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of this process."""
    header, data = Header(version=_VERSION_3), (Data * 2)()
    for index, shift in ((0, 0), (1, 32)):
        data[index] = Data(
            effective=effective >> shift & 0xFFFFFFFF,
            permitted=permitted >> shift & 0xFFFFFFFF,
            inheritable=inheritable >> shift & 0xFFFFFFFF,
        )
    _capset(ctypes.addressof(header), ctypes.addressof(data))


def limit_bounding(keep: int) -> None:
    """PR_CAPBSET_DROP of everything outside `keep`, up to the kernel's last capability (EINVAL).

    Not by python-prctl: it refuses capabilities newer than the headers it was built with, which would then stay.
    """
    for capability in range(64):
        try:
            if not keep >> capability & 1 and _prctl5(PR_CAPBSET_READ, capability, 0, 0, 0):
                _prctl5(PR_CAPBSET_DROP, capability, 0, 0, 0)
        except OSError as error:
            if error.errno == EINVAL:
                return
            raise


def set_ambient(capabilities: int) -> int:
    """Make the ambient set `capabilities`; return those the kernel refused (not permitted and inheritable)."""
    _prctl5(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    refused = 0
    for capability in range(64):
        if capabilities >> capability & 1:
            try:
                _prctl5(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)
            except OSError:
                refused |= 1 << capability
    return refused
