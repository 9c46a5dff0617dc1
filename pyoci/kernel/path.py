"""openat2(2): names below a root that somebody else controls, resolved without ever leaving it.

The decision: docs/decisions/names-by-descriptor.md.
"""

from __future__ import annotations

import stat
import struct
from errno import EAGAIN, EEXIST, ELOOP

from pyoci import os
from pyoci.kernel.constants import PATH_MAX, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS
from pyoci.kernel.libc import addressof, buffer, c_char_p, c_int, c_size_t, c_void_p, function, number, syscall

_ATTEMPTS = 1000  # whoever renames or mounts all the time, anywhere, spoils a lookup with ".." in it
MAX_LINKS = 40  # as the kernel's MAXSYMLINKS
_O_DIRECTORY_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


_fstatfs = function("fstatfs", c_int, c_void_p)
_openat2 = syscall("openat2", 437, c_int, c_char_p, c_void_p, c_size_t)


def openat2(directory: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """Open `path` below `directory`. EAGAIN, a race with a rename elsewhere on the system, is tried again."""
    how = struct.pack("3Q", flags | os.O_CLOEXEC, mode, resolve)  # struct open_how
    for attempt in range(_ATTEMPTS):
        try:
            return _openat2(directory, path, how, len(how), path=path)
        except OSError as error:
            if error.errno != EAGAIN or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def filesystem_type(descriptor: int) -> int:
    """f_type of fstatfs(2), also for an O_PATH descriptor: the file system's magic number."""
    memory = buffer(512)  # struct statfs has 120 bytes; f_type is the long at its start
    _fstatfs(descriptor, addressof(memory))
    return int.from_bytes(memory.raw[:8], "little")


def is_below_root() -> bool:
    """Whether the working directory has a path below this process's root.

    getcwd(2) puts "(unreachable)" before that of any other. The C library, and so os.getcwd(), does not take that for
    an answer and looks by "..": it ends at whatever directory is the same as the root, though the way there is another
    one, as the host's way to the root file system is, or one in another mount namespace.
    """
    getcwd = syscall("getcwd", number("getcwd", x86_64=79, aarch64=17), c_void_p, c_size_t)
    memory = buffer(PATH_MAX)
    try:
        getcwd(addressof(memory), len(memory))
    except OSError:
        return False
    return memory.raw[:1] == b"/"


def open_in_root(root: int, path: bytes, flags: int = os.O_PATH, resolve: int = 0) -> int:
    """Open `path` as a process whose root is `root` would, magic links refused."""
    return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve)


class _Walk:
    """A position below a root: the descriptors from the root down to where we are. ".." pops; nothing opens ".."."""

    def __init__(self, root: int) -> None:
        self.stack = [os.open(".", _O_DIRECTORY_PATH, dir_fd=root)]

    def here(self) -> int:
        return self.stack[-1]

    def up(self) -> None:
        if len(self.stack) > 1:
            os.close(self.stack.pop())

    def to_root(self) -> None:
        while len(self.stack) > 1:
            os.close(self.stack.pop())

    def close(self) -> None:
        for descriptor in self.stack:
            os.close(descriptor)


def ensure(root: int, path: bytes, directory: bool, mode: int = 0o755) -> int:
    """Open `path` below `root` (O_PATH), making what is missing: directories, and at its end one or an empty file.

    A dangling link is followed and what it names is made, inside the root, as runc does. Every component is opened on
    its own, without following links, from the descriptor of the one before; so a swap of a name can lead elsewhere
    below the root, never out of it (CVE-2024-45310).
    """
    try:
        return open_in_root(root, path)
    except (FileNotFoundError, BlockingIOError):  # EAGAIN: the walk below needs no luck
        pass
    walk = _Walk(root)
    try:
        return _ensure(walk, path, directory, mode)
    except OSError as error:
        error.filename = path  # not the one component at which it failed
        raise
    finally:
        walk.close()


def _ensure(walk: _Walk, path: bytes, directory: bool, mode: int) -> int:
    pending = [part for part in path.split(b"/") if part not in (b"", b".")][::-1]
    links = 0
    while pending:
        part = pending.pop()
        if part == b"..":
            walk.up()
            continue
        last = not pending
        try:
            child = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=walk.here())
        except FileNotFoundError:
            child = _make(walk.here(), part, directory or not last, mode)
        kind = os.fstat(child).st_mode
        if stat.S_ISLNK(kind):
            links += 1
            target = os.readlink(b"", dir_fd=child)
            os.close(child)
            if links > MAX_LINKS:
                raise OSError(ELOOP, os.strerror(ELOOP), path)
            if target.startswith(b"/"):
                walk.to_root()
            pending += [part for part in target.split(b"/") if part not in (b"", b".")][::-1]
        elif last:
            return child
        else:
            walk.stack.append(child)
    return os.open(".", _O_DIRECTORY_PATH, dir_fd=walk.here())


def _make(directory: int, name: bytes, is_directory: bool, mode: int) -> int:
    """Make one directory or empty file and open it (O_PATH); one that somebody else just made will do as well."""
    if is_directory:
        try:
            os.mkdir(name, mode, dir_fd=directory)
        except OSError as error:
            if error.errno != EEXIST:
                error.add_note(f'mkdirat({directory}, "{os.fsdecode(name)}", {mode:#o})')
                raise
        return os.open(name, _O_DIRECTORY_PATH, dir_fd=directory)
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
    try:
        os.close(os.open(name, flags, 0o644, dir_fd=directory))
    except OSError as error:
        if error.errno != EEXIST:
            error.add_note(f'openat({directory}, "{os.fsdecode(name)}", O_CREAT|O_EXCL|O_NOFOLLOW|O_WRONLY)')
            raise
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
