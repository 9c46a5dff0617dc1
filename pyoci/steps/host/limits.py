"""The limits of the container's cgroup (config-linux.md, "Control groups"); only for a container that has one."""

from __future__ import annotations

from pyoci.cgroups.limits import limits
from pyoci.cgroups.limits.limit import Write
from pyoci.log import log
from pyoci.steps.host.context import HostContext, HostStep


class SetLimits(HostStep):
    """Write the limits, before any process is in the cgroup. `ignored`: pointers of what nothing is done about."""

    pointer: str = "/linux/resources"
    writes: tuple[Write, ...]
    ignored: tuple[str, ...] = ()

    def describe(self) -> str:
        texts = [str(write) for write in self.writes]
        texts += [f"{limits.dotted(pointer)} is ignored" for pointer in self.ignored]
        return "limit " + ", ".join(texts).replace("\n", "\\n")

    def execute(self, context: HostContext) -> None:
        for pointer in self.ignored:
            log.warning(f"{limits.in_config(pointer)}: {limits.NOTHING}")
        limits.apply(context.cgroups, self.writes)
