"""Paths by their letters alone: no system call looks whether anything is there, and links are not followed."""

from __future__ import annotations

from pyoci import os


def clean(path: str) -> str:
    """`path` from "/" on, without ".", ".." and empty parts: clean("../a//b/.") == "/a/b". ".." at the top stays there.

    As os.path.normpath, but of two slashes at the beginning one is left: Linux gives them no meaning of their own.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def below(path: str, top: str) -> str:
    """What `path` is below the directory `top`: below("/a/b", "/a") == "/b". "/" for `top` itself, "" outside of it.

    Both are clean; `top` has no slash at its end.
    """
    return path[len(top) :] or "/" if f"{path}/".startswith(f"{top}/") else ""


def absolute(path: str) -> str:
    """`path`, clean; it starts at the working directory unless it starts with a slash."""
    return clean(path if path.startswith("/") else f"{os.getcwd()}/{path}")
