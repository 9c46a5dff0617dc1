"""The rules of `process` (rules/rules.py); also for a process.json."""

from __future__ import annotations

from pyoci.config import id_list
from pyoci.config.node import broken
from pyoci.config.rules.rule import MAX_ID, NO_ID, printable, quoted, shown
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.process import ExecCpuAffinity, IoPriority, Process, Rlimit, Scheduler, User

MAX_GROUPS = 65536  # NGROUPS_MAX, what setgroups(2) takes


def violations(process: Process) -> Iterator[ConfigError]:
    """Every rule that `process` breaks."""
    if not process.cwd:
        yield ConfigError("Cwd property must not be empty", pointer=f"{process.pointer}/cwd", hint='write "/"')
    elif not process.cwd.startswith("/"):
        yield ConfigError("Cwd must be an absolute path", pointer=f"{process.pointer}/cwd", hint='begin it with "/"')
    if not process.args:
        yield ConfigError("args must not be empty", pointer=f"{process.pointer}/args", hint="name the program to run")
    yield from _user(process.user)
    yield from _environment(process)
    yield from _rlimits(process.rlimits)
    if process.terminal and process.console_size is not None:
        for name, size in zip(("height", "width"), process.console_size, strict=True):
            if size > 65535:
                yield broken(f"{process.pointer}/consoleSize/{name}", f"must be at most 65535, not {size}")
    if process.oom_score_adj is not None and not -1000 <= process.oom_score_adj <= 1000:
        reason = f"must be between -1000 and 1000, not {process.oom_score_adj}"
        yield broken(f"{process.pointer}/oomScoreAdj", reason)
    for key, name in (("apparmorProfile", process.apparmor_profile), ("selinuxLabel", process.selinux_label)):
        if not printable(name):
            yield broken(f"{process.pointer}/{key}", "must not contain control characters")
    if process.scheduler is not None:
        yield from _scheduler(process.scheduler)
    if process.io_priority is not None:
        yield from _io_priority(process.io_priority)
    if process.exec_cpu_affinity is not None:
        yield from cpu_affinity(process.exec_cpu_affinity)


def _user(user: User) -> Iterator[ConfigError]:
    ids = [("uid", user.uid), ("gid", user.gid)]
    ids += [(f"additionalGids/{index}", gid) for index, gid in enumerate(user.additional_gids)]
    for key, id in ids:
        if id > MAX_ID:
            yield broken(f"{user.pointer}/{key}", f"must be between 0 and {MAX_ID}, not {id}", NO_ID)
    if len(user.additional_gids) > MAX_GROUPS:
        message = f"must be at most {MAX_GROUPS} groups, not {len(user.additional_gids)}"
        yield broken(f"{user.pointer}/additionalGids", message)
    if user.umask is not None and user.umask > 0o777:
        hint = "the number is decimal: 18 is the usual 022"
        yield broken(f"{user.pointer}/umask", f"must be between 0 and 511, not {user.umask}", hint)


def _environment(process: Process) -> Iterator[ConfigError]:
    """The pointer is that of the whole array: duplicates are gone by now, and with them the indices."""
    for entry in process.env or ():
        at = entry.find("=")
        if at <= 0:
            fault = "name cannot be empty" if at == 0 else "missing '='"
            hint = f"write {quoted(entry)} as NAME=VALUE; a value is never taken from the runtime's own environment"
            yield ConfigError(f"invalid environment variable: {fault}", pointer=f"{process.pointer}/env", hint=hint)


def _rlimits(rlimits: tuple[Rlimit, ...]) -> Iterator[ConfigError]:
    seen = set()
    for rlimit in rlimits:
        if rlimit.resource < 0:
            from pyoci.config import suggestions  # no configuration of an engine comes here

            hint = suggestions.for_rlimit(rlimit.type) or "see getrlimit(2) for the names"
            yield ConfigError(f"wrong rlimit value: {shown(rlimit.type)}", pointer=f"{rlimit.pointer}/type", hint=hint)
        if rlimit.type in seen:
            yield broken(f"{rlimit.pointer}/type", f"{shown(rlimit.type)} is given twice", "keep one of them")
        seen.add(rlimit.type)
        if rlimit.soft > rlimit.hard:
            reason = f"the soft limit {rlimit.soft} is higher than the hard limit {rlimit.hard}"
            yield broken(f"{rlimit.pointer}/soft", reason, "raise hard or lower soft")


def _scheduler(scheduler: Scheduler) -> Iterator[ConfigError]:
    """sched_setattr(2)."""
    pointer, policy = scheduler.pointer, scheduler.policy
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= scheduler.nice <= 19:
        message = f"invalid scheduler.nice: {scheduler.nice} when scheduler.policy is {policy}"
        yield ConfigError(message, pointer=f"{pointer}/nice", hint="nice is between -20 and 19")
    if scheduler.priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        message = "scheduler.priority can only be specified for SchedFIFO or SchedRR policy"
        yield ConfigError(message, pointer=f"{pointer}/priority", hint="remove it")
    if policy != "SCHED_DEADLINE" and (scheduler.runtime or scheduler.deadline or scheduler.period):
        message = "scheduler runtime/deadline/period can only be specified for SchedDeadline policy"
        yield ConfigError(message, pointer=pointer, hint="remove them")


def _io_priority(io: IoPriority) -> Iterator[ConfigError]:
    """ioprio_set(2)."""
    if not 0 <= io.priority <= 7:
        message = f"invalid ioPriority.Priority: {io.priority}"
        yield ConfigError(message, pointer=f"{io.pointer}/priority", hint="it is between 0, the highest, and 7")


def cpu_affinity(affinity: ExecCpuAffinity) -> Iterator[ConfigError]:
    """Both are lists of CPUs, in the words of runc."""
    for name, key, text in (("Initial", "initial", affinity.initial), ("Final", "final", affinity.final)):
        try:
            id_list.ranges(text)
        except ValueError as error:
            hint = 'write CPUs as in "0-3,7"'
            yield ConfigError(
                f"bad CPUAffinity.{name}: {shown(str(error))}", pointer=f"{affinity.pointer}/{key}", hint=hint
            )
