"""capset(2), the bounding set and the ambient set, as bit masks."""

from __future__ import annotations

import struct
from errno import EINVAL

from pyoci.kernel.constants import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
)
from pyoci.kernel.libc import addressof, buffer, c_int, c_ulong, c_void_p, function, number, syscall

_VERSION_3 = 0x20080522


# struct __user_cap_header_struct (version, pid 0: ourselves), and two struct __user_cap_data_struct of
# effective, permitted, inheritable: the low and the high 32 capabilities.
_HEADER = struct.pack("Ii", _VERSION_3, 0)
_DATA = "6I"

_capset = syscall("capset", number("capset", x86_64=126, aarch64=91), c_void_p, c_void_p)
_capget = syscall("capget", number("capget", x86_64=125, aarch64=90), c_void_p, c_void_p)
_prctl5 = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def get() -> tuple[int, int, int]:
    """capget(2) of this process: effective, permitted, inheritable."""
    data = buffer(struct.calcsize(_DATA))
    _capget(_HEADER, addressof(data))
    words = struct.unpack(_DATA, data.raw)
    return words[0] | words[3] << 32, words[1] | words[4] << 32, words[2] | words[5] << 32


def set(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of this process."""
    sets = (effective, permitted, inheritable)
    _capset(_HEADER, struct.pack(_DATA, *(one & 0xFFFFFFFF for one in sets), *(one >> 32 for one in sets)))


def limit_bounding(keep: int) -> None:
    """PR_CAPBSET_DROP of everything outside `keep`, up to the kernel's last capability (EINVAL).

    Not by python-prctl: it refuses capabilities newer than the headers it was built with, which would then stay.
    """
    for capability in range(64):
        try:
            if not keep >> capability & 1:
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
