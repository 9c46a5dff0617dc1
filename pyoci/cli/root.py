"""--root, the directory below which each container has one of its own."""

from __future__ import annotations

from pyoci import environment, os, pathname
from pyoci.errors import Error

SYSTEM = "/run/pyoci"


def default_root() -> str:
    """SYSTEM, or $XDG_RUNTIME_DIR/pyoci for users, and for a root that is one only within a user namespace."""
    directory = environment.variable("XDG_RUNTIME_DIR")
    return f"{directory}/pyoci" if directory and _is_user() else SYSTEM


def absolute(root: str) -> str:
    """--root as given, made absolute. Raises Error for "" and for whatever leads to /."""
    path = pathname.absolute(root) if root else "/"
    if path == "/":
        raise Error("Option --root argument should not be set to /", pointer="--root")
    return path


def make_default_root(root: str) -> None:
    """Make a default root below XDG_RUNTIME_DIR: private, and sticky so that it is not cleaned away with age
    (XDG base directory specification). Raises Error.
    """
    from pyoci.container.state import make_root

    hint = "the path in $XDG_RUNTIME_DIR must be writable by the user; or name a directory with --root"
    try:
        make_root(root)
        os.chmod(root, 0o1700)
    except OSError as error:
        raise Error(f"mkdir {root}: {error.strerror}", pointer="--root", errno=error.errno or 0, hint=hint) from None
    except Error as error:
        error.hint = hint
        raise


def _is_user() -> bool:
    if os.geteuid() != 0:
        return True
    from pyoci import host

    try:
        inside = host.read().user_namespace
    except OSError:  # without /proc nothing is known, and nothing will work either
        return False
    return inside and environment.variable("USER") != "root"
