"""What the runtime does to the container's process from outside, through its own procfs and by pid."""

from __future__ import annotations

from errno import EPERM

from pyoci.config.namespaces import TimeOffset
from pyoci.config.process import Rlimit
from pyoci.errors import StepError
from pyoci.kernel import procfs
from pyoci.kernel.process import raise_hard_limit
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.init.process import limits
from pyoci.steps.step import failed

CLOCKS = {"monotonic": 1, "boottime": 7}


class SetOomScoreAdj(HostStep):
    """Before the process becomes non-dumpable: an unprivileged runtime could not write it any more."""

    pointer: str = "/process/oomScoreAdj"
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"

    def execute(self, context: HostContext) -> None:
        try:
            procfs.write(context.proc, f"{context.pid}/oom_score_adj", str(self.value))
        except PermissionError as error:
            hint = "to lower it below the runtime's own takes CAP_SYS_RESOURCE on the host"
            raise failed(self, error, hint) from error


class SetTimeOffsets(HostStep):
    """Between unshare(CLONE_NEWTIME) and the next clone: then the offsets are fixed (time_namespaces(7))."""

    pointer: str = "/linux/timeOffsets"
    offsets: tuple[TimeOffset, ...]

    def describe(self) -> str:
        return "set time offsets: " + ", ".join(f"{one.clock} {one.secs}s {one.nanosecs}ns" for one in self.offsets)

    def execute(self, context: HostContext) -> None:
        lines = "".join(f"{CLOCKS[one.clock]} {one.secs} {one.nanosecs}\n" for one in self.offsets)
        procfs.write(context.proc, f"{context.pid}/timens_offsets", lines)


class RaiseHardLimits(HostStep):
    """Lift hard limits that the container's process cannot lift itself."""

    pointer: str = "/process/rlimits"
    rlimits: tuple[Rlimit, ...]

    def describe(self) -> str:
        return "raise hard limits where needed: " + ", ".join(f"{one.type} {one.hard}" for one in self.rlimits)

    def execute(self, context: HostContext) -> None:
        for one in self.rlimits:
            try:
                raise_hard_limit(context.pid, one.resource, limits(one)[1])
            except (PermissionError, ValueError) as error:
                raise StepError(
                    "error setting rlimits for ready process: "
                    f"error setting rlimit type {one.resource}: operation not permitted",
                    pointer=one.pointer,
                    call=f"prlimit({context.pid}, {one.type})",
                    errno=EPERM,
                    hint=f"raising a hard limit to {one.hard} needs CAP_SYS_RESOURCE: {error}",
                ) from None
