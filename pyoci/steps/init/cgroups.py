"""The container's process enters its v1 cgroups, and runs on every CPU that they allow."""

from __future__ import annotations

from pyoci.cgroups import processes
from pyoci.errors import os_error_text
from pyoci.kernel import process
from pyoci.steps.init.context import InitContext, InitStep


class ResetAffinity(InitStep):
    """Run on every CPU that the cgroups allow: a caller that is pinned must not pin the container."""

    pointer: str = ""

    def describe(self) -> str:
        return "run on every CPU"

    def execute(self, context: InitContext) -> None:
        reset_affinity(context)


def reset_affinity(context: InitContext) -> None:
    """Where a sandbox does not let us, the container is pinned as its caller is: a warning, as in runc."""
    try:
        process.reset_affinity()
    except OSError as error:
        text = "resetting the CPU affinity failed -- the container's process may inherit the runtime's: "
        context.channel.send("warning", text + os_error_text(error))


class EnterCgroups(InitStep):
    """Enter the v1 cgroups, by descriptors that the runtime opened.

    The process moves itself: to be moved by another one waits 7 to 10 ms for a lock over all forks and exits.
    """

    pointer: str = "/linux/cgroupsPath"

    def describe(self) -> str:
        return "enter the v1 cgroups"

    def execute(self, context: InitContext) -> None:
        processes.join_self(context.tasks)
        context.tasks = ()
