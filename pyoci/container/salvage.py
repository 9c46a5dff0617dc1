"""delete --force of a container whose state.json is damaged: what can be told of it for certain is ended and removed,
and the rest is named. Imported only then.

For certain: a process whose pid and start time are both there and still belong together; a cgroup that is in a cgroup
file system and has no process any more. Nobody's process is killed for being in a cgroup that such a file names.
"""

from __future__ import annotations

import re

from pyoci import jsonfile, os
from pyoci.cgroups import files, hierarchies, processes
from pyoci.cgroups.files import Tree
from pyoci.container import foreign, records, state
from pyoci.container.records import Container, Damage, Members
from pyoci.errors import ConfigError, Error
from pyoci.kernel.constants import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC
from pyoci.kernel.path import filesystem_type
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

_TOLD = 8  # cgroups of the container's name
CGROUPS = "its cgroups"  # of Remains.unknown
_PROCESS = re.compile(rb'"init_process_pid": ?(\d{1,10}),\s*"init_process_start": ?(\d{1,20}),')


class Remains:
    """The container as far as its state.json tells, for stop() and destroy() of delete.py, and what it does not."""

    def __init__(self, root: str, id: str, directory: int) -> None:
        self.unknown: list[str] = []
        self.path = f"{root}/{id}/{state.FILE}"
        raw = self._value(directory)
        members = Members(raw)
        pid, start_time = self._tell("its first process", lambda: records.process(members), (0, 0))
        cgroups: dict[str, str] = self._tell(CGROUPS, lambda: _cgroups(members), {})
        inodes: dict[str, int] = self._tell("which cgroups they were", lambda: _inodes(members, cgroups), {})
        unit = self._tell("its unit of systemd", lambda: _unit(members), None)
        hooks: dict[str, Any] = self._tell("its poststop hooks", lambda: _hooks(members), {})
        config = raw["config"] if type(raw.get("config")) is dict else {}
        labels = [text for text in _list(config.get("labels")) if type(text) is str]
        known = records.labels(labels)
        self.container = Container(
            root=root,
            id=id,
            bundle=known.pop("bundle", ""),
            rootfs="",
            created="",
            annotations=known,
            pid=pid,
            start_time=start_time,
            cgroups={controller: path for controller, path in cgroups.items() if _is_cgroup(path)},
            cgroup_ids=inodes,
            unit=unit,
            hooks=hooks,
        )

    def _value(self, directory: int) -> dict[str, Any]:
        """The object in state.json; of one that was cut off its beginning, where pid and start time stand."""
        try:
            data = state.content(directory)
        except Damage:
            data = b""
        try:
            raw = jsonfile.parse(data, state.FILE)
        except ConfigError:
            raw = None
        if type(raw) is dict:
            return raw
        found = _PROCESS.search(data)
        if found is None:
            return {}
        return {"init_process_pid": int(found[1]), "init_process_start": int(found[2])}

    def _tell(self, what: str, ask: Callable[[], T], otherwise: T) -> T:
        try:
            return ask()
        except Damage:
            self.unknown.append(what)
            return otherwise

    def tell(self) -> None:
        """Say, when all is done, what was left and what nobody knows."""
        for path in dict.fromkeys(self.container.cgroups.values()):
            if os.path.isdir(path):
                log.warning(f"the cgroup {path} is left: {_held(path) or 'it is busy'}")
        if self.unknown:
            log.warning(f"{self.path} did not tell {', '.join(self.unknown)}: left as they are, if there are any")
        if CGROUPS in self.unknown:
            for path in _named(self.container.id):
                held = _held(path)
                what = f"{held}: if they are its own, end them by hand" if held else "it is empty: rmdir removes it"
                log.warning(f"the cgroup {path} has the container's name; {what}")


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _cgroups(members: Members) -> dict[str, str]:
    if "cgroup_paths" not in members.raw:  # runc leaves it out only where there are none: here it is the damage
        raise members.damage("cgroup_paths", "missing")
    return members.cgroups()


def _inodes(members: Members, cgroups: dict[str, str]) -> dict[str, int]:
    return members.object("pyoci").cgroup_ids(cgroups) if "pyoci" in members.raw else {}


def _unit(members: Members) -> dict[str, Any] | None:
    if "pyoci" in members.raw:
        return records.unit(members.object("pyoci"))
    return foreign.unit(members.object("config"))


def _hooks(members: Members) -> dict[str, Any]:
    if "pyoci" in members.raw:
        return records.checked_hooks(members.object("pyoci").object("hooks"))
    return foreign.hooks(members.object("config"))


def _is_cgroup(path: str) -> bool:
    """Whether the directory and the one above it are in a cgroup file system: not a hierarchy itself, nor anything of
    another file system, which an rmdir(2) of ours could hit."""
    try:
        with Tree() as tree, tree.open(path) as own, tree.open(path.rpartition("/")[0] or "/") as above:
            kinds = {filesystem_type(own.descriptor), filesystem_type(above.descriptor)}
    except OSError:
        return False
    return kinds <= {CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC}


def _held(path: str) -> str:
    """Who is in the cgroup, "" for nobody."""
    try:
        found = processes.pids({"": path})
    except OSError as error:
        return os.strerror(error.errno or 0)
    return f"{len(found)} process(es) are in it, {', '.join(map(str, found[:8]))}" if found else ""


def _named(id: str) -> list[str]:
    """The first cgroups that are called as the container, or as its scope: where its processes most likely are, if
    nobody knows. The name alone is no proof, as a container may give it to a cgroup of its own."""
    found: list[str] = []
    try:
        top = processes.reference(hierarchies.detect().mounts)
        with Tree() as tree, tree.open(top) as hierarchy:
            for parent, name in files.descendants(hierarchy.descriptor):
                if name == id or name.endswith(f"-{id}.scope"):
                    found.append(f"{os.readlink(f'/proc/self/fd/{parent}')}/{name}")
    except (Error, OSError):  # there are no cgroups, or we may not see them
        pass
    return sorted(found, key=lambda path: (path.count("/"), path))[:_TOLD]
