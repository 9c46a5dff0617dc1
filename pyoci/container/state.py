"""A container's directory and state.json: who it is, what it has, and what has become of it (runtime.md, "State").

The key names that other programs read are runc's: init_process_pid, init_process_start, cgroup_paths, namespace_paths,
config.rootfs, config.labels. What only pyoci needs stands below "pyoci", with a version.
This module is all that `state` and `list` load: it does without ctypes.
"""

from __future__ import annotations

from errno import ENOTEMPTY

from pyoci import jsonfile, os
from pyoci.errors import Error, NotFoundError
from pyoci.kernel import textfile
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1  # of the "pyoci" object and of the fifo's protocol
SPEC_VERSION = "1.3.0"  # the runtime-spec version that this runtime implements
FILE = "state.json"
FIFO = "exec.fifo"
KEPT = "config.json"  # of config.json what exec and update need, as it was at create or after the last update
WAITING_NAME = "pyoci:init"  # /proc/PID/comm until execve

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_MAX_ID = 255  # NAME_MAX


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
    unit: dict[str, Any] | None = None  # what systemd makes them for: the members of systemd_names.Unit
    cgroups_made: bool = False  # they are the container's; until then somebody else's process may be in them
    namespaces: tuple[tuple[str, str], ...] = ()  # type and path of config.json, in its order
    private_pid: bool = True  # it has a pid namespace of its own
    has_process: bool = True  # config.json says what to start
    notify: bool = False
    keyring: str = ""  # the name of its session keyring
    rdt_path: str = ""  # its group in resctrl
    rdt_monitor: str = ""  # and the group in that one that counts
    rdt_remove: tuple[str, ...] = ()  # what of them delete removes
    hooks: dict[str, Any] = {}  # poststart and poststop as in config.json


def check_id(id: str) -> None:
    """Raises Error for what cannot name a container: it is the name of a directory below --root."""
    if not id:
        raise Error("container id cannot be empty")
    if not _ALLOWED.issuperset(id) or id in (".", "..") or len(id) > _MAX_ID:
        raise Error("invalid container ID format", hint="letters, digits and _ + - . are allowed, but not . or ..")


def make_root(root: str) -> None:
    """Make --root, 0700, and what is missing above it. Raises OSError."""
    if os.path.isdir(root):
        return
    from os import makedirs

    mask = os.umask(0o022)  # of the parents
    try:
        makedirs(root, 0o700, exist_ok=True)
    finally:
        os.umask(mask)


def open_root(root: str, make: bool = False) -> int:
    """A descriptor of --root. Missing: made (0700), or FileNotFoundError.

    Raises Error if somebody else may rename what lies in it, and so give a container another one's state.
    """
    if make:
        make_root(root)
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    status = os.fstat(directory)
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o1022 in (0o020, 0o002, 0o022):
        os.close(directory)
        raise Error(
            f"the directory {root} may be changed by others",
            pointer="--root",
            hint=f"it belongs to uid {status.st_uid}, and must to root or uid {os.geteuid()}; others may write to it "
            "only if it is sticky; --root names another",
        )
    return directory


def open_directory(root: str, id: str) -> int:
    """A descriptor of the container's directory. Raises NotFoundError; Error if it is not ours."""
    check_id(id)
    try:
        parent = open_root(root)
    except FileNotFoundError:
        raise NotFoundError from None
    try:
        directory = os.open(id, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        raise NotFoundError from None
    finally:
        os.close(parent)
    status = os.fstat(directory)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(directory)
        raise Error(
            f"the state directory of {id} may be written by others",
            hint=f"{root}/{id} must belong to uid {os.geteuid()} and be writable by nobody else",
        )
    return directory


def load(root: str, id: str) -> Container:
    """Read a container's state. Raises NotFoundError, Error."""
    directory = open_directory(root, id)
    try:
        return read(root, id, directory)
    finally:
        os.close(directory)


def read(root: str, id: str, directory: int) -> Container:
    """The same from the container's directory. Without state.json there is no container yet, or none any more."""
    try:
        file = os.open(FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        raise NotFoundError from None
    with open(file, "rb") as opened:
        raw = jsonfile.parse(opened.read(), FILE, own=True)
    try:
        return _from_json(root, id, raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Error(f"{root}/{id}/{FILE}: {type(error).__name__}: {error}", hint="was it written by pyoci?") from None


def _from_json(root: str, id: str, raw: dict[str, Any]) -> Container:
    own, config = raw["pyoci"], raw["config"]
    if own["version"] > FORMAT:
        raise Error(f"{FILE} has version {own['version']}, this pyoci knows {FORMAT}", hint="use the newer pyoci")
    labels = dict(entry.split("=", 1) for entry in config["labels"])  # for other readers: "a=b" would not come back
    bundle = own.get("bundle", labels.pop("bundle", ""))
    return Container(
        root=root,
        id=id,
        bundle=bundle,
        rootfs=config["rootfs"],
        created=raw["created"],
        annotations=own.get("annotations", labels),
        pid=raw["init_process_pid"],
        start_time=raw["init_process_start"],
        creating=own["creating"],
        runtime_pid=own["runtime_pid"],
        runtime_start=own["runtime_start"],
        cgroups=raw["cgroup_paths"],
        unit=own.get("unit"),
        cgroups_made=own.get("cgroups_made", True),
        namespaces=tuple((one["type"], one["path"]) for one in config["namespaces"]),
        private_pid=own["private_pid"],
        has_process=own.get("has_process", True),
        notify=own["notify"],
        keyring=own.get("keyring", f"_ses.{id}"),
        rdt_path=raw.get("intel_rdt_path", ""),
        rdt_monitor=raw.get("intel_rdt_mon_path", ""),
        rdt_remove=tuple(own.get("rdt_remove", ())),
        hooks=own["hooks"],
    )


_NAMESPACE_KEYS = {"mount": "NEWNS", "network": "NEWNET"}
_NAMESPACE_FILES = {"mount": "mnt", "network": "net"}


def to_json(container: Container) -> dict[str, Any]:
    labels = [f"{name}={value}" for name, value in container.annotations.items()]
    paths = {}
    for kind, path in container.namespaces:
        file = _NAMESPACE_FILES.get(kind, kind)
        own = f"/proc/{container.pid}/ns/{file}" if container.pid else ""
        paths[_NAMESPACE_KEYS.get(kind, "NEW" + kind.upper())] = own or path
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
            "labels": [*labels, f"bundle={container.bundle}"],
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
            "bundle": container.bundle,
            "annotations": container.annotations,
            "private_pid": container.private_pid,
            "has_process": container.has_process,
            "notify": container.notify,
            "keyring": container.keyring,
            "hooks": container.hooks,
            **({"rdt_remove": list(container.rdt_remove)} if container.rdt_remove else {}),
        },
    }


def save(container: Container, directory: int) -> None:
    """Write state.json into the container's directory, atomically."""
    jsonfile.write(directory, FILE, to_json(container))


# What a process of exec has of the container it comes into, and what update changes; not config.json as it may be then.
_KEPT_OF_PROCESS = (
    *("capabilities", "oomScoreAdj", "scheduler", "ioPriority", "execCPUAffinity"),
    *("selinuxLabel", "apparmorProfile"),
)
_KEPT_OF_LINUX = ("seccomp", "personality", "memoryPolicy")


def keep(raw: dict[str, Any], no_new_keyring: bool, directory: int) -> None:
    """Write what exec and update will need of config.json `raw` into the container's directory, and not into
    state.json, which every command reads. load_kept() reads it.
    """
    process, linux = raw.get("process") or {}, raw.get("linux") or {}
    own = {key: process[key] for key in _KEPT_OF_PROCESS if key in process}
    user = process.get("user") or {}
    if "umask" in user:
        own["user"] = {"umask": user["umask"]}
    config = {"process": own, "linux": {key: linux[key] for key in _KEPT_OF_LINUX if key in linux}}
    kept = {"version": FORMAT, "no_new_keyring": no_new_keyring, "config": config}
    for key in ("resources", "devices"):
        if linux.get(key):
            kept[key] = linux[key]
    jsonfile.write(directory, KEPT, kept)


def load_kept(root: str, id: str) -> tuple[Container, dict[str, Any]]:
    """A container's state and what was kept: {"no_new_keyring": bool, "config": parts of config.json}, and "resources"
    and "devices", those of config.json's `linux`, if there are any.

    An older pyoci kept nothing: then config.json of the bundle has to do. Raises NotFoundError, Error.
    """
    directory = open_directory(root, id)
    try:
        container = read(root, id, directory)
        file = os.open(KEPT, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with open(file, "rb") as opened:
            kept: dict[str, Any] = jsonfile.parse(opened.read(), f"{root}/{id}/{KEPT}", own=True)
    except FileNotFoundError:
        whole = jsonfile.read(f"{container.bundle}/config.json", what="config.json")
        config = {key: whole[key] for key in ("process", "linux") if key in whole}
        linux = whole.get("linux") or {}
        more = {key: linux[key] for key in ("resources", "devices") if key in linux}
        return container, {"no_new_keyring": False, "config": config, **more}
    finally:
        os.close(directory)
    return container, kept


def remove_directory(root: int, name: str, attempts: int = 20) -> None:
    """Remove a container's directory: files and directories, all ours, links never followed.

    What is gone already is fine: a delete that was late may be removing the same.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory = os.open(name, flags, dir_fd=root)
    except FileNotFoundError:
        return
    try:
        for entry in os.listdir(directory):
            try:
                os.unlink(entry, dir_fd=directory)
            except IsADirectoryError:
                remove_directory(directory, entry)
            except FileNotFoundError:
                pass
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=root)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != ENOTEMPTY or attempts == 0:
            raise
        remove_directory(root, name, attempts - 1)  # a delete that came late has made its lock


def is_named(root: int, name: str, directory: int) -> bool:
    """Whether the open `directory` has this name, and not another one that was made after it."""
    try:
        return os.path.samestat(os.stat(name, dir_fd=root, follow_symlinks=False), os.fstat(directory))
    except FileNotFoundError:
        return False


def process(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process, None if there is none (proc_pid_stat(5))."""
    try:
        content = textfile.read(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may contain some itself: count from the last one.
    fields = content[content.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process still runs: not a zombie, not another one with a recycled pid."""
    found = process(pid) if pid else None
    return found is not None and found[1] == start_time and found[0] not in ("Z", "X")


def status(container: Container) -> str:
    """creating, created, running, paused or stopped. A create whose runtime has died is stopped.

    One whose process was killed while it was paused is paused as long as frozen processes are left, as with runc.
    """
    if container.creating:
        return "creating" if is_alive(container.runtime_pid, container.runtime_start) else "stopped"
    alive = is_alive(container.pid, container.start_time)
    if is_frozen(container.cgroups) and (alive or _is_populated(container.cgroups)):
        return "paused"
    if not alive:
        return "stopped"
    if is_waiting(container):
        return "created"
    return "running" if is_alive(container.pid, container.start_time) else "stopped"


def is_waiting(container: Container) -> bool:
    """Whether the process still waits for start: its fifo is there and its name is not yet a program's."""
    if not os.path.lexists(f"{container.root}/{container.id}/{FIFO}"):
        return False
    return name(container.pid) == WAITING_NAME


def name(pid: int) -> str:
    """/proc/PID/comm, also of a process that has ended and waits to be reaped; "" if there is none."""
    return os.fsdecode(textfile.read_if_there(f"/proc/{pid}/comm").removesuffix(b"\n"))


def is_frozen(cgroups: dict[str, str]) -> bool:
    """Whether the cgroup itself was asked to freeze, which may take a moment; one below a frozen one is not paused."""
    freezer = cgroups.get("freezer")
    path = f"{freezer}/freezer.self_freezing" if freezer is not None else f"{cgroups.get('', '')}/cgroup.freeze"
    return textfile.read_if_there(path) == b"1\n"


def _is_populated(cgroups: dict[str, str]) -> bool:
    """Whether a process is left; on v1 in the cgroup itself, those below it are not looked for."""
    freezer = cgroups.get("freezer")
    if freezer is not None:
        return bool(textfile.read_if_there(f"{freezer}/cgroup.procs"))
    return b"populated 1" in textfile.lines(textfile.read_if_there(f"{cgroups.get('', '')}/cgroup.events"))
