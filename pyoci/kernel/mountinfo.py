"""The mounts of a process as /proc/PID/mountinfo lists them (proc_pid_mountinfo(5))."""

from __future__ import annotations

from pyoci import os
from pyoci.kernel import textfile


class Mount:
    """One line.

    root, point: what of its file system it shows, and where: bytes that others chose, with the octal escapes of the
    file; unescape() makes names of them. options: those of the mount; superblock: those of its file system.
    """

    __slots__ = ("id", "kind", "options", "parent", "point", "root", "superblock")

    def __init__(self, line: bytes) -> None:
        before, _, after = line.partition(b" - ")
        id, parent, _, self.root, self.point, options = before.split(b" ", 6)[:6]
        self.id, self.parent = int(id), int(parent)
        self.options = options.split(b",")
        self.kind = os.fsdecode(after.partition(b" ")[0])
        self.superblock = os.fsdecode(after.rpartition(b" ")[2])


def mounts(content: bytes) -> list[Mount]:
    """Every mount, in the file's order."""
    return [Mount(line) for line in textfile.lines(content)]


def unescape(field: bytes) -> str:
    r"""A path as it is; in the file blanks and backslashes are three octal digits: "\040"."""
    first, *rest = field.split(b"\\")
    return os.fsdecode(first + b"".join([bytes((int(part[:3], 8),)) + part[3:] for part in rest]))
