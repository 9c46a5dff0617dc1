"""The first stage of exec, moved by systemd into the container's scope."""

from __future__ import annotations

from pyoci.cgroups.systemd import units
from pyoci.cgroups.systemd.names import stored
from pyoci.errors import Error
from pyoci.log import log
from pyoci.steps.host.context import HostContext, HostStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class AttachToUnit(HostStep):
    """`members`: the unit, as state.json keeps it; `below`: the cgroup "/name" in it, or ""; `path`: for a warning;
    `required`: an error instead.
    """

    pointer: str = "/linux/cgroupsPath"
    members: dict[str, Any]
    below: str
    path: str
    required: bool = False

    def describe(self) -> str:
        return f"let systemd move the process into {self.path}"

    def execute(self, context: HostContext) -> None:
        try:
            units.attach(stored(self.members), self.below, context.pid)
        except Error as error:
            if self.required:
                raise
            warn(self.path, error)


def warn(path: str, error: Error) -> None:
    """Best effort is what a rootless exec gets; that it was not enough must not go unseen."""
    log.warning(f"the process is not in the container's cgroup, which does not limit it: {path}: {error.message}")
