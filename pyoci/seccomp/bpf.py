"""Classic BPF as seccomp filters use it, and how a prefix to a program is laid out."""

from __future__ import annotations

import struct
import sys

__all__ = [
    "AND",
    "AUDIT_ARCH_X86_64",
    "IF_EQUAL",
    "IF_GREATER",
    "IF_GREATER_EQUAL",
    "IF_SET",
    "JUMP",
    "LOAD",
    "LOAD_NUMBER",
    "RETURN",
    "SCMP_ARCH_X32",
    "TO_PROGRAM",
    "argument_offsets",
    "audit_arch",
    "prefix",
    "width",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    Instruction = tuple[int, int, int, int]  # code, skip if true, skip if false, k

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K; the comparisons are unsigned
IF_GREATER = 0x25
IF_GREATER_EQUAL = 0x35
IF_SET = 0x45  # BPF_JSET
RETURN = 0x06  # BPF_RET | BPF_K

LOAD_NUMBER: Instruction = (LOAD, 0, 0, 0)  # offsets of struct seccomp_data: nr 0, arch 4, args 16
_LOAD_ARCH: Instruction = (LOAD, 0, 0, 4)
TO_PROGRAM: Instruction = (JUMP, 0, 0, 0xFFFFFFFF)  # `prefix` fills in the distance

AUDIT_ARCH_X86_64 = 0xC000003E
SCMP_ARCH_X32 = 0x4000003E  # libseccomp's invention: the kernel says AUDIT_ARCH_X86_64 and sets bit 30 of the number
_AUDIT_64BIT = 0x80000000
_AUDIT_MIPS64_N32 = 0x20000000


def audit_arch(arch: int) -> int:
    """What the kernel calls libseccomp's `arch`."""
    return AUDIT_ARCH_X86_64 if arch == SCMP_ARCH_X32 else arch


def width(arch: int) -> int:
    """Bits of an argument that count: 32 or 64. x32 and n32 pass 32, as libseccomp sees them."""
    return 64 if arch & _AUDIT_64BIT and not arch & _AUDIT_MIPS64_N32 else 32


def argument_offsets(index: int) -> tuple[int, int]:
    """Where the low and the high half of an argument are."""
    at = 16 + 8 * index
    return (at, at + 4) if sys.byteorder == "little" else (at + 4, at)


def prefix(sections: dict[int, list[Instruction]]) -> bytes:
    """Code to put before a program: AUDIT_ARCH_* -> what to do there.

    Each section ends in RETURN or TO_PROGRAM; without a section the program decides.
    """
    code: list[Instruction] = []
    for arch, section in sorted(sections.items()):
        code += [(IF_EQUAL, 1, 0, arch), (JUMP, 0, 0, len(section)), *section]
    if not code:
        return b""
    code = [_LOAD_ARCH, *code, TO_PROGRAM]  # the last one: for any other architecture
    end = len(code)
    return b"".join(
        struct.pack("=HBBI", *(item if item is not TO_PROGRAM else (JUMP, 0, 0, end - at - 1)))
        for at, item in enumerate(code)
    )
