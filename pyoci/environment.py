"""The environment of this process. Names and values are text as in pyoci/os.py: bytes that are no UTF-8 survive."""

from __future__ import annotations

import posix

from pyoci import os

_DIRECTORIES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where there is no PATH


def variables() -> dict[str, str]:
    """All of them, a copy."""
    return {os.fsdecode(name): os.fsdecode(value) for name, value in posix.environ.items()}


def variable(name: str, default: str = "") -> str:
    """One of them."""
    return os.fsdecode(posix.environ.get(os.fsencode(name), default))


def take_variable(name: str) -> str | None:
    """Remove a variable: no program started from here gets it, nor a later import of the standard `os`."""
    os.unsetenv(name)
    value = posix.environ.pop(os.fsencode(name), None)
    return None if value is None else os.fsdecode(value)


def find_program(name: str) -> str:
    """The first executable file of that name in the directories of PATH, or "". Entries that are empty or relative are
    passed over: they would lead to the working directory, which may be anybody's."""
    for directory in variable("PATH", _DIRECTORIES).split(":"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""
