"""The -ENOSYS prefix: a system call newer than the profile answers "not implemented", not "not permitted".

Without it a C library that tries clone3 or statx takes EPERM as the final word and fails, where ENOSYS makes it fall
back to the older call. "Newer" means: the number is larger than the largest one that the profile names for that
architecture. Everything else, an architecture not listed included, goes on to the program that follows.
"""

from __future__ import annotations

import errno
import struct

__all__ = ["AUDIT_ARCH_X86_64", "SCMP_ARCH_X32", "stub"]

AUDIT_ARCH_X86_64 = 0xC000003E
SCMP_ARCH_X32 = 0x4000003E  # libseccomp's invention: the kernel reports AUDIT_ARCH_X86_64 and sets bit 30 of the number
_X32_BIT = 1 << 30
_S390 = (0x16, 0x80000016)  # AUDIT_ARCH_S390, AUDIT_ARCH_S390X

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_GREATER = 0x25  # BPF_JMP | BPF_JGT | BPF_K, unsigned
_IF_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER = 0  # offsets in struct seccomp_data
_ARCH = 4

_LOAD_NUMBER = (_LOAD, 0, 0, _NUMBER)
_NOT_IMPLEMENTED = (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)  # SECCOMP_RET_ERRNO
_TO_PROGRAM = (_JUMP, 0, 0, 0)  # its distance is known when all is laid out

TYPE_CHECKING = False
if TYPE_CHECKING:
    Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, k


def stub(largest: dict[int, int]) -> bytes:
    """BPF to put before a program. `largest`: SCMP_ARCH_* -> largest number named for it; empty gives b""."""
    code: list[Instruction] = []
    for arch in sorted({AUDIT_ARCH_X86_64 if arch == SCMP_ARCH_X32 else arch for arch in largest}):
        section = _section(arch, largest)
        code += [(_IF_EQUAL, 0, len(section), arch), *section]
    if not code:
        return b""
    code.insert(0, (_LOAD, 0, 0, _ARCH))
    end = len(code)
    return b"".join(
        struct.pack("=HBBI", *(item if item is not _TO_PROGRAM else (_JUMP, 0, 0, end - at - 1)))
        for at, item in enumerate(code)
    )


def _section(arch: int, largest: dict[int, int]) -> list[Instruction]:
    if arch == AUDIT_ARCH_X86_64:
        return _x86_64(largest.get(AUDIT_ARCH_X86_64), largest.get(SCMP_ARCH_X32))
    check: list[Instruction] = [(_IF_GREATER, 0, 1, largest[arch])]
    if arch in _S390:  # the kernel leaves 0, once setup(2), where it does not know a number above 255
        check.insert(0, (_IF_EQUAL, 1, 0, 0))
    return [_LOAD_NUMBER, *check, _NOT_IMPLEMENTED, _TO_PROGRAM]


def _x86_64(largest: int | None, largest_x32: int | None) -> list[Instruction]:
    """Two kinds of numbers under one AUDIT_ARCH; of a kind that the profile does not list, the program decides."""
    return [
        _LOAD_NUMBER,
        (_IF_SET, 1, 0, _X32_BIT),
        (_JUMP, 0, 0, 2) if largest is None else (_IF_GREATER, 1, 2, largest),
        (_JUMP, 0, 0, 1) if largest_x32 is None else (_IF_GREATER, 0, 1, largest_x32),
        _NOT_IMPLEMENTED,
        _TO_PROGRAM,
    ]
