"""A DeviceFilter as a BPF program of type CGROUP_DEVICE. Pure.

The kernel calls it for every mknod and open of a device node below the cgroup, with struct bpf_cgroup_dev_ctx in r1:
u32 access_type (access << 16 | kind of device), u32 major, u32 minor. It returns 1 to allow, 0 to deny. Comparisons are
of the 32-bit class: the others would extend the sign of numbers from 2**31 on.
Kernel: include/uapi/linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct

from .device_rules import ALL, ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .device_rules import DeviceException, DeviceFilter

_KIND = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*

_RESULT, _CONTEXT, _TYPE, _ASKED, _MAJOR, _MINOR = range(6)  # registers
_SCRATCH = _CONTEXT  # free once the context is read

_LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_SHIFT_RIGHT = 0x74  # BPF_ALU | BPF_RSH | BPF_K
_COPY = 0xBC  # BPF_ALU | BPF_MOV | BPF_X
_SET = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
_IF_EQUAL = 0x16  # BPF_JMP32 | BPF_JEQ | BPF_K
_IF_DIFFERENT = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
_IF_REGISTERS_DIFFER = 0x5E  # BPF_JMP32 | BPF_JNE | BPF_X
_EXIT = 0x95


def compile(filter: DeviceFilter) -> bytes:
    """The program, 8 bytes per instruction, in the byte order of this machine."""
    code = [
        _instruction(_LOAD_WORD, _TYPE, _CONTEXT),
        _instruction(_COPY, _ASKED, _TYPE),
        _instruction(_AND, _TYPE, value=0xFFFF),
        _instruction(_SHIFT_RIGHT, _ASKED, value=16),
        _instruction(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _instruction(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
    ]
    for exception in filter.exceptions:
        code += _block(exception, filter.allow)
    code += _return(filter.allow)
    return b"".join(code)


def _block(exception: DeviceException, allow: bool) -> list[bytes]:
    """Return the opposite of `allow` if the exception speaks of this access, else go on behind the block.

    It allows an access of which it has every part, and denies one of which it has any part.
    """
    tests: list[tuple[int, int, int, int]] = [(_IF_DIFFERENT, _TYPE, 0, _KIND[exception.type])]
    if exception.major != ANY:
        tests.append((_IF_DIFFERENT, _MAJOR, 0, exception.major))
    if exception.minor != ANY:
        tests.append((_IF_DIFFERENT, _MINOR, 0, exception.minor))
    if allow or exception.access != ALL:
        tests.append((_COPY, _SCRATCH, _ASKED, 0))
        tests.append((_AND, _SCRATCH, 0, exception.access))
        tests.append((_IF_EQUAL, _SCRATCH, 0, 0) if allow else (_IF_REGISTERS_DIFFER, _SCRATCH, _ASKED, 0))
    tail = _return(not allow)
    length = len(tests) + len(tail)
    jumps = (_IF_DIFFERENT, _IF_EQUAL, _IF_REGISTERS_DIFFER)
    code = []
    for index, (operation, target, source, value) in enumerate(tests):
        offset = length - index - 1 if operation in jumps else 0
        code.append(_instruction(operation, target, source, offset, value))
    return code + tail


def _return(allow: bool) -> list[bytes]:
    return [_instruction(_SET, _RESULT, value=int(allow)), _instruction(_EXIT)]


def _instruction(operation: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """struct bpf_insn; the value is 32 bits whose sign is up to the operation."""
    return struct.pack("=BBhI", operation, source << 4 | target, offset, value)
