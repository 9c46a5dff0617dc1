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

_GROUP = 1000  # exceptions, of at most six instructions


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
    for (type, major), exceptions in _groups(filter.exceptions):
        code += _group(type, major, exceptions, filter.allow)
    code += _return(filter.allow)
    return b"".join(code)


def _groups(exceptions: tuple[DeviceException, ...]) -> list[tuple[tuple[str, int], list[DeviceException]]]:
    """The exceptions by type and major number; their order means nothing.

    The verifier follows no more than 8192 jumps in sequence, which a few thousand exceptions side by side would exceed;
    a group is as long as a jump's 16 bits can pass over.
    """
    groups: dict[tuple[str, int], list[DeviceException]] = {}
    for exception in exceptions:
        groups.setdefault((exception.type, exception.major), []).append(exception)
    return [
        (key, members[start : start + _GROUP])
        for key, members in groups.items()
        for start in range(0, len(members), _GROUP)
    ]


def _group(type: str, major: int, exceptions: list[DeviceException], allow: bool) -> list[bytes]:
    for exception in exceptions:
        if exception.minor == ANY and exception.access == ALL and not allow:
            exceptions = [exception]  # it returns at once; the verifier refuses what cannot be reached
            break
    body = [instruction for exception in exceptions for instruction in _block(exception, allow)]
    if major != ANY:
        body.insert(0, _instruction(_IF_DIFFERENT, _MAJOR, offset=len(body), value=major))
    return [_instruction(_IF_DIFFERENT, _TYPE, offset=len(body), value=_KIND[type]), *body]


def _block(exception: DeviceException, allow: bool) -> list[bytes]:
    """Return the opposite of `allow` if the exception speaks of this access, else go on behind the block.

    It allows an access of which it has every part, and denies one of which it has any part. The caller has seen to
    type and major number.
    """
    code = _return(not allow)
    if allow or exception.access != ALL:
        test = (_IF_EQUAL, _SCRATCH, 0) if allow else (_IF_REGISTERS_DIFFER, _SCRATCH, _ASKED)
        code.insert(0, _instruction(*test, offset=len(code)))
        code.insert(0, _instruction(_AND, _SCRATCH, value=exception.access))
        code.insert(0, _instruction(_COPY, _SCRATCH, _ASKED))
    if exception.minor != ANY:
        code.insert(0, _instruction(_IF_DIFFERENT, _MINOR, offset=len(code), value=exception.minor))
    return code


def _return(allow: bool) -> list[bytes]:
    return [_instruction(_SET, _RESULT, value=int(allow)), _instruction(_EXIT)]


def _instruction(operation: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """struct bpf_insn; the value is 32 bits whose sign is up to the operation."""
    return struct.pack("=BBhI", operation, source << 4 | target, offset, value)
