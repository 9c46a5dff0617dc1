"""The C library: how a system call is bound, and how its errno becomes an OSError.

ctypes without the ctypes package: its C half, `_ctypes`, is all that is needed, and importing the package around it
costs 2.5 ms of every command (docs/measurements.md). Every call holds the GIL (FUNCFLAG_PYTHONAPI, as ctypes.PyDLL
does), which the fork in kernel/clone.py needs, and a process with one thread loses nothing by it.
"""

from __future__ import annotations

from errno import ENOSYS

from pyoci import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import Array, addressof, c_char, c_char_p, c_int, c_long, c_size_t, c_uint, c_ulong, c_void_p, get_errno
    from typing import Any
else:
    from _ctypes import (
        FUNCFLAG_CDECL,
        FUNCFLAG_PYTHONAPI,
        FUNCFLAG_USE_ERRNO,
        CFuncPtr,
        _SimpleCData,
        addressof,
        dlopen,
        dlsym,
        get_errno,
    )

    class c_char(_SimpleCData):
        _type_ = "c"

    class c_char_p(_SimpleCData):
        """A pointer to bytes that end with NUL, or NULL."""

        _type_ = "z"

    class c_int(_SimpleCData):
        """An int."""

        _type_ = "i"

    class c_uint(_SimpleCData):
        """An unsigned int."""

        _type_ = "I"

    class c_long(_SimpleCData):
        """A long."""

        _type_ = "l"

    class c_ulong(_SimpleCData):
        """An unsigned long."""

        _type_ = "L"

    class c_void_p(_SimpleCData):
        """An address, or NULL."""

        _type_ = "P"

    c_size_t = c_ulong

    class _Prototype(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI | FUNCFLAG_USE_ERRNO
        _restype_ = c_int

    _program = dlopen(None, 0)  # this process and every library it has

if TYPE_CHECKING:
    _Prototype: Any
    _program: Any
    dlsym: Any

__all__ = [
    "addressof",
    "buffer",
    "c_char_p",
    "c_int",
    "c_long",
    "c_size_t",
    "c_uint",
    "c_ulong",
    "c_void_p",
    "function",
    "number",
    "pointers",
    "symbol",
    "syscall",
]

MACHINE = os.uname().machine


def number(name: str, **numbers: int) -> int:
    """The number of a system call below 424 on this machine: these differ by architecture (uname(2) names them), those
    from 424 on are the same everywhere. Raises OSError (ENOSYS) on a machine for which none is given.
    """
    found = numbers.get(MACHINE)
    if found is None:
        raise OSError(ENOSYS, f"{name}: pyoci does not know this system call's number on {MACHINE}")
    return found


def symbol(name: str, types: tuple[type, ...], result: type | None) -> Callable[..., int]:
    """The function `name` of this process with these C types, as a callable of its own."""
    prototype = _Prototype(dlsym(_program, name))
    prototype.argtypes, prototype.restype = types, result
    bound: Callable[..., int] = prototype
    return bound


def syscall(name: str, number: int, *types: type) -> Callable[..., int]:
    """Bind a system call by number. The result is >= 0; a failure is an OSError whose note is the call."""
    prototype = symbol("syscall", (c_long, *types), c_long)

    def call(*args: object, path: str | bytes | None = None) -> int:
        result = prototype(number, *args)
        if result < 0:
            raise failure(name, types, args, path)
        return result

    return call


def function(name: str, *types: type) -> Callable[..., int]:
    """Bind a function of the C library that returns -1 and sets errno when it fails."""
    prototype = symbol(name, types, c_int)

    def call(*args: object, path: str | bytes | None = None) -> int:
        result = prototype(*args)
        if result < 0:
            raise failure(name, types, args, path)
        return result

    return call


def failure(name: str, types: tuple[type, ...], args: tuple[object, ...], path: str | bytes | None = None) -> OSError:
    """The OSError of a call that just failed: FileNotFoundError and the like, with the call as its note.

    types: what the call was bound with; they tell an address from a number.
    """
    errno = get_errno()
    error = OSError(errno, os.strerror(errno), path) if path is not None else OSError(errno, os.strerror(errno))
    error.add_note(f"{name}({', '.join(map(_argument, types, args))})")
    return error


def _argument(kind: type, value: object) -> str:
    """As strace writes it, but for what a pointer points to: an address says nothing to whoever reads the error, and
    tells a stranger how our memory lies."""
    if value is None:
        return "NULL"
    if kind is c_void_p:
        return "{...}"
    if isinstance(value, bytes):
        return "{...}" if b"\0" in value else '"' + value.decode("utf-8", "backslashreplace") + '"'
    if isinstance(value, int):
        return str(value) if -4096 < value < 4096 else hex(value)
    return "..."


def buffer(size: int, data: bytes = b"") -> Array[c_char]:
    """Zeroed memory that the kernel may write to, `data` at its start."""
    memory = (c_char * size)()
    memory.raw = data.ljust(size, b"\0")
    return memory


def pointers(values: list[bytes], spare: int = 0) -> Array[c_char_p]:
    """An array of pointers to C strings, `spare` free places and NULL at its end."""
    return (c_char_p * (len(values) + spare + 1))(*values)
