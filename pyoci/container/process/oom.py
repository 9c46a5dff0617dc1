"""Why a process died of its memory limit: which limit, how much was used. Imported only when a process has died."""

from __future__ import annotations

from errno import ENOMEM

from pyoci.cgroups import manager
from pyoci.errors import Error, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.plan.plan import Plan

LIMIT = "/linux/resources/memory/limit"
_FILES = ("memory.max", "memory.limit_in_bytes")


def explanation(cgroups: dict[str, str], pointer: str = LIMIT) -> StepError | None:
    """The error for a process of the cgroup that is gone; None if the OOM killer has ended none there.

    pointer: the property with the limit.
    """
    if not cgroups or not manager.oom_kills(cgroups):
        return None
    pointer, hint = _hint(cgroups, pointer)
    return StepError("container init was OOM-killed (memory limit too low?)", pointer=pointer, hint=hint)


def explained(error: Error, cgroups: dict[str, str], pointer: str = LIMIT) -> Error:
    """`error` of a process in the cgroup; a system call that got no memory says how much there was."""
    if error.errno == ENOMEM and cgroups and not error.hint:
        error.hint = _hint(cgroups, pointer)[1]
    return error


def limit_pointer(plan: Plan) -> str:
    """The property that says how much memory the container of `plan` may have."""
    for step in plan.prepare:
        for write in getattr(step, "writes", ()):
            if write.file in _FILES:
                return str(write.pointer)
    return LIMIT


def _hint(cgroups: dict[str, str], pointer: str) -> tuple[str, str]:
    limit, peak = manager.memory_use(cgroups)
    if limit is None:
        return "/linux/cgroupsPath", f"the cgroup itself has no limit, one above it has; {peak} bytes were used at most"
    return pointer, f"the limit is {limit} bytes, {peak} bytes were used at most: raise the limit"
