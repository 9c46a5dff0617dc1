"""The container's cgroups, made, limited and opened by the runtime (config-linux.md, "Control groups")."""

from __future__ import annotations

from errno import EACCES, ENOENT, EPERM, EROFS

from pyoci import os
from pyoci.cgroups import manager, processes
from pyoci.config.resources import DeviceRule
from pyoci.errors import StepError
from pyoci.steps.host.context import HostContext, HostStep

_REFUSED = (EACCES, EPERM, EROFS)
_WHOSE = {
    False: "the cgroups here are not ours to change: --rootless=true does without, if cgroupsPath names none",
    True: "leave cgroupsPath out, or name a place in what was delegated to this user",
}


class MakeCgroups(HostStep):
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

    def execute(self, context: HostContext) -> None:
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
        context.init.has_cgroups = True
        context.init.tasks = processes.open_tasks(self.paths)
        context.undo.add(close_tasks, context)
        if self.born_inside:
            context.cgroup = manager.open_v2(self.paths)
            context.undo.add(os.close, context.cgroup)


def close_tasks(context: HostContext) -> None:
    """The container's process has its own copies once it is cloned."""
    for descriptor in context.init.tasks:
        os.close(descriptor)
    context.init.tasks = ()


class ApplyDeviceRules(HostStep):
    """The list of config.json with the default devices after it, in the kernel's terms: v1 files or a BPF program.

    `optional`: an unprivileged runtime, which may not load one, goes on without; its containers can open no device
    that it cannot open itself.
    """

    pointer: str = "/linux/resources/devices"
    rules: tuple[DeviceRule, ...]
    optional: bool = False

    def describe(self) -> str:
        return f"apply {len(self.rules)} device rules"

    def execute(self, context: HostContext) -> None:
        if not context.cgroups:
            return
        try:
            manager.apply_devices(context.cgroups, self.rules, context.undo)
        except StepError as error:
            if not self.optional or error.errno not in _REFUSED:
                raise


class MoveToCgroup(HostStep):
    """Move the process into its v2 cgroup, where it could not be born there."""

    pointer: str = "/linux/cgroupsPath"

    def describe(self) -> str:
        return "move the container's process into its v2 cgroup"

    def execute(self, context: HostContext) -> None:
        if "" in context.cgroups:
            processes.join({"": context.cgroups[""]}, context.pid)


class OpenCgroups(HostStep):
    """exec: open the container's cgroups: stage 1 is born in the v2 one and enters the others itself.

    `optional`: an unprivileged runtime goes on where it may not. `fallback`: for a v2 cgroup that is gone.
    `asked`: they are what --cgroup names, below the container's.
    """

    pointer: str = "/linux/cgroupsPath"
    paths: dict[str, str]
    optional: bool = False
    fallback: str = ""
    asked: bool = False

    def describe(self) -> str:
        return "open " + ", ".join(dict.fromkeys(self.paths.values()))

    def execute(self, context: HostContext) -> None:
        try:
            context.init.tasks = processes.open_tasks(self.paths)
            context.undo.add(close_tasks, context)
            if "" in self.paths:
                context.cgroup = self._unified()
                context.undo.add(os.close, context.cgroup)
        except StepError as error:
            if not self.optional or error.errno not in (EACCES, EPERM, EROFS, ENOENT):
                # In runc's words, but for the number of a process that there is not.
                why = error.message.removeprefix("unable to apply cgroup configuration: cannot open the cgroup: ")
                begin = "unable to start container process: error adding pid of the new process to cgroups"
                error.message = f"{begin}: {why}"
                if self.asked:
                    error.pointer = "--cgroup"
                    if error.errno == ENOENT:
                        error.hint = "there is no such cgroup below the container's; exec makes none"
                raise

    def _unified(self) -> int:
        try:
            return manager.open_v2(self.paths)
        except StepError as error:
            if error.errno != ENOENT or not self.fallback:
                raise
            return manager.open_v2({"": self.fallback})
