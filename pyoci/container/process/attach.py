"""A process of exec that could not be born in the container's v2 cgroup: imported only then.

The kernel moves a process only if the caller may write where the cgroups that it leaves and enters have their last
common ancestor. An unprivileged caller from another session has no such right, but its systemd finds one that has.
"""

from __future__ import annotations

from pyoci.container.state import Container
from pyoci.errors import Error
from pyoci.plan.plan import Plan
from pyoci.steps.init import sync


def through_systemd(plan: Plan, container: Container, path: str, refused: Error, required: bool) -> Plan:
    """The plan with stage 1 moved by the systemd that made the scope, while it still is the caller's uid. A warning if
    there is none, or it will not; an error, if this very cgroup is `required`."""
    from pyoci.steps.host import attach

    if container.unit is None:
        attach.warn(path, refused)
        return plan
    below = path.removeprefix(container.cgroups[""])
    maps = (attach.AttachToUnit(members=container.unit, below=below, path=path, required=required),)
    first = (sync.Send(kind="unshared"), sync.Await(kind="go"), *plan.first)
    return plan.replace(first=first, maps=maps)
