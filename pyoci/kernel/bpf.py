"""bpf(2): programs that decide which devices a v2 cgroup may use (BPF_PROG_TYPE_CGROUP_DEVICE).

The kernel reads as many bytes of the attribute union as it is told and takes the rest for zero; so each attribute is
as long as its last member. BPF_PROG_QUERY is the exception: kernels 6.17 to 7.2 write `revision` at offset 56 whatever
size was passed, so there the whole structure of 64 bytes is given. Descriptors that the kernel returns are
close-on-exec, and 1 or above: as a program to replace, 0 means none.
"""

from __future__ import annotations

import fcntl
import struct
from errno import EACCES, EAGAIN, ENOSPC, EPERM

from pyoci import os
from pyoci.kernel import textfile
from pyoci.kernel.libc import addressof, buffer, c_int, c_uint, c_void_p, number, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ctypes import Array, c_char

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_PROG_TYPE_CGROUP_DEVICE = 15
_CGROUP_DEVICE = 6  # enum bpf_attach_type
_F_ALLOW_MULTI, _F_REPLACE = 2, 4

_NAME = b"pyoci_devices"
_LICENSE = b"Apache"
_IDS = 64  # more programs than a cgroup has
_QUERIES = 10
_LOADS = 30
_LOG_LINES = 20
_LOG_FIRST, _LOG_GROWTH, _LOG_LAST = 65536, 8, 16 * 1024 * 1024 - 1

_bpf = syscall("bpf", number("bpf", x86_64=321, aarch64=280), c_int, c_void_p, c_uint)


def attached(cgroup: int) -> list[int]:
    """The ids of the device programs of the cgroup open as `cgroup`, its ancestors' not included. Raises OSError."""
    room = _IDS
    for _ in range(_QUERIES):
        ids = buffer(4 * room)
        query = _attribute("=IIIIQI36x", cgroup, _CGROUP_DEVICE, 0, 0, addressof(ids), room)
        try:
            _call(_PROG_QUERY, query)
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            room = _count(query)
        else:
            return list(struct.unpack_from(f"={_count(query)}I", ids))
    raise OSError(ENOSPC, "could not get complete list of CGROUP_DEVICE programs")


def _count(query: Array[c_char]) -> int:
    count: int = struct.unpack_from("=I", query, 24)[0]
    return count


def open_program(id: int) -> int | None:
    """A descriptor of the program with that id; None if it is gone or somebody else's."""
    try:
        return _positive(_call(_PROG_GET_FD_BY_ID, _attribute("=III", id, 0, 0)))
    except OSError as error:
        if error.errno not in (EPERM, EACCES) and not isinstance(error, FileNotFoundError):
            raise
        return None


def load_device_program(instructions: bytes) -> int:
    """Have the kernel check and load a program of 8-byte instructions; its descriptor.

    Raises OSError: EPERM without CAP_BPF; EACCES or EINVAL with the verifier's log as second note.
    """
    for attempt in range(_LOADS):
        try:
            return _positive(_load(instructions))
        except OSError as error:
            if error.errno == EAGAIN and attempt < _LOADS - 1:
                continue
            if error.errno != EPERM and (log := _verifier_log(instructions)):
                error.add_note(log)
            raise
    raise AssertionError("unreachable")


def _load(instructions: bytes, log: Array[c_char] | None = None) -> int:
    code, license = buffer(len(instructions), instructions), buffer(len(_LICENSE) + 1, _LICENSE)
    address, size = (addressof(log), len(log)) if log is not None else (0, 0)
    count = len(instructions) // 8
    head = (_PROG_TYPE_CGROUP_DEVICE, count, addressof(code), addressof(license))
    return _call(_PROG_LOAD, _attribute("=IIQQIIQII16s", *head, int(log is not None), size, address, 0, 0, _NAME))


def _verifier_log(instructions: bytes) -> str:
    """The last lines of why the verifier refuses the program, "" if it does not say or has come to accept it."""
    size = _LOG_FIRST
    while True:
        log = buffer(size)
        try:
            os.close(_load(instructions, log))
            return ""
        except OSError as error:
            if error.errno != ENOSPC or size == _LOG_LAST:
                lines = textfile.lines(bytes(log).split(b"\0", 1)[0].strip())
                return os.fsdecode(b"\n".join(lines[-_LOG_LINES:]))
        size = min(size * _LOG_GROWTH, _LOG_LAST)


def attach(cgroup: int, program: int, replace: int | None = None) -> None:
    """Add a program to those of the cgroup, or put it in the place of `replace` without a moment in between."""
    flags = _F_ALLOW_MULTI if replace is None else _F_ALLOW_MULTI | _F_REPLACE
    _call(_PROG_ATTACH, _attribute("=IIIII", cgroup, program, _CGROUP_DEVICE, flags, replace or 0))


def detach(cgroup: int, program: int) -> None:
    """Take a program from the cgroup."""
    _call(_PROG_DETACH, _attribute("=III", cgroup, program, _CGROUP_DEVICE))


def _call(command: int, attribute: Array[c_char]) -> int:
    return _bpf(command, addressof(attribute), len(attribute))


def _attribute(layout: str, *values: object) -> Array[c_char]:
    data = struct.pack(layout, *values)
    return buffer(len(data), data)


def _positive(descriptor: int) -> int:
    """The same program at a descriptor above 0, which is free if our caller was started without stdin."""
    if descriptor > 0:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 1)
    finally:
        os.close(descriptor)
