"""Cgroup directories and files by descriptor.

A planned path such as /sys/fs/cgroup/pids/a/b is opened component by component by the kernel, below the place where
the hierarchies are mounted: no "..", no symbolic or magic link, nothing outside (openat2(2)). Files are then opened
by their constant names from that descriptor. Every descriptor is close-on-exec and closed before its function returns,
but the one that is asked for (CVE-2024-21626 began with a forgotten descriptor of /sys/fs/cgroup).
"""

from __future__ import annotations

from errno import ENODEV, ENOENT, EOPNOTSUPP

from pyoci import os
from pyoci.errors import StepError, os_error_text, system_call
from pyoci.kernel import textfile
from pyoci.kernel.constants import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV
from pyoci.kernel.path import openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
V1_NO_LIMIT = 1 << 62  # v1 has a number for no limit: the highest that is whole pages

_SAFE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Known(str):
    """The path of a cgroup that has to be the one with this inode, which until the next boot no other one gets.

    What has its place by now is another's: to Tree.open() the cgroup is gone. Nothing else tells one path from the
    other, so that whatever takes paths acts on the descriptor whose inode was compared, and never on a successor.
    """

    inode: int = 0


class Directory:
    """An open cgroup directory; `path` serves messages only."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.path = path

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def read(self, name: str) -> bytes:
        """The whole of a file; OSError names its full path."""
        try:
            return textfile.read(name, self.descriptor)
        except OSError as error:
            raise self._explained(error, "read", name) from None

    def write(self, name: str, value: str | bytes) -> None:
        """Write a value in one write(2), as the kernel wants it; OSError names the full path."""
        try:
            file = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=self.descriptor)
            try:
                os.write(file, os.fsencode(value))
            finally:
                os.close(file)
        except OSError as error:
            raise self._explained(error, "write", name, f', "{os.fsdecode(value)}"') from None

    def child(self, name: str) -> Directory:
        """Open a directory in this one: ELOOP for a link, EXDEV where something is mounted."""
        path = f"{self.path}/{name}"
        flags = os.O_RDONLY | os.O_DIRECTORY
        return Directory(openat2(self.descriptor, os.fsencode(name), flags, _SAFE | RESOLVE_NO_XDEV), path)

    def _explained(self, error: OSError, call: str, name: str, argument: str = "") -> OSError:
        error.filename = f"{self.path}/{name}"
        error.add_note(f'{call}("{error.filename}"{argument})')
        return error


class Tree:
    """The place where the hierarchies are mounted, open for the length of a `with` block."""

    def __enter__(self) -> Tree:
        self._roots: dict[str, int] = {}
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._roots.values():
            os.close(descriptor)

    def open(self, path: str) -> Directory:
        """Open the cgroup directory of the absolute `path`. OSError carries the path."""
        below = path.startswith(f"{ROOT}/") or path == ROOT
        root, name = (ROOT, path[len(ROOT) + 1 :]) if below else ("/", path[1:])
        if root not in self._roots:
            self._roots[root] = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            descriptor = openat2(self._roots[root], os.fsencode(name or "."), os.O_RDONLY | os.O_DIRECTORY, _SAFE)
        except OSError as error:
            error.filename = path
            raise
        if not is_known(path, os.fstat(descriptor).st_ino):
            os.close(descriptor)
            raise FileNotFoundError(ENOENT, "another cgroup has its place", path)
        return Directory(descriptor, path)


def known(path: str, inode: int) -> Known:
    """`path`, of the cgroup with `inode` only; 0: of any."""
    found = Known(path)
    found.inode = inode
    return found


def is_known(path: str, inode: int) -> bool:
    """Whether what is at `path` now, which has this inode, is what it stands for."""
    return not isinstance(path, Known) or path.inode in (0, inode)


def keyed(content: bytes, key: bytes) -> bytes:
    r"""The value of `key` in a flat keyed file (b"populated 1\nfrozen 0\n"), b"" if it has none."""
    for line in textfile.lines(content):
        name, _, value = line.partition(b" ")
        if name == key:
            return value
    return b""


def descendants(top: int) -> Iterator[tuple[int, str]]:
    """Every cgroup below the open directory `top`, the deepest first, as (descriptor of its parent, its name).

    The descriptor is valid until the next step. One descriptor is open at any time and there is no recursion: a
    container that may make cgroups can nest them deeper than descriptors, PATH_MAX or our own stack would allow.
    What vanishes meanwhile is passed over.
    """
    current = os.dup(top)
    names: list[str] = []
    pending = [_children(current)]
    try:
        while pending[-1] or names:
            if pending[-1]:
                name = pending[-1].pop()
                try:
                    child = os.open(name, _DIRECTORY, dir_fd=current)
                except OSError as error:
                    if not vanished(error):
                        raise
                    continue
                os.close(current)
                current = child
                names.append(name)
                pending.append(_children(current))
            else:
                parent = os.open("..", _DIRECTORY, dir_fd=current)
                os.close(current)
                current = parent
                pending.pop()
                yield current, names.pop()
    finally:
        os.close(current)


def _children(directory: int) -> list[str]:
    try:
        if not textfile.has_children(directory):
            return []
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        if not vanished(error):
            raise
        return []


def vanished(error: OSError) -> bool:
    """Whether the cgroup was removed: ENOENT when looked up, ENODEV when already open."""
    return isinstance(error, FileNotFoundError) or error.errno == ENODEV


def threaded(error: OSError) -> bool:
    """Whether a file refused because its cgroup holds threads, not processes."""
    return error.errno == EOPNOTSUPP


def failure(what: str, error: OSError, pointer: str, hint: str = "") -> StepError:
    """The error of a cgroup operation, with runc's first words."""
    message = f"unable to apply cgroup configuration: {what}: {os_error_text(error)}"
    return StepError(message, pointer=pointer, call=system_call(error), errno=error.errno or 0, hint=hint)
