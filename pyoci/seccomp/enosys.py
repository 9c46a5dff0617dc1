"""The -ENOSYS prefix: a system call newer than the profile answers "not implemented", not "not permitted".

Without it a C library that tries clone3 or statx takes EPERM as the final word and fails, where ENOSYS makes it fall
back to the older call. "Newer" means: the number is larger than the largest one that the profile names for that
architecture. Everything else, an architecture not listed included, goes on to the program that follows.
"""

from __future__ import annotations

import errno

from pyoci.seccomp.bpf import (
    AUDIT_ARCH_X86_64,
    IF_EQUAL,
    IF_GREATER,
    IF_SET,
    JUMP,
    LOAD_NUMBER,
    RETURN,
    SCMP_ARCH_X32,
    TO_PROGRAM,
    audit_arch,
    prefix,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.seccomp.bpf import Instruction

__all__ = ["stub"]

_X32_BIT = 1 << 30
_S390 = (0x16, 0x80000016)  # AUDIT_ARCH_S390, AUDIT_ARCH_S390X
_NOT_IMPLEMENTED = (RETURN, 0, 0, 0x00050000 | errno.ENOSYS)  # SECCOMP_RET_ERRNO


def stub(largest: dict[int, int]) -> bytes:
    """BPF to put before a program. `largest`: SCMP_ARCH_* -> largest number named for it; empty gives b""."""
    return prefix({audit_arch(arch): _section(audit_arch(arch), largest) for arch in largest})


def _section(arch: int, largest: dict[int, int]) -> list[Instruction]:
    if arch == AUDIT_ARCH_X86_64:
        return _x86_64(largest.get(AUDIT_ARCH_X86_64), largest.get(SCMP_ARCH_X32))
    check: list[Instruction] = [(IF_GREATER, 0, 1, largest[arch])]
    if arch in _S390:  # the kernel leaves 0, once setup(2), where it does not know a number above 255
        check.insert(0, (IF_EQUAL, 1, 0, 0))
    return [LOAD_NUMBER, *check, _NOT_IMPLEMENTED, TO_PROGRAM]


def _x86_64(largest: int | None, largest_x32: int | None) -> list[Instruction]:
    """Two kinds of numbers under one AUDIT_ARCH; of a kind that the profile does not list, the program decides."""
    return [
        LOAD_NUMBER,
        (IF_SET, 1, 0, _X32_BIT),
        (JUMP, 0, 0, 2) if largest is None else (IF_GREATER, 1, 2, largest),
        (JUMP, 0, 0, 1) if largest_x32 is None else (IF_GREATER, 0, 1, largest_x32),
        _NOT_IMPLEMENTED,
        TO_PROGRAM,
    ]
