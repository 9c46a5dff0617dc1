"""The rules of namespaces, id mappings and clock offsets (rules/rules.py)."""

from __future__ import annotations

from pyoci.config.namespaces import CLOCKS
from pyoci.config.node import broken
from pyoci.config.rules.rule import quoted
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.linux import Linux
    from pyoci.config.namespaces import IdMapping, Namespace
    from pyoci.config.process import User

MAX_EXTENTS = 340  # lines in /proc/PID/uid_map (user_namespaces(7))


def violations(config: Config) -> Iterator[ConfigError]:
    """Every rule about namespaces that `config` breaks."""
    linux = config.linux
    yield from _types(linux.namespaces)
    user = linux.namespace("user")
    if user is None:
        for name, mappings in (("uidMappings", linux.uid_mappings), ("gidMappings", linux.gid_mappings)):
            if mappings:
                message = "user namespace mappings specified, but user namespace isn't enabled in the config"
                hint = 'add {"type": "user"} to linux.namespaces or remove the mappings'
                yield ConfigError(message, pointer=f"{linux.pointer}/{name}", hint=hint)
    elif not user.path:
        yield from _own_user_namespace(linux)
        if config.process is not None and max(len(linux.uid_mappings), len(linux.gid_mappings)) <= MAX_EXTENTS:
            yield from _mapped_user(linux, config.process.user)
    yield from extents(linux.uid_mappings)
    yield from extents(linux.gid_mappings)
    yield from _clocks(linux)
    if linux.namespace("uts") is None:
        hint = 'add {"type": "uts"} to linux.namespaces'
        for key, value in (("hostname", config.hostname), ("domainname", config.domainname)):
            if value:
                yield ConfigError(f"unable to set {key} without a private UTS namespace", pointer=f"/{key}", hint=hint)
    for key, value in (("hostname", config.hostname), ("domainname", config.domainname)):
        if value and len(value.encode()) > 64:
            yield broken(f"/{key}", "must be at most 64 bytes long", "the kernel takes no more (sethostname(2))")


def _types(namespaces: tuple[Namespace, ...]) -> Iterator[ConfigError]:
    seen = set()
    for namespace in namespaces:
        if namespace.type in seen:
            message = f"malformed spec file: duplicated ns {quoted(namespace.type)}"
            yield ConfigError(message, pointer=namespace.pointer, hint="keep one of them")
        seen.add(namespace.type)
        if namespace.path and not namespace.path.startswith("/"):
            hint = "it is a path on the host, such as /proc/PID/ns/net"
            yield broken(f"{namespace.pointer}/path", "must be an absolute path", hint)


def _own_user_namespace(linux: Linux) -> Iterator[ConfigError]:
    """The container's set-up runs as its root, so that both kinds of id 0 have to exist."""
    for kind, mappings in (("uid", linux.uid_mappings), ("gid", linux.gid_mappings)):
        if not mappings:
            message = f"user namespaces enabled, but no {kind} mappings found"
            hint = f"add linux.{kind}Mappings"
            yield ConfigError(message, pointer=f"{linux.pointer}/{kind}Mappings", hint=hint)
        elif not mapped(0, mappings):
            message = f"user namespaces enabled, but no mapping found for {kind} 0"
            hint = "map containerID 0: the container is set up as its root"
            yield ConfigError(message, pointer=f"{linux.pointer}/{kind}Mappings", hint=hint)


def _mapped_user(linux: Linux, user: User) -> Iterator[ConfigError]:
    hint = "add it to the mappings of linux, or use one that they have"
    if linux.uid_mappings and not mapped(user.uid, linux.uid_mappings):
        message = f"cannot setuid to unmapped uid {user.uid} in user namespace"
        yield ConfigError(message, pointer=f"{user.pointer}/uid", hint=hint)
    if not linux.gid_mappings:
        return
    if not mapped(user.gid, linux.gid_mappings):
        message = f"cannot setgid to unmapped gid {user.gid} in user namespace"
        yield ConfigError(message, pointer=f"{user.pointer}/gid", hint=hint)
    for index, gid in enumerate(user.additional_gids):
        if not mapped(gid, linux.gid_mappings):
            message = f"cannot setgroups to unmapped gid {gid} in user namespace"
            yield ConfigError(message, pointer=f"{user.pointer}/additionalGids/{index}", hint=hint)


def mapped(id: int, mappings: tuple[IdMapping, ...]) -> bool:
    """`id` exists in a user namespace with these mappings."""
    return any(mapping.container_id <= id < mapping.container_id + mapping.size for mapping in mappings)


def extents(mappings: tuple[IdMapping, ...]) -> Iterator[ConfigError]:
    """What the kernel would answer EINVAL to (user_namespaces(7)), told for each mapping; also for mounts' mappings."""
    if len(mappings) > MAX_EXTENTS:
        yield broken(mappings[MAX_EXTENTS].pointer, f"there are {len(mappings)} mappings, {MAX_EXTENTS} are possible")
        return
    for mapping in mappings:
        pointer = mapping.pointer
        if mapping.size == 0:
            yield broken(f"{pointer}/size", "must be at least 1", "remove the mapping")
        for key, first in (("containerID", mapping.container_id), ("hostID", mapping.host_id)):
            if first + mapping.size > 2**32 - 1:
                yield broken(f"{pointer}/{key}", f"the mapping ends at {first + mapping.size - 1}, ids at {2**32 - 2}")
    yield from _overlaps(mappings, "containerID", [mapping.container_id for mapping in mappings])
    yield from _overlaps(mappings, "hostID", [mapping.host_id for mapping in mappings])


def _overlaps(mappings: tuple[IdMapping, ...], key: str, firsts: list[int]) -> Iterator[ConfigError]:
    """Mappings that begin before another one has ended, in the order of their ids: there may be many lists of them."""
    end, widest = -1, 0
    for index in sorted(range(len(mappings)), key=lambda index: firsts[index]):
        mapping = mappings[index]
        if mapping.size and firsts[index] < end:
            one, other = max(index, widest), min(index, widest)
            yield broken(f"{mappings[one].pointer}/{key}", f"overlaps with {mappings[other].pointer}")
        if firsts[index] + mapping.size > end:
            end, widest = firsts[index] + mapping.size, index


def _clocks(linux: Linux) -> Iterator[ConfigError]:
    if not linux.time_offsets:
        return
    time = linux.namespace("time")
    pointer = f"{linux.pointer}/timeOffsets"
    if time is None:
        message = "time namespace offsets specified, but time namespace isn't enabled in the config"
        yield ConfigError(message, pointer=pointer, hint='add {"type": "time"} to linux.namespaces')
    elif time.path:
        message = (
            "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"
        )
        yield ConfigError(message, pointer=pointer, hint="the clocks of an existing namespace cannot be set")
    for offset in linux.time_offsets:
        if offset.clock not in CLOCKS:
            # "The name of the clock is the entry key": no property that may be ignored.
            yield broken(offset.pointer, "there is no such clock", "the clocks are " + " and ".join(CLOCKS))
        if offset.nanosecs > 999_999_999:
            yield broken(f"{offset.pointer}/nanosecs", f"must be less than a second, not {offset.nanosecs}")
