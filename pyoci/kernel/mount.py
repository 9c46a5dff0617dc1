"""The mount API by descriptor: fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2).

No function here takes the name of a target: a mount is made detached, given its attributes, and moved onto a
descriptor. So no name can be swapped between the check and the mount (CVE-2021-30465 and its successors).
"""

from __future__ import annotations

import struct

from pyoci import os
from pyoci.kernel.constants import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_CMD_RECONFIGURE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    FSPICK_CLOEXEC,
    FSPICK_EMPTY_PATH,
    MNT_DETACH,
    MOUNT_ATTR_IDMAP,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    MS_MOVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from pyoci.kernel.libc import c_char_p, c_int, c_size_t, c_uint, c_ulong, c_void_p, function, number, syscall

# fsconfig(2) refuses longer strings; such data (overlay's lowerdir) goes through mount(2).
FSCONFIG_MAX = 255


_open_tree = syscall("open_tree", 428, c_int, c_char_p, c_uint)
_move_mount = syscall("move_mount", 429, c_int, c_char_p, c_int, c_char_p, c_uint)
_fsopen = syscall("fsopen", 430, c_char_p, c_uint)
_fsconfig = syscall("fsconfig", 431, c_int, c_uint, c_char_p, c_char_p, c_int)
_fsmount = syscall("fsmount", 432, c_int, c_uint, c_uint)
_fspick = syscall("fspick", 433, c_int, c_char_p, c_uint)
_mount_setattr = syscall("mount_setattr", 442, c_int, c_char_p, c_uint, c_void_p, c_size_t)
_pivot_root = syscall("pivot_root", number("pivot_root", x86_64=155, aarch64=41), c_char_p, c_char_p)
_umount2 = function("umount2", c_char_p, c_int)
_mount = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)


def new_filesystem(
    kind: str, source: str = "", data: tuple[str, ...] = (), flags: tuple[str, ...] = (), attributes: int = 0
) -> int:
    """A detached mount of a new filesystem: descriptor, close-on-exec.

    `data` are `key=value` or `key`; `flags` are superblock flags by name ("ro", "sync"); `attributes` are
    MOUNT_ATTR_*. Raises OSError: its file name is the item of `data` or `flags` that was refused, if it was one; what
    the filesystem logged about it is the error's second note.
    """
    context = _fsopen(kind.encode(), FSOPEN_CLOEXEC, path=kind)
    try:
        if source:
            _fsconfig(context, FSCONFIG_SET_STRING, b"source", source.encode(), 0)
        _configure(context, data, flags)
        _fsconfig(context, FSCONFIG_CMD_CREATE, None, None, 0)
        return _fsmount(context, FSMOUNT_CLOEXEC, attributes)
    except OSError as error:
        log = _context_log(context)
        if log:
            error.add_note(log)
        raise
    finally:
        os.close(context)


def _configure(context: int, data: tuple[str, ...], flags: tuple[str, ...]) -> None:
    for name in flags:
        _fsconfig(context, FSCONFIG_SET_FLAG, name.encode(), None, 0, path=name)
    for item in data:
        key, equals, value = item.partition("=")
        if key.endswith("context") and value[:1] == '"' == value[-1:]:
            value = value[1:-1]  # SELinux labels: the quotes are mount(8)'s, for the commas
        if equals:
            _fsconfig(context, FSCONFIG_SET_STRING, key.encode(), value.encode(), 0, path=item)
        else:
            _fsconfig(context, FSCONFIG_SET_FLAG, key.encode(), None, 0, path=item)


def _context_log(context: int) -> str:
    """What the kernel says about the last fsconfig(2) or fsmount(2) that failed: "tmpfs: Bad value for 'size'".

    It says "e ", "w " or "i " before each line: how grave it is.
    """
    lines: list[str] = []
    try:
        while line := os.read(context, 1024):
            text = line.decode("utf-8", "backslashreplace").strip()
            text = text[2:] if text[:2] in ("e ", "w ", "i ") else text
            if text not in lines:  # some filesystems look at an option twice
                lines.append(text)
    except OSError:  # ENODATA: no further line
        pass
    return "; ".join(lines)


def open_place(path: bytes) -> int:
    """Open `path` (O_PATH) as clone_tree() would: an automount is triggered, links are followed."""
    return _open_tree(AT_FDCWD, path, OPEN_TREE_CLOEXEC, path=path)


def clone_tree(directory: int, path: bytes = b"", recursive: bool = False) -> int:
    """A detached copy of the mount at `path` below `directory` ("": the descriptor itself), as a bind mount is."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    return _open_tree(directory, path, flags, path=path or None)


def attach(tree: int, target: int) -> None:
    """Put the detached mount `tree` on top of the open file or directory `target`."""
    _move_mount(tree, b"", target, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


def set_attributes(tree: int, set: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False) -> None:
    """Change a mount's MOUNT_ATTR_* flags and propagation (MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE)."""
    _change(tree, recursive, set, clear, propagation, 0)


def set_idmap(tree: int, user_namespace: int, recursive: bool = False) -> None:
    """Translate owners on this detached mount by the mappings of a user namespace."""
    _change(tree, recursive, MOUNT_ATTR_IDMAP, 0, 0, user_namespace)


def _change(tree: int, recursive: bool, *attributes: int) -> None:
    """`attributes` are those of struct mount_attr: attr_set, attr_clr, propagation, userns_fd."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _mount_setattr(tree, b"", flags, struct.pack("4Q", *attributes), 32)


def reconfigure(target: int, data: tuple[str, ...], flags: tuple[str, ...]) -> None:
    """Change options of the file system that the descriptor's mount belongs to; what is not named stays."""
    context = _fspick(target, b"", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH)
    try:
        _configure(context, data, flags)
        _fsconfig(context, FSCONFIG_CMD_RECONFIGURE, None, None, 0)
    except OSError as error:
        log = _context_log(context)
        if log:
            error.add_note(log)
        raise
    finally:
        os.close(context)


def mount_long_data(kind: str, source: str, target: bytes, data: str, flags: int = 0) -> None:
    """mount(2) of a new filesystem on `target`, a name below a procfs fd directory that is the working directory."""
    _mount(source.encode(), target, kind.encode(), flags, data.encode(), path=target)


def pivot_root_here() -> None:
    """pivot_root(2) with "." for both: the old root ends up on top of the new one, at ".."."""
    _pivot_root(b".", b".")


def move_here_to_root() -> None:
    """Move the mount that the working directory is on to "/" (MS_MOVE), for roots that cannot be pivoted."""
    _mount(b".", b"/", None, MS_MOVE, None)


def unmount(path: bytes, flags: int = MNT_DETACH) -> None:
    """umount2(2); by default the mount vanishes at once, and is given up when nobody uses it any more."""
    _umount2(path, flags, path=path)
