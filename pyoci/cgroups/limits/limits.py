"""linux.resources put in force in a container's cgroup: what is written where, and the writing.

    writes = limits.plan(config.linux.resources, limits.is_unified(paths))    pure
    limits.apply(paths, writes)

The systemd driver finds in `writes` what systemd has properties for, by the names of files; `update` plans again with
the changed Resources and, if that fails, applies the old plan once more.
Imported only for a container that has a limit.
"""

from __future__ import annotations

from errno import EINVAL, ENOENT, EOPNOTSUPP, EPERM

from pyoci.cgroups.files import Tree, failure
from pyoci.cgroups.limits.limit import FAIL, WARN, Lines, Write
from pyoci.errors import ConfigError, StepError, os_error_text, system_call
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.cgroups.limits.limit import Limit
    from pyoci.config.resources import Resources

    Place = Callable[[str], str]  # what a warning calls the place of a property, whose pointer in config.json it takes

__all__ = ["Place", "Write", "apply", "dotted", "ignored", "in_config", "is_unified", "needs_domain", "plan"]
NOTHING = "ignored: the kernel's cgroups have nothing for it"


def in_config(pointer: str) -> str:
    """The place of a property that config.json gives; `update` has its limits from elsewhere."""
    return f"config.json#{pointer}"


def is_unified(paths: dict[str, str]) -> bool:
    """Whether the container's cgroup (paths.plan()) is v2 alone; on a hybrid machine the limits are v1's."""
    return set(paths) == {""}


def plan(resources: Resources, unified: bool) -> tuple[Write, ...]:
    """Every value that `resources` asks for, in the order in which they must be written. Pure.

    Raises ConfigError for what the kernel's version cannot express.
    """
    if resources.unified and not unified:
        raise ConfigError(
            "invalid configuration: cannot use unified on cgroup v1",
            pointer=f"{resources.pointer}/unified",
            hint="its keys are files of cgroup v2; this machine has v1",
        )
    return tuple([write for row in _tables(unified)[0] for write in row.writes(resources)])


def ignored(resources: Resources, unified: bool) -> tuple[str, ...]:
    """The pointers of what is asked for and nothing is done about, as runc; for a warning in the log."""
    return tuple([write.pointer for row in _tables(unified)[1] for write in row.writes(resources)])


def _tables(unified: bool) -> tuple[tuple[Limit, ...], tuple[Limit, ...]]:
    if unified:
        from pyoci.cgroups.limits import v2

        return v2.LIMITS, v2.IGNORED
    from pyoci.cgroups.limits import v1

    return v1.LIMITS, v1.IGNORED


def needs_domain(writes: tuple[Write, ...]) -> bool:
    """Whether a threaded v2 cgroup will not do; cpu counts, as for runc, although the kernel would allow it."""
    return any(write.owner in ("memory", "io", "cpu", "hugetlb") and not isinstance(write, Lines) for write in writes)


def apply(paths: dict[str, str], writes: tuple[Write, ...], place: Place = in_config) -> None:
    """Write all values to the cgroup. `paths` is as in state.json; {} if the container could not have a cgroup.

    place: for warnings of what nothing is done about.
    Raises StepError naming pointer, controller and file of the first that the kernel refuses or lacks.
    """
    late: list[Write] = []
    with Tree() as tree:
        for number, write in enumerate(writes):
            try:
                _carry_out(tree, paths, write, place)
            except OSError as error:
                following = [other.file for other in writes[number + 1 :]]
                if error.errno != EINVAL or write.retry_after not in following:
                    raise _failed(tree, paths, write, error) from error
                late.append(write)
                continue
            for again in [one for one in late if one.retry_after == write.file]:
                late.remove(again)
                try:
                    _carry_out(tree, paths, again, place)
                except OSError as error:
                    raise _failed(tree, paths, again, error) from error


def _carry_out(tree: Tree, paths: dict[str, str], write: Write, place: Place) -> None:
    if write.controller in paths:
        with tree.open(paths[write.controller]) as cgroup:
            try:
                return write.carry_out(cgroup)
            except OSError as error:
                if error.errno != ENOENT and not (error.errno == EOPNOTSUPP and write.missing == WARN):
                    raise
                if write.otherwise is None and write.missing == FAIL:
                    raise
    elif write.missing == FAIL:
        raise _no_cgroup(write)
    if write.otherwise is not None:
        return _carry_out(tree, paths, write.otherwise, place)
    if write.missing == WARN:
        log.warning(f"{place(write.pointer)}: ignored: the {write.owner} controller here has no {write.file} for it")


def _no_cgroup(write: Write) -> StepError:
    if write.controller:
        from pyoci.cgroups.limits import hints

        message = f"cannot set {write.controller} limit: container could not join or create cgroup"
        hint = hints.unmounted(write.controller)
    else:
        message = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
        hint = f"the {write.owner} controller has to be delegated; or leave out {dotted(write.pointer)}"
    return StepError(message, pointer=write.pointer, hint=hint)


def _failed(tree: Tree, paths: dict[str, str], write: Write, error: OSError) -> StepError:
    if isinstance(write, Lines):
        return _unified_failed(tree, paths, write, error)
    from pyoci.cgroups.limits import hints

    hint = hints.hint(tree, paths, write, error.errno or 0)
    return failure(f"cannot set {dotted(write.pointer)} ({write.owner} controller)", error, write.pointer, hint)


def _unified_failed(tree: Tree, paths: dict[str, str], write: Write, error: OSError) -> StepError:
    message = f'unable to set unified resource "{write.file}": {os_error_text(error)}'
    missing = error.errno in (ENOENT, EPERM)
    if missing and write.owner != "cgroup" and not _is_enabled(tree, paths, write):
        message = f'unified resource "{write.file}" can\'t be set: controller "{write.owner}" not available'
    return StepError(message, pointer=write.pointer, call=system_call(error), errno=error.errno or 0)


def _is_enabled(tree: Tree, paths: dict[str, str], write: Write) -> bool:
    """Whether the cgroup has the controller at all."""
    if write.controller:
        return True
    try:
        with tree.open(paths[""]) as cgroup:
            return write.owner.encode() in cgroup.read("cgroup.controllers").split()
    except OSError:
        return False


def dotted(pointer: str) -> str:
    """linux.resources.memory.limit, as messages name a property."""
    return pointer[1:].replace("/", ".")
