"""The container's cgroups, made and filled by the runtime (config-linux.md, "Control groups")."""

from __future__ import annotations

from errno import EACCES, EPERM, EROFS

from pyoci import os
from pyoci.cgroups import manager, processes
from pyoci.config.resources import DeviceRule
from pyoci.errors import StepError, os_error_text
from pyoci.kernel import process
from pyoci.steps.step import Context, Step

_REFUSED = (EACCES, EPERM, EROFS)
_WHOSE = {
    False: "the cgroups here are not ours to change: --rootless=true does without, if cgroupsPath names none",
    True: "leave cgroupsPath out, or name a place in what was delegated to this user",
}


class MakeCgroups(Step):
    """Make a cgroup in every hierarchy. `optional`: an unprivileged runtime that asked for none goes on without.

    unprivileged: --rootless says so, or finds out.
    """

    pointer: str = "/linux/cgroupsPath"
    paths: dict[str, str]
    optional: bool = False
    unprivileged: bool = False
    born_inside: bool = False  # clone3(2) puts the process there
    domain_limits: bool = False  # it will have limits that a threaded v2 cgroup cannot have

    def describe(self) -> str:
        return "make " + ", ".join(dict.fromkeys(self.paths.values()))

    def execute(self, context: Context) -> None:
        try:
            context.cgroups_new = manager.create(
                self.paths, context.undo, domain_limits=self.domain_limits, shared=context.shared
            )
        except StepError as error:
            if error.errno not in _REFUSED:
                raise
            if not self.optional:
                error.hint = error.hint or _WHOSE[self.unprivileged]
                raise
            return
        context.cgroups = self.paths
        context.tasks = processes.open_tasks(self.paths)
        context.undo.add(close_tasks, context)
        if self.born_inside:
            context.cgroup = manager.open_v2(self.paths)
            context.undo.add(os.close, context.cgroup)


def close_tasks(context: Context) -> None:
    """The container's process has its own copies once it is cloned."""
    for descriptor in context.tasks:
        os.close(descriptor)
    context.tasks = ()


class ApplyDeviceRules(Step):
    """The list of config.json with the default devices after it, in the kernel's terms: v1 files or a BPF program.

    `optional`: an unprivileged runtime, which may not load one, goes on without; its containers can open no device
    that it cannot open itself.
    """

    pointer: str = "/linux/resources/devices"
    rules: tuple[DeviceRule, ...]
    optional: bool = False

    def describe(self) -> str:
        return f"apply {len(self.rules)} device rules"

    def execute(self, context: Context) -> None:
        if not context.cgroups:
            return
        try:
            manager.apply_devices(context.cgroups, self.rules, context.undo)
        except StepError as error:
            if not self.optional or error.errno not in _REFUSED:
                raise


class MoveToCgroup(Step):
    """Move the process into its v2 cgroup, where it could not be born there."""

    pointer: str = "/linux/cgroupsPath"

    def describe(self) -> str:
        return "move the container's process into its v2 cgroup"

    def execute(self, context: Context) -> None:
        if "" in context.cgroups:
            processes.join({"": context.cgroups[""]}, context.pid)


class ResetAffinity(Step):
    """Run on every CPU that the cgroups allow: a caller that is pinned must not pin the container."""

    pointer: str = ""

    def describe(self) -> str:
        return "run on every CPU"

    def execute(self, context: Context) -> None:
        reset_affinity(context)


def reset_affinity(context: Context) -> None:
    """Where a sandbox does not let us, the container is pinned as its caller is: a warning, as in runc."""
    try:
        process.reset_affinity()
    except OSError as error:
        text = "resetting the CPU affinity failed -- the container's process may inherit the runtime's: "
        context.channel.send("warning", text + os_error_text(error))


class EnterCgroups(Step):
    """Enter the v1 cgroups, by descriptors that the runtime opened.

    The process moves itself: to be moved by another one waits 7 to 10 ms for a lock over all forks and exits.
    """

    pointer: str = "/linux/cgroupsPath"

    def describe(self) -> str:
        return "enter the v1 cgroups"

    def execute(self, context: Context) -> None:
        processes.join_self(context.tasks)
        context.tasks = ()
