"""The container's file system: `root` and `mounts` (config.md, "Root" and "Mounts")."""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .namespaces import IdMapping


class Root(Record):
    """`path` as written (relative paths are relative to the bundle)."""

    pointer: str = "/root"
    path: str
    readonly: bool = False


class Mount(Record):
    """One mount, its options sorted by what they do; the table is mount_options.py.

    `attr_*` are MOUNT_ATTR_* of mount_setattr(2) for the top mount, `rec_attr_*` for the whole tree (AT_RECURSIVE).
    An atime option puts MOUNT_ATTR__ATIME into the `clr` and its value into the `set` mask.
    """

    pointer: str
    destination: str  # as written, may be relative (then relative to /)
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()  # as written
    bind: bool = False
    recursive: bool = False  # rbind
    attr_set: int = 0
    attr_clr: int = 0
    rec_attr_set: int = 0
    rec_attr_clr: int = 0
    super_flags: tuple[str, ...] = ()  # "sync", "dirsync", "mand", "lazytime", "silent", "iversion"; never "ro"
    propagation: tuple[int, ...] = ()  # MS_SHARED | MS_REC and the like, in the order they were written
    data: tuple[str, ...] = ()  # "key=value" or "key", for the file system itself
    copy_up: bool = False  # tmpcopyup
    id_map: str = ""  # "", "idmap" (the top mount) or "ridmap" (the whole tree)
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    remount: bool = False
