"""state.json: what it holds, and how it is written and read. Pure.

The key names that other programs read are runc's: init_process_pid, init_process_start, cgroup_paths, namespace_paths,
config.rootfs, config.labels. What only pyoci needs stands below "pyoci", with a version. A state.json without "pyoci"
is another runtime's: foreign.py reads those of runc.
"""

from __future__ import annotations

from pyoci import SPEC_VERSION, os, pathname
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

FORMAT = 1  # of the "pyoci" object and of the fifo's protocol

_KINDS = {dict: "an object", list: "an array", str: "a string", int: "a number", bool: "true or false"}
_MAX_PID = 2**31 - 1  # of pid_t; what is beyond would be cut to another process's number
_MAX_TIME = 2**64 - 1


class Container(Record):
    """What state.json holds. pid 0: there is no process yet.

    creating: create has not finished; runtime_pid and runtime_start then tell whether it still may.
    """

    root: str
    id: str
    bundle: str
    rootfs: str
    created: str  # RFC 3339 with nanoseconds, UTC
    annotations: dict[str, str]
    oci_version: str = SPEC_VERSION
    pid: int = 0
    start_time: int = 0  # clock ticks since boot: field 22 of /proc/PID/stat
    creating: bool = False
    runtime_pid: int = 0
    runtime_start: int = 0
    cgroups: dict[str, str]
    unit: dict[str, Any] | None = None  # what systemd makes them for: the members of cgroups.systemd.names.Unit
    cgroups_made: bool = False  # they are the container's; until then somebody else's process may be in them
    cgroup_ids: dict[str, int] = {}  # inodes of those that were made, by controller: others may have their paths by now
    namespaces: tuple[tuple[str, str], ...] = ()  # type and path of config.json, in its order
    identity: dict[str, list[int]] = {}  # what these are (identity.py); none of one that is old or not ours
    private_pid: bool = True  # it has a pid namespace of its own
    has_process: bool = True  # config.json says what to start
    notify: bool = False
    keyring: str = ""  # the name of its session keyring
    rdt_path: str = ""  # its group in resctrl
    rdt_monitor: str = ""  # and the group in that one that counts
    rdt_remove: tuple[str, ...] = ()  # what of them delete removes
    hooks: dict[str, Any] = {}  # poststart and poststop as in config.json
    by_runc: bool = False  # runc has made it, and the file is runc's


class Damage(Exception):
    """What is wrong with a state.json, behind its path: "#/init_process_pid: not a number"."""


class Newer(Damage):
    """It is in the format of a newer pyoci."""


class Members:
    """An object in state.json, at the JSON pointer `pointer`, whose members are asked for with the type that they must
    have. Raises Damage for any other; a member that is missing is its default, or damage if it has none.

    Everything that a command does to processes, cgroups and directories follows from this file, so that nothing of it
    is taken on trust: no member may turn up later as something that cannot be used.
    """

    def __init__(self, raw: Any, pointer: str = "") -> None:
        if type(raw) is not dict:
            raise Damage(f"#{pointer}: not an object")
        self.raw = raw
        self.pointer = pointer

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """The member `key` if it is of that type, `default` if it is absent. Raises Damage for anything else."""
        value = self.raw.get(key, default)
        if type(value) is kind:  # not isinstance: True is no number here
            return value
        raise self.damage(key, "missing" if value is None else f"not {_KINDS[kind]}")

    def number(self, key: str, most: int, default: int | None = None) -> int:
        """A number from 0 to `most`. Raises Damage for anything else."""
        value = self.get(key, int, default)
        if not 0 <= value <= most:
            raise self.damage(key, f"{value} is out of range")
        return value

    def object(self, key: str, default: dict[str, Any] | None = None) -> Members:
        """An object, whose members are read in the same way."""
        return Members(self.get(key, dict, default), f"{self.pointer}/{key}")

    def objects(self, key: str) -> list[Members]:
        """An array of objects; none if it is missing."""
        values = self.get(key, list, [])
        return [Members(value, f"{self.pointer}/{key}/{index}") for index, value in enumerate(values)]

    def strings(self, key: str) -> list[str]:
        """An array of strings; none if it is missing."""
        values = self.get(key, list, [])
        if any(type(value) is not str for value in values):
            raise self.damage(key, "not an array of strings")
        return values

    def texts(self, key: str, default: dict[str, str] | None = None) -> dict[str, str]:
        """An object whose members are strings."""
        values = self.get(key, dict, default)
        if any(type(value) is not str for value in values.values()):
            raise self.damage(key, "not an object of strings")
        return values

    def numbers(self, key: str) -> dict[str, list[int]]:
        """An object whose members are arrays of numbers; an empty one if it is missing."""
        values = self.get(key, dict, {})
        for value in values.values():
            if type(value) is not list or any(type(number) is not int for number in value):
                raise self.damage(key, "not an object of arrays of numbers")
        return values

    def cgroups(self) -> dict[str, str]:
        """Controller -> absolute path, without "." and "..". A relative one would be another one for each command."""
        found = self.texts("cgroup_paths", {})
        for path in found.values():
            if path[:1] != "/" or path == "/" or pathname.absolute(path) != path:
                raise self.damage("cgroup_paths", f"{path or 'an empty path'} is no cgroup")
        return found

    def cgroup_ids(self, cgroups: dict[str, str]) -> dict[str, int]:
        """Controller -> inode. An older pyoci noted that of one hierarchy only."""
        found = self.get("cgroup_ids", dict, {})
        if any(type(inode) is not int for inode in found.values()):
            raise self.damage("cgroup_ids", "not an object of numbers")
        inode = self.number("cgroup_id", _MAX_TIME, 0)
        if inode and not found:
            first = next((name for name in ("devices", "freezer", "pids", "") if name in cgroups), None)
            return {name: inode for name, path in cgroups.items() if first is not None and path == cgroups[first]}
        return found

    def damage(self, key: str, reason: str) -> Damage:
        """The error for the member `key`, with its pointer in the file."""
        return Damage(f"#{self.pointer}/{key}: {reason}")


def labels(texts: list[str]) -> dict[str, str]:
    """config.labels, "KEY=VALUE" each, as runc takes them apart: a key cannot hold "="."""
    return {key: value for key, equals, value in (text.partition("=") for text in texts) if equals}


def process(members: Members) -> tuple[int, int]:
    """pid and start time, both 0 before there is a process. Raises Damage: neither tells alone which one is meant."""
    pid = members.number("init_process_pid", _MAX_PID)
    start_time = members.number("init_process_start", _MAX_TIME)
    if bool(pid) != bool(start_time):
        raise members.damage("init_process_start", f"{start_time} does not go with process {pid}")
    return pid, start_time


def refuse_newer(version: int) -> None:
    """Raises Newer: what that has written may mean something else than it says to us."""
    if version > FORMAT:
        raise Newer(f" has version {version}, this pyoci knows {FORMAT}")


def from_json(root: str, id: str, raw: dict[str, Any]) -> Container:
    """What pyoci has written. Raises Damage; Newer if a newer one has."""
    members = Members(raw)
    own, config = members.object("pyoci"), members.object("config")
    refuse_newer(own.get("version", int))
    known = labels(config.strings("labels"))  # for other readers: "a=b" would not come back
    bundle = own.get("bundle", str, known.pop("bundle", ""))
    pid, start_time = process(members)
    return Container(
        root=root,
        id=id,
        bundle=bundle,
        rootfs=config.get("rootfs", str),
        created=members.get("created", str),
        annotations=own.texts("annotations", known),
        pid=pid,
        start_time=start_time,
        creating=own.get("creating", bool),
        runtime_pid=own.number("runtime_pid", _MAX_PID),
        runtime_start=own.number("runtime_start", _MAX_TIME),
        cgroups=members.cgroups(),
        unit=unit(own),
        cgroups_made=own.get("cgroups_made", bool, True),
        cgroup_ids=own.cgroup_ids(members.cgroups()),
        namespaces=tuple([(one.get("type", str), one.get("path", str)) for one in config.objects("namespaces")]),
        identity=own.numbers("identity"),
        private_pid=own.get("private_pid", bool),
        has_process=own.get("has_process", bool, True),
        notify=own.get("notify", bool),
        keyring=own.get("keyring", str, f"_ses.{id}"),
        rdt_path=members.get("intel_rdt_path", str, ""),
        rdt_monitor=members.get("intel_rdt_mon_path", str, ""),
        rdt_remove=tuple(own.strings("rdt_remove")),
        hooks=checked_hooks(own.object("hooks")),
    )


def unit(own: Members) -> dict[str, Any] | None:
    """What "pyoci" says of the unit of systemd, None if there is none. Raises Damage."""
    if "unit" not in own.raw:
        return None
    members = own.object("unit")
    name, slice, user = members.get("name", str), members.get("slice", str), members.get("user", bool)
    return {"name": name, "slice": slice, "user": user, "buses": members.strings("buses")}


def checked_hooks(members: Members) -> dict[str, Any]:
    """The hooks, by kind, as config.json has them: read when they run, which is too late to learn that they cannot."""
    for kind in members.raw:
        for hook in members.objects(kind):
            hook.get("path", str)
            hook.strings("args")
            hook.strings("env")
            hook.get("timeout", int, 1)
    return members.raw


# Of namespace_paths, by the types of linux.namespaces.
NAMESPACE_KEYS = {
    "mount": "NEWNS",
    "network": "NEWNET",
    **{kind: f"NEW{kind.upper()}" for kind in ("pid", "ipc", "uts", "user", "cgroup", "time")},
}


def to_json(container: Container) -> dict[str, Any]:
    """The content of state.json (docs/architecture.md), which runc and engines read as well."""
    from pyoci.kernel.namespace import FILES  # reading, which every command does, is done without

    texts = [f"{name}={value}" for name, value in container.annotations.items()]
    paths = {}
    for kind, path in container.namespaces:
        file = FILES.get(kind, kind)
        own = f"/proc/{container.pid}/ns/{file}" if container.pid else ""
        paths[NAMESPACE_KEYS[kind]] = own or path
    rdt = {"intel_rdt_path": container.rdt_path, "intel_rdt_mon_path": container.rdt_monitor}
    return {
        "id": container.id,
        "init_process_pid": container.pid,
        "init_process_start": container.start_time,
        "created": container.created,
        "config": {
            "rootfs": container.rootfs,
            "namespaces": [{"type": kind, "path": path} for kind, path in container.namespaces],
            "cgroups": {"path": next(iter(container.cgroups.values()), "")},
            "version": container.oci_version,
            "labels": [*texts, f"bundle={container.bundle}"],
        },
        "rootless": os.geteuid() != 0,
        "cgroup_paths": container.cgroups,
        "namespace_paths": paths,
        **{key: path for key, path in rdt.items() if path},
        "pyoci": {
            "version": FORMAT,
            "creating": container.creating,
            "runtime_pid": container.runtime_pid,
            "runtime_start": container.runtime_start,
            "cgroup_driver": "cgroupfs" if container.unit is None else "systemd",
            "unit": container.unit,
            "cgroups_made": container.cgroups_made,
            "cgroup_ids": container.cgroup_ids,
            "bundle": container.bundle,
            "annotations": container.annotations,
            "identity": container.identity,
            "private_pid": container.private_pid,
            "has_process": container.has_process,
            "notify": container.notify,
            "keyring": container.keyring,
            "hooks": container.hooks,
            **({"rdt_remove": list(container.rdt_remove)} if container.rdt_remove else {}),
        },
    }
