"""The rules of `mounts` and of what else needs a mount namespace (rules/rules.py)."""

from __future__ import annotations

from pyoci.config.node import broken
from pyoci.config.rules.namespaces import extents
from pyoci.config.rules.rule import shown
from pyoci.errors import ConfigError
from pyoci.kernel.constants import MOUNT_ATTR_RDONLY
from pyoci.pathname import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.filesystem import Mount
    from pyoci.config.linux import Linux

MAX_STACKED = 1000  # mounts of one destination: 100,000 would take minutes, and nobody sees any but the last


def violations(config: Config) -> Iterator[ConfigError]:
    """Every rule about mounts that `config` breaks."""
    if len(config.mounts) > MAX_STACKED:
        yield from _stacked(config.mounts)
    for mount in config.mounts:
        yield from _mount(mount)
        if mount.id_map:
            yield from _id_mapped(mount, config.linux)
    for name, paths in (
        ("maskedPaths", config.linux.masked_paths),
        ("readonlyPaths", config.linux.readonly_paths),
    ):
        for path in paths:
            if not path.path.startswith("/"):
                yield broken(path.pointer, "must be an absolute path", f"linux.{name} are paths in the container")
    if config.linux.namespace("mount") is None:
        yield from _without_namespace(config)


def _stacked(mounts: tuple[Mount, ...]) -> Iterator[ConfigError]:
    found: dict[str, int] = {}
    for mount in mounts:
        place = mount.destination.strip("/")
        found[place] = found.get(place, 0) + 1
        if found[place] == MAX_STACKED + 1:
            hint = "the kernel goes through all mounts of a place to make the next one there"
            yield broken(f"{mount.pointer}/destination", f"is the place of {MAX_STACKED} mounts already", hint)


def _mount(mount: Mount) -> Iterator[ConfigError]:
    pointer = mount.pointer
    if not mount.destination:
        yield broken(f"{pointer}/destination", "must not be empty")
    if mount.bind:
        if mount.data:
            refused = "bind mounts cannot have any filesystem-specific options applied"
            message = f"invalid mount {shown(mount.destination)}: {refused}"
            hint = f"remove {shown(', '.join(mount.data))}: the kernel would ignore them"
            yield ConfigError(message, pointer=f"{pointer}/options", hint=hint)
        if not mount.source and not mount.remount:
            yield broken(pointer, "'source' is missing", "a bind mount needs the path of what to show")
    elif not mount.type and not mount.remount:
        hint = 'name a file system, such as "tmpfs", or give the option "bind"'
        yield broken(pointer, "'type' is missing", hint)
    if mount.copy_up and (mount.bind or mount.type != "tmpfs"):
        hint = "remove it, or use a tmpfs"
        yield broken(f"{pointer}/options", "tmpcopyup is possible for a mount of type tmpfs only", hint)


def _id_mapped(mount: Mount, linux: Linux) -> Iterator[ConfigError]:
    """Without mappings of its own the mount gets those of the container's user namespace."""
    invalid = f"invalid mount {shown(mount.destination)}: id-mapped mounts"
    if not mount.bind:
        message = f"{invalid} are only supported for bind-mounts"
        yield ConfigError(message, pointer=mount.pointer, hint='add the option "bind" or "rbind"')
    own = mount.uid_mappings or mount.gid_mappings
    if bool(mount.uid_mappings) != bool(mount.gid_mappings) or not (own or linux.namespace("user")):
        message = f"{invalid} must have both uid and gid mappings specified"
        hint = "give both uidMappings and gidMappings, or neither and a user namespace"
        yield ConfigError(message, pointer=mount.pointer, hint=hint)
    yield from extents(mount.uid_mappings)
    yield from extents(mount.gid_mappings)


def _without_namespace(config: Config) -> Iterator[ConfigError]:
    """What would change the host's mounts; runc 1.6 refuses the same."""
    hint = 'add {"type": "mount"} to linux.namespaces'
    restricted = config.linux.masked_paths or config.linux.readonly_paths
    if restricted:
        message = "unable to restrict sys entries without a private MNT namespace"
        yield ConfigError(message, pointer=restricted[0].pointer.rpartition("/")[0], hint=hint)
    if config.root is not None and config.root.readonly:
        message = "unable to make rootfs read-only without a private MNT namespace"
        yield ConfigError(message, pointer="/root/readonly", hint=hint)
    for mount in config.mounts:
        # A bound /dev would be no trouble to us; to runc it is, which makes it read-only late as well.
        bound = mount.bind and mount.attr_set & MOUNT_ATTR_RDONLY and clean(mount.destination) == "/dev"
        if bound or mount.read_only_later():
            message = f"unable to make {shown(mount.destination)} read-only without a private MNT namespace"
            yield ConfigError(message, pointer=mount.pointer, hint=hint)
