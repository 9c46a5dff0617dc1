"""A container's cgroup, in every hierarchy: made, limited, joined, killed, waited for, removed.

`paths` is what paths.plan() made and state.json keeps: controller -> absolute directory, "" for the v2 hierarchy.
Everything works on any such mapping, whatever the machine's layout is now.
"""

from __future__ import annotations

from errno import EEXIST, ENOENT

from pyoci import os
from pyoci.cgroups import files
from pyoci.cgroups.files import Directory, Tree, failure, vanished
from pyoci.cgroups.processes import frozen_at, join, pids
from pyoci.cgroups.removal import discard
from pyoci.errors import StepError
from pyoci.kernel.constants import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC
from pyoci.kernel.path import filesystem_type
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.config.resources import DeviceRule

_POINTER = "/linux/cgroupsPath"
_ATTEMPTS = 16
_CPUSET = ("cpuset.cpus", "cpuset.mems")


def _nobody() -> None:
    """Nobody else names the cgroup."""


def create(
    paths: dict[str, str], undo: Undo, *, domain_limits: bool = False, shared: Callable[[], object] = _nobody
) -> bool:
    """Make the cgroup in every hierarchy and prepare it for processes; what was made is added to `undo`.

    True if all of it is new. If it fails it leaves nothing, so that a caller who can do without a cgroup may go on.
    domain_limits: memory, cpu, io or hugetlb limits will be set, which a threaded v2 cgroup cannot have.
    shared: called where a directory was there; it raises an Error if that is another container's.
    Raises StepError: a directory cannot be made, or one that was there holds processes; it or one above is frozen.
    """
    own = Undo()
    undo.add(own.run)
    with own:
        return _create(paths, own, domain_limits, shared)


def _create(paths: dict[str, str], undo: Undo, domain_limits: bool, shared: Callable[[], object]) -> bool:
    found = []
    with Tree() as tree:
        try:
            for path in dict.fromkeys(paths.values()):
                if not _make(tree, path, undo):
                    found.append(path)
            _check_free(paths, found, shared)
            if "cpuset" in paths:
                _fill_cpuset(tree, paths["cpuset"])
            if set(paths) == {""}:
                _enable_controllers(tree, paths[""])
                _check_type(tree, paths[""], domain_limits)
        except OSError as error:
            raise failure("cannot make the cgroup", error, _POINTER) from error
    return not found


def look(paths: dict[str, str], shared: Callable[[], object] = _nobody) -> None:
    """Check what create() checks of a cgroup that is there, before systemd makes it, who would wait for a frozen one
    and say of a taken one only that there is a unit of that name. Raises StepError.
    """
    found = []
    with Tree() as tree:
        for path in dict.fromkeys(paths.values()):
            try:
                os.close(tree.open(path).descriptor)
                found.append(path)
            except OSError as error:
                if not vanished(error):
                    raise failure("cannot look at the cgroup", error, _POINTER) from error
    _check_free(paths, found, shared)


def _check_free(paths: dict[str, str], found: list[str], shared: Callable[[], object]) -> None:
    """Refuse a cgroup that is in use. found: the directories that were there before."""
    for path in found:
        _check_empty(path)
    try:
        frozen = frozen_at(paths)
    except OSError as error:
        raise failure("unable to get cgroup freezer state", error, _POINTER) from error
    if frozen:
        own = frozen in paths.values()
        hint = f"{frozen} is frozen{'' if own else ', and with it all that is below'}: thaw it, or take another one"
        raise StepError("container's cgroup unexpectedly frozen", pointer=_POINTER, hint=hint)
    if found:
        shared()


def adopt(paths: dict[str, str], pid: int, undo: Undo, *, domain_limits: bool = False) -> None:
    """Complete a cgroup that systemd has made around the process `pid`.

    v2: with the controllers that systemd does not know. v1: in the hierarchies that systemd leaves alone, and the
    process is moved there. domain_limits: as for create(). Raises StepError.
    """
    with Tree() as tree:
        try:
            for path in dict.fromkeys(paths.values()):
                _make(tree, path, undo)
            if "cpuset" in paths:
                _fill_cpuset(tree, paths["cpuset"])
            if set(paths) == {""}:
                _enable_controllers(tree, paths[""])
                _check_type(tree, paths[""], domain_limits)
        except OSError as error:
            raise failure("cannot complete the cgroup that systemd has made", error, _POINTER) from error
    if set(paths) != {""}:
        join({controller: path for controller, path in paths.items() if controller != "name=systemd"}, pid)


def _make(tree: Tree, path: str, undo: Undo) -> bool:
    """Make a directory and what is missing above it; False if it was there.

    A parent that we share with others may vanish at any time while it is empty: then it is made again.
    """
    missing = [path]
    for _ in range(_ATTEMPTS + 2 * path.count("/")):
        here = missing[-1]
        try:
            new = _mkdir(tree, here)
        except FileNotFoundError:
            parent = here.rpartition("/")[0]
            if parent in ("", files.ROOT):  # the hierarchy itself is not there
                raise
            missing.append(parent)
            continue
        if new:
            undo.add(discard if here == path else _discard_empty, here)
        if here == path:
            return new
        missing.pop()
    raise FileNotFoundError(ENOENT, "parent cgroup is removed again and again", path)


def _mkdir(tree: Tree, path: str) -> bool:
    """Make one directory, in a cgroup file system only; False if it is there."""
    parent, _, name = path.rpartition("/")
    with tree.open(parent or "/") as directory:
        if filesystem_type(directory.descriptor) not in (CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC):
            raise FileNotFoundError(ENOENT, "no cgroup hierarchy to make it in", path)
        try:
            os.mkdir(name, 0o755, dir_fd=directory.descriptor)
        except OSError as error:
            if error.errno == EEXIST:
                return False
            error.filename = path
            error.add_note(f'mkdir("{path}", 0755)')
            raise
    return True


def _discard_empty(path: str) -> None:
    """Undo the making of a parent, unless somebody else uses it by now."""
    parent, _, name = path.rpartition("/")
    with Tree() as tree, tree.open(parent) as directory:
        os.rmdir(name, dir_fd=directory.descriptor)


def _check_empty(path: str) -> None:
    try:
        held = len(pids({"": path}))
    except OSError as error:
        if not vanished(error):
            raise failure("unable to get cgroup PIDs", error, _POINTER) from error
        return
    if held:
        raise StepError(f"container's cgroup is not empty: {held} process(es) found", pointer=_POINTER, hint=path)


def _fill_cpuset(tree: Tree, path: str) -> None:
    """v1: nothing may join a cpuset without processors and memory nodes; copy them down from the nearest ancestor."""
    levels = [path]
    while True:
        with tree.open(levels[-1]) as directory:
            values = {name: directory.read(name).strip() for name in _CPUSET}
        if all(values.values()):
            break
        levels.append(levels[-1].rpartition("/")[0])  # ends at the hierarchy's root, which has all
    for level in reversed(levels[:-1]):
        with tree.open(level) as directory:
            for name in _CPUSET:
                own = directory.read(name).strip()
                if not own:
                    directory.write(name, values[name])
                values[name] = own or values[name]


def _enable_controllers(tree: Tree, path: str) -> None:
    """v2: pass every controller down to the cgroup by each ancestor's cgroup.subtree_control, never the leaf's own.

    Best effort, as runc's: an ancestor may refuse a controller (EBUSY: it holds processes; EACCES: it is not ours) and
    whoever needs that controller gets the error when its file is missing.
    """
    ancestors: list[str] = []
    available: list[bytes] = []
    parent = path
    while parent != files.ROOT:
        parent = parent.rpartition("/")[0]
        with tree.open(parent or "/") as directory:
            try:
                available = directory.read("cgroup.controllers").split()
            except FileNotFoundError:  # the hierarchy is mounted below /sys/fs/cgroup, and this is above it
                break
        ancestors.append(parent)
    with tree.open(path) as leaf:
        if set(leaf.read("cgroup.controllers").split()) >= set(available):
            return
    for ancestor in reversed(ancestors):
        with tree.open(ancestor) as directory:
            _enable(directory, available)


def _enable(directory: Directory, controllers: list[bytes]) -> None:
    """All at once, or, if one is refused, each of them by itself."""
    enable = [b"+" + name for name in controllers]
    try:
        return directory.write("cgroup.subtree_control", b" ".join(enable))
    except OSError:
        pass
    for one in enable:
        try:
            directory.write("cgroup.subtree_control", one)
        except OSError:
            pass


def _check_type(tree: Tree, path: str, domain_limits: bool) -> None:
    """v2: make the cgroup threaded where its place allows nothing else; an error if limits need a domain."""
    kind = _type(tree, path)
    if kind != "domain" and domain_limits:
        state = "an invalid state" if kind == "domain invalid" else f"{kind} mode"
        message = f'cannot enter cgroupv2 "{path}" with domain controllers -- it is in {state}'
        raise StepError(message, pointer=_POINTER, hint=_crowded(tree, path))
    if kind == "domain invalid":
        _make_threaded(tree, path)


def _crowded(tree: Tree, path: str) -> str:
    """A hint, if a cgroup above has processes of its own: the kernel does not hand memory and the like on from there.

    In a container with a cgroup namespace it is the one that the runtime is in.
    """
    while path := path.rpartition("/")[0]:
        try:
            with tree.open(path) as directory:
                if directory.read("cgroup.type") == b"domain threaded\n" and directory.read("cgroup.procs"):
                    return f"there are processes in {path}; move them to a cgroup of their own below it"
        except OSError:  # above what we see, or the real root, of which that is not true
            continue
    return ""


def _type(tree: Tree, path: str) -> str:
    """The content of cgroup.type, "" for the root, which has none."""
    with tree.open(path) as directory:
        try:
            return directory.read("cgroup.type").strip().decode()
        except FileNotFoundError:
            return ""


def _make_threaded(tree: Tree, path: str) -> None:
    """From the highest invalid ancestor down: the kernel takes a threaded cgroup only below a valid one."""
    invalid = []
    while _type(tree, path) == "domain invalid":
        invalid.append(path)
        path = path.rpartition("/")[0]
    for path in reversed(invalid):
        with tree.open(path) as directory:
            directory.write("cgroup.type", "threaded")


def open_v2(paths: dict[str, str]) -> int:
    """A descriptor of the v2 cgroup for CLONE_INTO_CGROUP; the caller closes it. Raises StepError."""
    try:
        with Tree() as tree:
            return tree.open(paths[""]).descriptor
    except OSError as error:
        raise failure("cannot open the cgroup", error, _POINTER) from error


def apply_devices(paths: dict[str, str], rules: tuple[DeviceRule, ...], undo: Undo) -> None:
    """Let the cgroup use the devices that the ordered `rules` allow and no others. Raises StepError, ConfigError."""
    from pyoci.cgroups.devices import devices  # not needed to kill or delete

    devices.apply(paths, rules, undo)


def oom_kills(paths: dict[str, str]) -> int:
    """How many processes of the cgroup the OOM killer ended; 0 if nobody counts."""
    unified = "memory" not in paths
    path = paths.get("" if unified else "memory")
    if path is None:
        return 0
    try:
        with Tree() as tree, tree.open(path) as directory:
            content = directory.read("memory.events" if unified else "memory.oom_control")
    except OSError as error:
        if not vanished(error):
            raise
        return 0
    return int(files.keyed(content, b"oom_kill") or 0)


def memory_use(paths: dict[str, str]) -> tuple[int | None, int]:
    """The limit of the cgroup's memory, None for none, and the most that was used, in bytes; 0 if nobody knows."""
    unified = "memory" not in paths
    path = paths.get("" if unified else "memory", "/")
    limit, peaks = (
        ("memory.max", ("memory.peak", "memory.current"))
        if unified
        else ("memory.limit_in_bytes", ("memory.max_usage_in_bytes",))
    )
    try:
        with Tree() as tree, tree.open(path) as directory:
            value = directory.read(limit)
            number = None if value == b"max\n" or int(value) >= files.V1_NO_LIMIT else int(value)
            for peak in peaks:
                try:
                    return number, int(directory.read(peak))
                except FileNotFoundError:  # memory.peak: Linux 5.19
                    pass
            return number, 0
    except OSError:
        return None, 0
