"""Containers of one root whose cgroups are one, or lie one below the other. Imported only where that may be.

A command of one container never kills what is in another one's cgroup, and never removes that. The containers of other
roots and other runtimes are not looked at: nobody knows where they are.
"""

from __future__ import annotations

from pyoci import os
from pyoci.cgroups import processes
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import DamagedError, Error, ForeignError, NotFoundError, StateError, StepError
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Other(Record):
    """Another container of the root."""

    id: str
    status: str  # "damaged": its state.json
    cgroups: dict[str, str]  # as long as they are those that it was made with
    unknown: str = ""  # why nobody can tell its cgroups


def refuse(container: Container) -> None:
    """Raise StepError if another container has one of the cgroups, also one that has none in it, such as a stopped one:
    each of the two could kill, freeze, limit and remove the other. A cgroup above those of several is no conflict."""
    for other in _others(container):
        if _common(container, other):
            remedy = {"stopped": "delete it first, or give", "damaged": "delete it with --force first, or give"}
            raise StepError(
                f"container's cgroup is the one of container {other.id}",
                pointer="/linux/cgroupsPath",
                hint=f"{other.id} is {other.status}: {remedy.get(other.status, 'give')} this one another cgroupsPath "
                f"than {processes.reference(other.cgroups)}",
            )


def refuse_to_kill(container: Container) -> None:
    """Raise StateError if another container has processes in the cgroups of `container`, or below, or if nobody can
    tell: it has the very same and somebody is in it, or its state.json does not say where it is."""
    for other in _others(container):
        if other.unknown:
            what = f"the cgroup of {container.id} may be the one of container {other.id} too"
        elif _common(container, other):
            what = f"the cgroup of {container.id} is the one of container {other.id} too"
        elif _below(container, other):
            what = f"container {other.id} is in the cgroup of {container.id}"
        else:
            continue
        if other.status not in ("stopped", "damaged") or other.unknown or processes.is_populated(other.cgroups):
            raise StateError(f"unable to kill all processes: {what}", hint=_first(other))


def refuse_to_remove(container: Container) -> None:
    """Raise StateError if another container has a cgroup below those of `container`, also one without processes."""
    for other in _others(container):
        if _below(container, other):
            raise StateError(f"unable to remove container's cgroup: container {other.id} is in it", hint=_first(other))


def _first(other: Other) -> str:
    """What to do about it."""
    if other.unknown:
        return f"{other.unknown}: delete it first"
    remedy = "delete it with --force" if other.status == "damaged" else "end and delete it"
    return f"{other.id} is {other.status}: {remedy} first; its cgroup is {processes.reference(other.cgroups)}"


def _common(container: Container, other: Other) -> bool:
    return not set(container.cgroups.values()).isdisjoint(other.cgroups.values())


def _below(container: Container, other: Other) -> bool:
    """By whole components: /a/web-2 is not below /a/web."""
    above = tuple({f"{path}/" for path in container.cgroups.values()})
    return any(path.startswith(above) for path in other.cgroups.values())


def _others(container: Container) -> Iterator[Other]:
    """The other containers of its root, those included that cannot be read.

    In a sticky root others may make directories as well: those are no containers of ours.
    """
    for name in sorted(os.listdir(container.root)):
        if name == container.id or name.startswith("@"):
            continue
        try:
            yield _other(container.root, name)
        except (NotFoundError, FileNotFoundError, ForeignError):  # none yet or any more, or another runtime's
            continue
        except (Error, OSError) as error:
            if _is_ours(f"{container.root}/{name}"):
                yield Other(id=name, status="damaged", cgroups={}, unknown=str(error))


def _other(root: str, id: str) -> Other:
    directory = state.open_directory(root, id)
    try:
        try:
            found = state.read(root, id, directory)
            status = state.status(found)
        except DamagedError as error:
            from pyoci.container import salvage

            remains = salvage.Remains(root, id, directory)
            if salvage.CGROUPS in remains.unknown:
                raise error
            found, status = remains.container, "damaged"
        return Other(id=id, status=status, cgroups=processes.own(found.cgroups, found.cgroup_ids))
    finally:
        os.close(directory)


def _is_ours(path: str) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return found.st_mode & 0o170000 == 0o040000 and found.st_uid == os.geteuid()
