"""The container's file system: `root` and `mounts` (config.md, "Root" and "Mounts")."""

from __future__ import annotations

from pyoci.config.mount_options import fields
from pyoci.config.namespaces import read_mappings
from pyoci.kernel.constants import MOUNT_ATTR_RDONLY
from pyoci.pathname import clean
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.namespaces import IdMapping
    from pyoci.config.node import Node


class Root(Record):
    """`path` as written (relative paths are relative to the bundle)."""

    pointer: str = "/root"
    path: str
    readonly: bool = False


class Mount(Record):
    """One mount, its options sorted by what they do; the table is mount_options.py.

    `attr_*` are MOUNT_ATTR_* of mount_setattr(2) for the top mount, `rec_attr_*` for the whole tree (AT_RECURSIVE).
    An atime option puts MOUNT_ATTR__ATIME into the `clr` and its value into the `set` mask; "atime" and its like put
    the value that they give up into `atime_given_up`.
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
    atime_given_up: tuple[int, ...] = ()  # MOUNT_ATTR_NOATIME, _RELATIME, _STRICTATIME
    rec_attr_set: int = 0
    rec_attr_clr: int = 0
    super_flags: tuple[str, ...] = ()  # "sync", "dirsync", "mand", "lazytime": names for fsconfig(2)
    propagation: tuple[int, ...] = ()  # MS_SHARED | MS_REC and the like, in the order they were written
    data: tuple[str, ...] = ()  # "key=value" or "key", for the file system itself
    copy_up: bool = False  # tmpcopyup
    id_map: str = ""  # "", "idmap" (the top mount) or "ridmap" (the whole tree)
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    remount: bool = False

    def read_only_later(self) -> bool:
        """Whether it is to be read-only, and can be made so only once it is filled: a new tmpfs, or a new /dev."""
        if self.bind or self.remount or not (self.attr_set | self.rec_attr_set) & MOUNT_ATTR_RDONLY:
            return False
        return self.type == "tmpfs" or clean(self.destination) == "/dev"


def read_root(node: Node | None) -> Root | None:
    """`root`, None if there is none. Raises ConfigError if it has no path."""
    if node is None:
        return None
    return Root(path=node.required_string("path"), readonly=node.boolean("readonly"))


def read_mount(node: Node) -> Mount:
    """One entry of `mounts`. Mappings without idmap or ridmap mean idmap, as in runc."""
    options = node.strings("options")
    found = fields(options)
    type = node.string("type")
    if type in ("bind", "rbind"):  # old tools leave the option out; crun reads their configurations the same way
        found["bind"] = True
        if type == "rbind":
            found["recursive"] = True
    if node.value.get("uidMappings") or node.value.get("gidMappings"):
        found["uid_mappings"] = read_mappings(node, "uidMappings")
        found["gid_mappings"] = read_mappings(node, "gidMappings")
        found.setdefault("id_map", "idmap")
    return Mount(
        pointer=node.pointer,
        destination=node.required_string("destination"),
        type=type,
        source=node.string("source"),
        options=options,
        **found,
    )
