"""Where a mount goes: the target below the container's root, by descriptor, and what may not be covered."""

from __future__ import annotations

import stat
from errno import ELOOP, ENOENT, ENOTDIR

from pyoci import os
from pyoci.errors import StepError
from pyoci.kernel import mount, path
from pyoci.kernel.constants import PROC_SUPER_MAGIC, RESOLVE_NO_SYMLINKS
from pyoci.kernel.path import filesystem_type
from pyoci.pathname import below
from pyoci.steps.init.context import InitContext
from pyoci.steps.step import Step

# Files of procfs that lxcfs and container engines replace; everything else below /proc is refused, because a mount
# there can fake what security labels are written to (CVE-2019-16884).
REPLACEABLE_IN_PROC = frozenset(
    "/proc/" + name
    for name in (
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    )
)


def encode(name: str) -> bytes:
    """A path of config.json as the kernel takes it; a trailing slash would make a link be followed."""
    return name.rstrip("/").encode("utf-8", "surrogateescape") or b"/"


def find(context: InitContext, destination: str, directory: bool) -> tuple[int, bool]:
    """Open the target (O_PATH), making it if missing; and whether it was there before."""
    name = encode(destination)
    try:
        return path.open_in_root(context.root, name), True
    except FileNotFoundError:
        return path.ensure(context.root, name, directory), False


def find_ordinary_directory(context: InitContext, step: Step, kind: str, destination: str) -> int:
    """Open the target of a procfs or sysfs: no component may be a link (CVE-2019-19921, CVE-2023-27561)."""
    name = encode(destination)
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        try:
            return path.open_in_root(context.root, name, flags, RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            os.close(path.ensure(context.root, name, directory=True))
            return path.open_in_root(context.root, name, flags, RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno not in (ELOOP, ENOTDIR, ENOENT):
            raise
        raise StepError(
            f'filesystem "{kind}" must be mounted on ordinary directory',
            errno=error.errno,
            hint=f"{destination} or a part of it is a link or a file in the root file system",
        ) from None


def attach(tree: int, target: int, destination: str) -> None:
    """Put a detached mount onto its target; a directory on a file (EINVAL) becomes ENOTDIR with the reason."""
    try:
        mount.attach(tree, target)
    except OSError as error:
        ours, theirs = (stat.S_ISDIR(os.fstat(one).st_mode) for one in (tree, target))
        if ours == theirs:
            raise
        refused = OSError(ENOTDIR, os.strerror(ENOTDIR), destination)
        refused.add_note(error.__notes__[0])
        kinds = ("a directory", "a file") if ours else ("a file", "a directory")
        refused.add_note(f"what is mounted is {kinds[0]}, and {destination} in the root file system is {kinds[1]}")
        raise refused from None


def name_in_root(context: InitContext, target: int) -> str | None:
    """The path of `target` below the container's root, as the kernel sees it now; "/" is the root itself.

    None is outside. openat2(2) finds nothing there; should a target ever be found in another way, this tells.
    """
    root, name = (os.readlink(f"self/fd/{number}", dir_fd=context.proc) for number in (context.root, target))
    return below(name, root.rstrip("/")) or None


def check(context: InitContext, step: Step, destination: str, target: int, is_procfs: bool) -> None:
    """Refuse targets that would hide the root or undermine /proc. `is_procfs`: the mount is the root of a procfs."""
    name = name_in_root(context, target)
    if name is None:
        raise _refused(step, f"mountpoint {destination} is outside of rootfs", "did its name change meanwhile?")
    if name == "/":
        raise _refused(step, f"mountpoint {destination} is on the top of rootfs", "mount somewhere below /")
    if name == "/proc":
        if not is_procfs:
            raise _refused(
                step,
                f'"{destination}" cannot be mounted because it is not of type proc',
                "on /proc only a procfs, or a bind mount of the root of one, is safe (CVE-2019-16884)",
            )
        return
    inside = name.startswith("/proc/") or filesystem_type(target) == PROC_SUPER_MAGIC
    if inside and name not in REPLACEABLE_IN_PROC:
        raise _refused(
            step,
            f'"{destination}" cannot be mounted because it is inside /proc',
            "security labels are written below /proc; only "
            + ", ".join(sorted(REPLACEABLE_IN_PROC))
            + " may be covered",
        )


def _refused(step: Step, message: str, hint: str) -> StepError:
    return StepError(message, pointer=step.pointer, hint=hint)
