"""A system call filter for a child: what the launcher does on a kernel that refuses."""

from __future__ import annotations

import ctypes
import os
import struct

NUMBERS = {"x86_64": {"fsopen": 430, "memfd_create": 319}, "aarch64": {"fsopen": 430, "memfd_create": 279}}


def refuse(*names: str) -> None:
    """From here on the named calls fail with EPERM in this process and what it executes. For preexec_fn."""
    numbers = [NUMBERS[os.uname().machine][name] for name in names]
    program = struct.pack("HBBI", 0x20, 0, 0, 0)  # load seccomp_data.nr
    for index, number in enumerate(numbers):
        program += struct.pack("HBBI", 0x15, len(numbers) - index, 0, number)  # equal: jump to the last instruction
    program += struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # allow
    program += struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 1)  # EPERM
    buffer = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, header, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "seccomp")
