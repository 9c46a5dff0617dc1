"""The C library: how a system call is bound, and how its errno becomes an OSError.

Everything goes through ctypes.PyDLL: the GIL stays held, which is what the fork in kernel/clone.py needs,
and a process with one thread loses nothing by it. Nothing here is loaded by name after start-up.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p

__all__ = [
    "c_char_p",
    "c_int",
    "c_long",
    "c_size_t",
    "c_uint",
    "c_ulong",
    "c_void_p",
    "function",
    "libc",
    "number",
    "syscall",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

libc = ctypes.PyDLL(None, use_errno=True)

# Numbers below 424 differ by architecture; from 424 on they are the same everywhere.
_NUMBERS = {
    "x86_64": {
        "pivot_root": 155,
        "keyctl": 250,
        "seccomp": 317,
        "bpf": 321,
        "capset": 126,
        "capget": 125,
        "setgroups": 116,
        "setresuid": 117,
        "setresgid": 119,
    },
    "aarch64": {
        "pivot_root": 41,
        "keyctl": 219,
        "seccomp": 277,
        "bpf": 280,
        "capset": 91,
        "capget": 90,
        "setgroups": 159,
        "setresuid": 147,
        "setresgid": 149,
    },
}
MACHINE = os.uname().machine


def number(name: str) -> int:
    """The number of an old system call on this architecture."""
    try:
        return _NUMBERS[MACHINE][name]
    except KeyError:
        raise OSError(38, f"{name}: pyoci does not know this system call's number on {MACHINE}") from None


def syscall(name: str, number: int, *types: type) -> Callable[..., int]:
    """Bind a system call by number. The result is >= 0; a failure is an OSError whose note is the call."""
    prototype = libc["syscall"]  # subscription gives a function object of our own, attribute access a shared one
    prototype.argtypes, prototype.restype = (c_long, *types), c_long

    def call(*args: object, path: str | bytes | None = None) -> int:
        result: int = prototype(number, *args)
        if result < 0:
            raise failure(name, args, path)
        return result

    return call


def function(name: str, *types: type) -> Callable[..., int]:
    """Bind a function of the C library that returns -1 and sets errno when it fails."""
    prototype = libc[name]
    prototype.argtypes, prototype.restype = types, c_int

    def call(*args: object, path: str | bytes | None = None) -> int:
        result: int = prototype(*args)
        if result < 0:
            raise failure(name, args, path)
        return result

    return call


def failure(name: str, args: tuple[object, ...], path: str | bytes | None = None) -> OSError:
    """The OSError of a call that just failed: FileNotFoundError and the like, with the call as its note."""
    errno = ctypes.get_errno()
    error = OSError(errno, os.strerror(errno), path) if path is not None else OSError(errno, os.strerror(errno))
    error.add_note(f"{name}({', '.join(_argument(arg) for arg in args)})")
    return error


def _argument(value: object) -> str:
    if isinstance(value, bytes):
        return '"' + value.decode("utf-8", "backslashreplace") + '"'
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value) if -4096 < value < 4096 else hex(value)
    return "..."
