"""process.scheduler, ioPriority and execCPUAffinity, linux.personality and linux.memoryPolicy: once in its cgroups,
with all privileges still there, and before the program's ids (config.md, "Process"; config-linux.md)."""

from __future__ import annotations

from errno import EINVAL, EPERM

from pyoci.config import id_list
from pyoci.config.linux import MemoryPolicy, Personality
from pyoci.config.process import ExecCpuAffinity, IoPriority, Scheduler
from pyoci.errors import StepError, os_error_text, system_call
from pyoci.kernel import scheduling
from pyoci.kernel.scheduling_names import FLAGS, IO_CLASSES, MEMORY_FLAGS, MEMORY_MODES, PERSONALITIES, POLICIES
from pyoci.steps.init.cgroups import reset_affinity
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import Step, failed


def _total(names: tuple[str, ...], values: dict[str, int]) -> int:
    """The flags of these names; one given twice counts once."""
    found = 0
    for name in names:
        found |= values[name]
    return found


class SetScheduler(InitStep):
    """sched_setattr(2).

    `cpus`: the cgroup's cpuset is limited too, which SCHED_DEADLINE cannot go with.
    """

    scheduler: Scheduler
    cpus: str = ""

    def describe(self) -> str:
        return describe_scheduler(self.scheduler)

    def execute(self, context: InitContext) -> None:
        set_scheduler(self, self.scheduler, self.cpus, 0)


_NUMBERS = ("nice", "priority", "runtime", "deadline", "period")


def describe_scheduler(wanted: Scheduler) -> str:
    """process.scheduler in one line, for the describe() of create's step and of exec's."""
    numbers = [f"{name} {value}" for name in _NUMBERS if (value := getattr(wanted, name))]
    return f"schedule by {wanted.policy}" + "".join(f", {text}" for text in [*numbers, *wanted.flags])


def set_scheduler(step: Step, wanted: Scheduler, cpus: str, pid: int) -> None:
    """sched_setattr(2) of the process `pid`, 0 for our own. Raises StepError in runc's words."""
    try:
        scheduling.set_attributes(
            POLICIES[wanted.policy],
            _total(wanted.flags, FLAGS),
            wanted.nice,
            wanted.priority,
            wanted.runtime,
            wanted.deadline,
            wanted.period,
            pid,
        )
    except OSError as error:
        message = f"error setting scheduler: {os_error_text(error)}"
        hint = "sched_setattr(2) says what each policy needs"
        if error.errno == EPERM:
            hint = "a lower nice value and real-time policies need CAP_SYS_NICE in the initial user namespace"
            if wanted.policy in ("SCHED_FIFO", "SCHED_RR"):
                hint += "; on cgroup v1 also real-time CPU time: linux.resources.cpu.realtimeRuntime"
            if cpus:
                message = "process scheduler can't be used together with AllowedCPUs"
                hint = f"remove the limit of the cgroup to the CPUs {cpus}"
        raise StepError(
            message,
            call=system_call(error),
            errno=error.errno or 0,
            hint=hint,
        ) from None


class SetIoPriority(InitStep):
    """ioprio_set(2)."""

    priority: IoPriority

    def describe(self) -> str:
        return f"set the I/O priority {self.priority.class_} {self.priority.priority}"

    def execute(self, context: InitContext) -> None:
        try:
            scheduling.set_io_priority(IO_CLASSES[self.priority.class_], self.priority.priority)
        except OSError as error:
            hint = "IOPRIO_CLASS_RT needs CAP_SYS_NICE in the initial user namespace" if error.errno == EPERM else ""
            failure = failed(self, error, hint)
            failure.message = f"failed to set io priority: {os_error_text(error)}"
            raise failure from None


class SetPersonality(InitStep):
    """personality(2)."""

    personality: Personality

    def describe(self) -> str:
        return f"set the personality {self.personality.domain}"

    def execute(self, context: InitContext) -> None:
        scheduling.set_personality(PERSONALITIES[self.personality.domain])


class SetMemoryPolicy(InitStep):
    """set_mempolicy(2)."""

    policy: MemoryPolicy

    def describe(self) -> str:
        policy = self.policy
        nodes = f" of the nodes {policy.nodes}" if policy.nodes else ""
        return f"set the memory policy {' '.join((policy.mode, *policy.flags))}{nodes}"

    def execute(self, context: InitContext) -> None:
        policy = self.policy
        mode = MEMORY_MODES[policy.mode] | _total(policy.flags, MEMORY_FLAGS)
        try:
            scheduling.set_memory_policy(mode, id_list.numbers(policy.nodes))
        except OSError as error:
            hint = ""
            if error.errno == EINVAL:
                hint = "set_mempolicy(2) says which flags go with which mode"
                if policy.nodes:
                    hint = f"the nodes of this machine are in /sys/devices/system/node/online; {hint}"
            failure = failed(self, error, hint)
            failure.message = f"set_mempolicy: {os_error_text(error)}"  # as runc
            raise failure from None


class SetFinalAffinity(InitStep):
    """execCPUAffinity.final: once it is in the cgroup. With neither, every CPU; with `initial` alone, that stays."""

    affinity: ExecCpuAffinity | None = None

    def describe(self) -> str:
        wanted = self.affinity
        if wanted is None or not (wanted.initial or wanted.final):
            return "run on every CPU"
        return f"run on the CPUs {wanted.final or wanted.initial}"

    def execute(self, context: InitContext) -> None:
        wanted = self.affinity
        if wanted is None or not (wanted.initial or wanted.final):
            reset_affinity(context)
        elif wanted.final:
            set_affinity(self, "final", wanted.final)


def set_affinity(step: Step, which: str, cpus: str) -> None:
    """runc's words. EINVAL: none of these CPUs exists, or the cgroup has none of them."""
    try:
        scheduling.set_affinity(id_list.numbers(cpus))
    except OSError as error:
        failure = failed(step, error, f"none of the CPUs {cpus} may be used here; /proc/self/status shows which may")
        failure.message = f"error setting {which} CPU affinity: {os_error_text(error)}"
        failure.pointer = f"{step.pointer}/{which}"
        raise failure from None
