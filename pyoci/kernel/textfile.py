r"""Files of /proc, /sys and the cgroups: bytes, in lines that end with b"\n" and nothing else.

Names that others chose stand in them: of a thread, a mount point, a cgroup. One may hold a carriage return, a vertical
tab, U+2028, or be no UTF-8. Text mode takes the first for the end of a line, str.splitlines() takes all of them, and
str.split() knows more blanks than the kernel; so a name could pass for a line of the kernel's own. Here lines are split
as bytes, and only what has been cut out becomes text: os.fsdecode() keeps every byte of a name.
"""

from __future__ import annotations

from pyoci import os

_CHUNK = 65536


def read(path: str, directory: int | None = None) -> bytes:
    """The whole of a file, below the open `directory` if one is given. Raises OSError with the path."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        content = b""
        while chunk := os.read(file, _CHUNK):
            content += chunk
        return content
    except OSError as error:  # read(2) does not know the name
        error.filename = path
        raise
    finally:
        os.close(file)


def read_if_there(path: str, directory: int | None = None) -> bytes:
    """The same; b"" if it cannot be read, as when its process or cgroup is gone."""
    try:
        return read(path, directory)
    except OSError:
        return b""


def is_frozen(cgroup: int, version: int) -> bool:
    """Whether the cgroup open as `cgroup` was itself asked to freeze, which may take a moment. Raises OSError.

    Here and not in cgroups, because `state` does without its modules.
    """
    return read("freezer.self_freezing" if version == 1 else "cgroup.freeze", cgroup) == b"1\n"


def has_children(cgroup: str | int) -> bool:
    """Whether there are cgroups below this one, a path or a descriptor; kernfs counts sub-directories as links.

    Here because `kill` does without the modules of cgroups, too. Raises OSError.
    """
    return os.stat(cgroup).st_nlink > 2


def lines(content: bytes) -> list[bytes]:
    """The lines, without their ends."""
    return content.removesuffix(b"\n").split(b"\n") if content else []
