"""Modules that others may write are not imported: who can change one would run code as root at the next command.

The launcher has looked at what runs before this module does (native/launcher/trust.c). Everything that is found as a
file of its own from here on, in the standard library, beside the package or in it, is looked at when it is found: the
module, what is compiled of it, every directory above them once, and whatever a symbolic link among them leads to. So a
start costs a few lstat(2), and no file that is not needed is asked about. Who may write a directory on the way could
put another file there at any time; where nobody may, it does not matter whether a file is opened now or looked at now.

Strict from the directory on sys.path downward; above it a directory may be writable if it is sticky, as /var/tmp is.
Foreign owners are the launcher's warning.
"""

from __future__ import annotations

import sys
from _frozen_importlib_external import PathFinder
from posix import getegid, geteuid, getxattr, lstat, readlink

from pyoci.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import stat_result
    from typing import Any

_LINK, _DIRECTORY, _TYPE = 0o120000, 0o040000, 0o170000
_STICKY, _BY_GROUP, _BY_OTHERS = 0o1000, 0o020, 0o002

# struct posix_acl_xattr_entry: tag, permissions, id (linux/posix_acl_xattr.h), after four bytes of version
_ENTRY, _USER, _GROUP_OBJ, _GROUP, _WRITE = 8, 0x02, 0x04, 0x08, 2
_ENODATA, _ENOSYS, _EOPNOTSUPP = 61, 38, 95

_seen: set[str] = set()


# This module stands in sys.meta_path in place of PathFinder: a class of its own would cost every command 20 us.
invalidate_caches = PathFinder.invalidate_caches
find_distributions = PathFinder.find_distributions


def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
    """As PathFinder's. Raises Error where others may write the module."""
    spec = PathFinder.find_spec(name, path, target)
    if spec is not None:
        check(spec)
    return spec


def install() -> None:
    """Find modules by find_spec() from here on. Raises Error if one that is there already should not have been."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = sys.modules[__name__]
    # The launcher has looked at the package and at an interpreter whose standard library is where its name says.
    prefix, _, name = sys.orig_argv[0].rpartition("/bin/")
    library = sys.modules["encodings"].__path__[0].removesuffix("/encodings")
    if library in (f"{prefix}/lib/{name}", f"{prefix}/lib64/{name}") and __spec__ is None:  # from modules.pack
        _seen.update((library, sys.path[-1]))
        return
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        if spec is not None:
            check(spec)


def check(spec: Any) -> None:
    """Raises Error if others may write the module or what is compiled of it."""
    if not spec.has_location:  # a directory without code of its own
        return
    archive = getattr(spec.loader, "archive", "")
    for file in (archive,) if archive else (spec.origin, spec.cached):
        if file and file[0] == "/":
            check_file(file)


def check_file(path: str, top: str = "") -> None:
    """Raises Error if others may write the file, a directory above it or what a link among them leads to.

    Strict up to `top` or what is on sys.path. A file that is not there is none: who makes it may write its directory.
    """
    strict = True
    while path not in _seen:
        try:
            status = lstat(path)
        except OSError:  # nothing compiled there
            status = None
        directory = path.rpartition("/")[0]
        if status is not None:
            kind = status.st_mode & _TYPE
            if kind == _LINK:
                _seen.add(path)
                target = _joined(directory, readlink(path))
                check_file(target, top and target.rpartition("/")[0])
            elif strict or kind != _DIRECTORY or not status.st_mode & _STICKY:
                reason = why(path, status)
                if reason:
                    raise Error(f"refusing to run: {path} {reason}")  # the launcher's words
                if kind == _DIRECTORY:
                    _seen.add(path)
        if path == "/":
            return
        if path == top or path in sys.path:
            strict = False
        path = directory or "/"


def _joined(directory: str, target: str) -> str:
    return target if target[:1] == "/" else f"{directory}/{target}"


def why(path: str, status: stat_result) -> str:
    """In which way others may write it, or "".

    Others are not the group root, nor for an ordinary user that user's own group. acl(5): with an access control list
    the group bits of the mode are its mask, the most that its entries can give. So without a group bit no entry gives
    anything, and with one the entries must be read.
    """
    if status.st_mode & _BY_OTHERS:
        return "is writable by everybody"
    if not status.st_mode & _BY_GROUP:
        return ""
    try:
        entries = getxattr(path, "system.posix_acl_access", follow_symlinks=False)[4:]
    except OSError as error:
        if error.errno not in (_ENODATA, _ENOSYS, _EOPNOTSUPP):
            return f"has an access control list that cannot be read: {error.strerror}"
        return "is writable by a group" if _is_foreign(status.st_gid) else ""
    for start in range(0, len(entries), _ENTRY):
        tag, permissions, number = (
            int.from_bytes(entries[start + first : start + last], "little") for first, last in ((0, 2), (2, 4), (4, 8))
        )
        if not permissions & _WRITE:
            continue
        if tag == _GROUP_OBJ and _is_foreign(status.st_gid):
            return "is writable by a group"
        if (tag == _USER and number not in (0, geteuid())) or (tag == _GROUP and _is_foreign(number)):
            return "is writable by its access control list"
    return ""


def _is_foreign(group: int) -> bool:
    return group != 0 and not (geteuid() != 0 and group == getegid())
