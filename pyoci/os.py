"""What pyoci needs of the standard `os`: the system calls, which `posix` has, and a few functions around them.

Importing `os` takes 1.1 ms of every command, half of it for the abstract classes of _collections_abc, and an
interpreter without `site` has not done so yet (docs/measurements.md). Commands that nobody waits for, and rare branches
in the runtime's own process, import the standard one where they need more. Names and texts are UTF-8 with
surrogateescape, as with `-X utf8`, which the launcher gives.
"""

from __future__ import annotations

import posix
from posix import *  # noqa: F403  - the system calls, all of them
from posix import _exit as _exit
from posix import fspath, getcwd, stat, stat_result, unsetenv

del environ  # noqa: F821  - of bytes, unlike the standard one; variable() and variables() are for that

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike

    Path = str | bytes | PathLike[str] | PathLike[bytes]


def fsencode(name: Path) -> bytes:
    """As os.fsencode."""
    name = fspath(name)
    return name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name


def fsdecode(name: Path) -> str:
    """As os.fsdecode."""
    name = fspath(name)
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def variables() -> dict[str, str]:
    """The environment, a copy of it."""
    return {fsdecode(name): fsdecode(value) for name, value in posix.environ.items()}


def variable(name: str, default: str = "") -> str:
    """One variable of the environment."""
    return fsdecode(posix.environ.get(fsencode(name), default))


def take_variable(name: str) -> str | None:
    """Remove a variable of the environment: no program started from here gets it, nor a later import of `os`."""
    unsetenv(name)
    value = posix.environ.pop(fsencode(name), None)
    return None if value is None else fsdecode(value)


def open_for_appending(name: Path, more: int = 0) -> int:
    """A descriptor of a file to write to, made if it is not there. more: further flags of open(2).

    Raises OSError: ENXIO for a FIFO that nobody reads, which open(2) would wait for.
    """
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC | posix.O_NOCTTY | posix.O_NONBLOCK
    file = posix.open(name, flags | more, 0o644)
    posix.set_blocking(file, True)
    return file


def _status(name: Path, follow_symlinks: bool = True) -> stat_result | None:
    try:
        return stat(name, follow_symlinks=follow_symlinks)
    except (OSError, ValueError):
        return None


class path:
    """Of os.path what pyoci needs; as there, but for abspath."""

    @staticmethod
    def exists(name: Path) -> bool:
        return _status(name) is not None

    @staticmethod
    def lexists(name: Path) -> bool:
        return _status(name, follow_symlinks=False) is not None

    @staticmethod
    def isdir(name: Path) -> bool:
        status = _status(name)
        return status is not None and status.st_mode & 0o170000 == 0o040000

    @staticmethod
    def isfile(name: Path) -> bool:
        status = _status(name)
        return status is not None and status.st_mode & 0o170000 == 0o100000

    @staticmethod
    def samestat(one: stat_result, other: stat_result) -> bool:
        return one.st_ino == other.st_ino and one.st_dev == other.st_dev

    @staticmethod
    def join(directory: str, name: str) -> str:
        if name.startswith("/"):
            return name
        slash = "" if directory[-1:] in ("", "/") else "/"
        return f"{directory}{slash}{name}"

    @staticmethod
    def abspath(name: str) -> str:
        """As os.path.abspath, without ".", ".." and empty parts; but two slashes at the beginning are one, too."""
        parts: list[str] = []
        for part in (name if name.startswith("/") else f"{getcwd()}/{name}").split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)
