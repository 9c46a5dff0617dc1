"""Containers of one root that name one cgroup. Imported only where a container finds its cgroup in place already."""

from __future__ import annotations

from pyoci import os
from pyoci.cgroups import members
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import Error, StepError


def refuse(container: Container) -> None:
    """Raise StepError if another container has one of the cgroups, also one that has none in it, such as a stopped one:
    each of the two could kill, freeze, limit and remove the other. A cgroup above those of several is no conflict."""
    for other in others(container):
        found, path = state.status(other), members.reference(other.cgroups)
        remedy = "delete it first, or give" if found == "stopped" else "give"
        raise StepError(
            f"container's cgroup is the one of container {other.id}",
            pointer="/linux/cgroupsPath",
            step="Cgroup",
            hint=f"{other.id} is {found}: {remedy} this one another cgroupsPath than {path}",
        )


def others(container: Container) -> list[Container]:
    """The other containers of its root that name one of its cgroups, as long as it is the one they were made with."""
    wanted = set(container.cgroups.values())
    found = []
    for name in sorted(os.listdir(container.root)):
        if name == container.id or name.startswith("@"):
            continue
        try:
            other = state.load(container.root, name)
        except (Error, OSError):  # none, none any more, or nobody's that we understand
            continue
        if wanted.intersection(other.cgroups.values()) and members.own(other.cgroups, other.cgroup_id):
            found.append(other)
    return found
