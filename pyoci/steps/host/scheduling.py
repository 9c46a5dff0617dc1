"""exec: what of process.scheduler and execCPUAffinity is the runtime's to set."""

from __future__ import annotations

from pyoci.config.process import ExecCpuAffinity, Scheduler
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.init.scheduling import describe_scheduler, set_affinity, set_scheduler


class SetInitialAffinity(HostStep):
    """execCPUAffinity.initial: of the process that joins, before it is in the container's cgroup (exec only)."""

    affinity: ExecCpuAffinity

    def describe(self) -> str:
        return f"run on the CPUs {self.affinity.initial} at first"

    def execute(self, context: HostContext) -> None:
        set_affinity(self, "initial", self.affinity.initial)


class ScheduleProcess(HostStep):
    """sched_setattr(2) of the process that is being made, by its pid: a process with a deadline could not fork, and one
    that is reset by a fork has to be the last that is made."""

    scheduler: Scheduler
    cpus: str = ""

    def describe(self) -> str:
        return describe_scheduler(self.scheduler)

    def execute(self, context: HostContext) -> None:
        set_scheduler(self, self.scheduler, self.cpus, context.pid)
