"""What pyoci needs of the standard `os`, and nothing else: the system calls, which `posix` has, and a few functions.

Importing `os` takes 1.1 ms of every command, half of it for the abstract classes of _collections_abc, and an
interpreter without `site` has not done so yet (docs/measurements.md). Commands that nobody waits for, and rare branches
in the runtime's own process, import the standard one where they need more. Names and texts are UTF-8 with
surrogateescape, as with `-X utf8`, which the launcher gives.
"""

from __future__ import annotations

from posix import *  # noqa: F403  - the system calls, all of them
from posix import _exit as _exit
from posix import fspath, stat, stat_result

del environ  # noqa: F821  - of bytes, unlike the standard one; pyoci/environment.py has them as text

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


def _status(name: Path, follow_symlinks: bool = True) -> stat_result | None:
    try:
        return stat(name, follow_symlinks=follow_symlinks)
    except (OSError, ValueError):
        return None


class path:
    """Of os.path what pyoci needs."""

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
