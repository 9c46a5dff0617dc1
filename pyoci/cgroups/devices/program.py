"""A DeviceFilter as a BPF program of type CGROUP_DEVICE. Pure.

The kernel calls it for every mknod and open of a device node below the cgroup, with struct bpf_cgroup_dev_ctx in r1:
u32 access_type (access << 16 | kind of device), u32 major, u32 minor. It returns 1 to allow, 0 to deny. Comparisons are
of the 32-bit class: the others would extend the sign of numbers from 2**31 on.
Kernel: include/uapi/linux/bpf.h, Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct

from pyoci.cgroups.devices.rules import ALL, ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.devices.rules import DeviceException, DeviceFilter

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

_PIECE = 1000  # exceptions, of at most eight instructions


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
    for exceptions in _groups(filter.exceptions):
        code += _group(exceptions, filter.allow)
    code += _return(filter.allow)
    return b"".join(code)


def _groups(exceptions: tuple[DeviceException, ...]) -> list[list[DeviceException]]:
    """The exceptions by type and major number, wildcards first.

    A device that has the numbers of an exception has those of no later one; so its way through the program ends there,
    whatever the access. Without that the verifier would follow every one of these ways to the end, and its time would
    grow with the square of the number of exceptions; nor does it follow more than 8192 jumps in sequence.
    """
    groups: dict[tuple[str, int], list[DeviceException]] = {}
    for exception in sorted(exceptions, key=lambda one: (one.major != ANY, one.minor != ANY)):
        groups.setdefault((exception.type, exception.major), []).append(exception)
    return list(groups.values())


def _group(exceptions: list[DeviceException], allow: bool) -> list[bytes]:
    """The exceptions of one type and major number, in pieces that a jump's 16 bits can pass over."""
    first = exceptions[0]
    if _speaks_of_all(first, allow):
        return _piece(first, _block(first, allow))
    code = []
    for start in range(0, len(exceptions), _PIECE):
        body = [line for exception in exceptions[start : start + _PIECE] for line in _block(exception, allow)]
        if start + _PIECE >= len(exceptions) and first.major != ANY:
            body += _return(allow)
        code += _piece(first, body)
    return code


def _piece(first: DeviceException, body: list[bytes]) -> list[bytes]:
    """`body` for devices of that type and major number only."""
    if first.major != ANY:
        body = [_instruction(_IF_DIFFERENT, _MAJOR, offset=len(body), value=first.major), *body]
    return [_instruction(_IF_DIFFERENT, _TYPE, offset=len(body), value=_KIND[first.type]), *body]


def _speaks_of_all(exception: DeviceException, allow: bool) -> bool:
    """Whether it decides on every access to every minor number: what would follow cannot be reached."""
    return exception.minor == ANY and exception.access == ALL and not allow


def _block(exception: DeviceException, allow: bool) -> list[bytes]:
    """Return the opposite of `allow` if the exception speaks of this access.

    It allows an access of which it has every part, and denies one of which it has any part. Type and major number have
    been seen to. Devices with other minor numbers go on behind the block.
    """
    code = _return(not allow)
    if allow or exception.access != ALL:
        test = (_IF_EQUAL, _SCRATCH, 0) if allow else (_IF_REGISTERS_DIFFER, _SCRATCH, _ASKED)
        code = [
            _instruction(_COPY, _SCRATCH, _ASKED),
            _instruction(_AND, _SCRATCH, value=exception.access),
            _instruction(*test, offset=len(code)),
            *code,
        ]
        if ANY not in (exception.major, exception.minor):
            code += _return(allow)
    if exception.minor != ANY:
        code.insert(0, _instruction(_IF_DIFFERENT, _MINOR, offset=len(code), value=exception.minor))
    return code


def _return(allow: bool) -> list[bytes]:
    return [_instruction(_SET, _RESULT, value=int(allow)), _instruction(_EXIT)]


def _instruction(operation: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """struct bpf_insn; the value is 32 bits whose sign is up to the operation."""
    return struct.pack("=BBhI", operation, source << 4 | target, offset, value)
