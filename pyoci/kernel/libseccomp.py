"""libseccomp 2.5 or newer: from rules by name to classic BPF (seccomp_init(3) and its family).

Importing this loads the library, so only what has to compile a profile imports it. libseccomp never loads the
filter itself: neither its no_new_privs attribute nor its flags matter here.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import c_char_p, c_int, c_uint, c_void_p

from pyoci.errors import Error
from pyoci.kernel.libc import symbol
from pyoci.trust import check_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Filter", "architecture", "names", "native_architecture", "number", "path", "version"]

SONAME = "libseccomp.so.2"
_CTL_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE, since 2.5.0
_BINARY_TREE = 2
_MOST_CALLS = 1000  # more than any architecture has
_UNKNOWN = -1  # __NR_SCMP_ERROR

try:
    _library = ctypes.PyDLL(SONAME)
except OSError as _error:
    raise Error(
        f"seccomp: config provided but {SONAME} cannot be loaded",
        pointer="/linux/seccomp",
        call=f"dlopen({SONAME}): {_error}",
        hint="install the library: the package is libseccomp2 on Debian and Ubuntu, libseccomp elsewhere",
    ) from None


class _Condition(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (("index", c_uint), ("operator", c_int), ("value", ctypes.c_uint64), ("value_two", ctypes.c_uint64))


class _Version(ctypes.Structure):
    _fields_ = (("major", c_uint), ("minor", c_uint), ("micro", c_uint))


class _DlInfo(ctypes.Structure):
    """Dl_info of dladdr(3)."""

    _fields_ = (("file", c_char_p), ("base", c_void_p), ("symbol", c_char_p), ("address", c_void_p))


def _bind(name: str, result: type | None, *types: type) -> Callable[..., int]:
    prototype = _library[name]
    prototype.argtypes, prototype.restype = types, result
    return prototype


_init = _bind("seccomp_init", c_void_p, ctypes.c_uint32)
_release = _bind("seccomp_release", None, c_void_p)
_arch_add = _bind("seccomp_arch_add", c_int, c_void_p, ctypes.c_uint32)
_arch_native = _bind("seccomp_arch_native", ctypes.c_uint32)
_arch_resolve = _bind("seccomp_arch_resolve_name", ctypes.c_uint32, c_char_p)
_attr_set = _bind("seccomp_attr_set", c_int, c_void_p, c_int, ctypes.c_uint32)
_resolve = _bind("seccomp_syscall_resolve_name", c_int, c_char_p)
_resolve_for = _bind("seccomp_syscall_resolve_name_arch", c_int, ctypes.c_uint32, c_char_p)
_resolve_number = _bind("seccomp_syscall_resolve_num_arch", c_void_p, ctypes.c_uint32, c_int)
_free = symbol("free", (c_void_p,), None)
_rule_add = _bind("seccomp_rule_add_array", c_int, c_void_p, ctypes.c_uint32, c_int, c_uint, c_void_p)
_export = _bind("seccomp_export_bpf", c_int, c_void_p, c_int)
_version = _bind("seccomp_version", c_void_p)


def version() -> str:
    """The loaded library's version, "2.5.4"; not that of any header."""
    found = _Version.from_address(_version())
    return f"{found.major}.{found.minor}.{found.micro}"


def path() -> str:
    """The file the library was loaded from, as the dynamic linker named it (a symbolic link to the real one)."""
    dladdr = symbol("dladdr", (c_void_p, c_void_p), c_int)
    info = _DlInfo()
    if not dladdr(ctypes.cast(_library["seccomp_init"], c_void_p), ctypes.byref(info)):
        return ""
    return os.fsdecode(info.file)


if path():  # the linker alone knows where the library is, so it can be looked at only when it is there
    check_file(path(), top=path().rpartition("/")[0])


def native_architecture() -> int:
    """SCMP_ARCH_* of this machine: an AUDIT_ARCH_* number."""
    return _arch_native()


def architecture(name: str) -> int:
    """SCMP_ARCH_* by libseccomp's name ("x86_64"); 0 if this libseccomp does not know it."""
    return _arch_resolve(name.encode())


def number(name: str, arch: int | None = None) -> int | None:
    """A system call's number, None if libseccomp knows no such name.

    Below 0: it exists, but not on `arch` (native if None); the rule functions accept such a number.
    """
    found = _resolve(name.encode()) if arch is None else _resolve_for(arch, name.encode())
    return None if found == _UNKNOWN else found


def names() -> list[str]:
    """The system calls of this machine that libseccomp knows."""
    found = []
    for call in range(_MOST_CALLS):
        if text := _resolve_number(native_architecture(), call):
            found.append(ctypes.string_at(text).decode("ascii"))
            _free(text)
    return found


class Filter:
    """A filter being made: use as a context manager. Every method raises OSError with the call as its note."""

    def __init__(self, default_action: int) -> None:
        """`default_action`: SCMP_ACT_*, the verdict where no rule applies."""
        self._context = _init(default_action)
        if not self._context:
            raise _failure("seccomp_init", errno.EINVAL, hex(default_action))

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        _release(self._context)

    def add_architecture(self, arch: int) -> None:
        """Apply the rules to this architecture too; the native one is there from the start."""
        result = _arch_add(self._context, arch)
        if result not in (0, -errno.EEXIST):
            raise _failure("seccomp_arch_add", -result, hex(arch))

    def optimize(self) -> None:
        """Find the system call by a binary tree instead of one comparison after the other."""
        result = _attr_set(self._context, _CTL_OPTIMIZE, _BINARY_TREE)
        if result:
            raise _failure("seccomp_attr_set", -result, "SCMP_FLTATR_CTL_OPTIMIZE", str(_BINARY_TREE))

    def add_rule(self, action: int, call: int, conditions: Sequence[tuple[int, int, int, int]]) -> None:
        """`action` for system call number `call` where all `conditions` hold: (index, SCMP_CMP_*, value, value two)."""
        array = (_Condition * len(conditions))(*(_Condition(*condition) for condition in conditions))
        result = _rule_add(self._context, action, call, len(conditions), array)
        if result:
            raise _failure("seccomp_rule_add_array", -result, hex(action), str(call), f"{len(conditions)} conditions")

    def export(self) -> bytes:
        """The program: struct sock_filter[] in this machine's byte order."""
        descriptor = os.memfd_create("seccomp")
        try:
            result = _export(self._context, descriptor)
            if result:
                raise _failure("seccomp_export_bpf", -result)
            return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)


def _failure(name: str, code: int, *arguments: str) -> OSError:
    error = OSError(code, os.strerror(code))
    error.add_note(f"{name}({', '.join(arguments)})")
    return error
