"""Why the kernel has refused a limit, and what to do: looked at on the spot. Imported only when it has.

Kernel: Documentation/scheduler/sched-bwc.rst, admin-guide/cgroup-v1/cpusets.rst and memory.rst, cgroup-v2.rst.
"""

from __future__ import annotations

from errno import EACCES, EINVAL, ENODEV, ENOENT, ERANGE

from pyoci import os
from pyoci.cgroups import files
from pyoci.cgroups.files import V1_NO_LIMIT, Tree
from pyoci.cgroups.limits.limit import Write
from pyoci.config import id_list
from pyoci.kernel import textfile

_LEAST_QUOTA, _LEAST_PERIOD, _MOST_PERIOD = 1_000, 1_000, 1_000_000  # microseconds


def hint(tree: Tree, paths: dict[str, str], write: Write, errno: int) -> str:
    """One sentence or two for the error of `write`, "" if nothing is known."""
    path = paths.get(write.controller, "")
    if errno == ENOENT:
        return _missing(tree, path, write)
    if errno == ENODEV and ":" in write.text:
        return f"this machine has no block device {write.text.split()[0]}: `lsblk` shows the numbers of those it has"
    if write.file in ("cpuset.cpus", "cpuset.mems") and errno in (EINVAL, ERANGE, EACCES):
        return _cpuset(tree, path, write)
    if errno == EINVAL:
        if write.file in ("memory.memsw.limit_in_bytes", "memory.limit_in_bytes"):
            return _memory(tree, path, write) or write.hint
        if write.file in ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.max"):
            return _bandwidth(tree, path, write) or write.hint
        if write.file == "cpu.rt_runtime_us":
            return _realtime(tree, path, write) or write.hint
        return write.hint
    return ""


def _read(tree: Tree, path: str, file: str) -> str:
    try:
        with tree.open(path) as cgroup:
            return os.fsdecode(cgroup.read(file)).strip()
    except OSError:
        return ""


def _number(tree: Tree, path: str, file: str) -> int:
    """What stands in the file, -1 if that is no number."""
    text = _read(tree, path, file)
    return int(text) if text.isdigit() else -1


def _memory(tree: Tree, path: str, write: Write) -> str:
    """v1 keeps the limit of memory below that of both together."""
    memory = _number(tree, path, "memory.limit_in_bytes")
    both = _number(tree, path, "memory.memsw.limit_in_bytes")
    if write.file == "memory.limit_in_bytes":
        if 0 <= both < int(write.text):
            both_text = f"memory.swap, which is {both} in whole pages"
            return f"more than the limit of memory and swap together, {both_text}: raise that too"
        return ""
    what = f"memory.swap is the limit of memory and swap together: {write.text} bytes are less than"
    if memory >= V1_NO_LIMIT:
        return f"{what} memory alone may be, which has no limit: set memory.limit too, to {write.text} or less"
    if int(write.text) < memory:
        return f"{what} memory.limit, which is {memory} in whole pages: give at least that, or -1 for no limit"
    return ""


def _bandwidth(tree: Tree, path: str, write: Write) -> str:
    quota, _, period = write.text.partition(" ")
    if write.file == "cpu.cfs_period_us":
        quota, period = "", quota
    if period.isdigit() and not _LEAST_PERIOD <= int(period) <= _MOST_PERIOD:
        return f"a period is {_LEAST_PERIOD} to {_MOST_PERIOD} microseconds, not {period}; the usual one is 100000"
    if quota.isdigit() and int(quota) < _LEAST_QUOTA:
        return f"a quota is {_LEAST_QUOTA} microseconds of each period or more, not {quota}; -1 is no limit"
    burst = max(_number(tree, path, name) for name in ("cpu.cfs_burst_us", "cpu.max.burst"))
    if quota.isdigit() and burst > int(quota):
        return f"the burst, cpu.burst, must not be more than the quota: {burst} is more than {quota}"
    if write.controller and quota.isdigit():
        return _above(tree, path, int(quota))
    return ""


def _above(tree: Tree, path: str, quota: int) -> str:
    """v1: the cgroup above that allows less."""
    period = _number(tree, path, "cpu.cfs_period_us")
    while (path := path.rpartition("/")[0]) not in ("", files.ROOT):
        theirs, length = _number(tree, path, "cpu.cfs_quota_us"), _number(tree, path, "cpu.cfs_period_us")
        if 0 < theirs and 0 < length and quota * length > theirs * period:
            return f"{path} allows less, {theirs} microseconds of each {length}: give no more, or raise that"
    return ""


def _realtime(tree: Tree, path: str, write: Write) -> str:
    period = _number(tree, path, "cpu.rt_period_us")
    if 0 <= period < int(write.text):
        return f"more than cpu.realtimePeriod, which is {period} microseconds: the time is a part of each period"
    while (path := path.rpartition("/")[0]) not in ("", files.ROOT):
        if _read(tree, path, "cpu.rt_runtime_us") == "0":
            return f"{path} has no real-time to pass on: write a number into its cpu.rt_runtime_us first"
    return ""


def _cpuset(tree: Tree, path: str, write: Write) -> str:
    """What the cgroup above has, of which a part is wanted; on v2 the machine's counts, too."""
    if found := no_list(write.text):
        return ": ".join(found)
    parent = path.rpartition("/")[0]
    for name in (f"{write.file}.effective", write.file):
        if has := _read(tree, parent, name):
            return ": ".join(not_there(write.file, write.text, parent, has))
    return ""


def no_list(text: str) -> tuple[str, str] | None:
    """What is wrong with a list of processors or memory nodes, and what to write; None if it is one."""
    try:
        id_list.ranges(text.strip())
    except ValueError as error:
        reason = str(error)
        if reason.startswith("strconv"):  # Go's words, for what is read as Go reads it
            reason = f"{reason.split(chr(34))[1]!r} is no number"
        return reason, 'write numbers and ranges, as in "0-3,7"'
    return None


def not_there(file: str, text: str, place: str, has: str) -> tuple[str, str]:
    """`text`, for cpuset.cpus or cpuset.mems, names more than `place`, a cgroup or this machine, has; what to do."""
    what = "processors" if file == "cpuset.cpus" else "memory nodes"
    return f"{place} has the {what} {has}", f"name some of those, not {text}"


def _missing(tree: Tree, path: str, write: Write) -> str:
    """Why there is no such file: the controller was not handed down on v2, or this kernel's has none."""
    if write.controller or write.owner in _read(tree, path, "cgroup.controllers").split():
        return f"this kernel's {write.owner} controller has no {write.file}"
    text = f"the {write.owner} controller is not available here"
    if "/user@" in path:  # what root can do about it where a user's systemd is above
        return (
            f"{text}: it is not delegated to this user's systemd; root runs `systemctl edit user@.service` and writes "
            '"[Service]" and "Delegate=cpu cpuset io memory pids"'
        )
    while path not in ("", files.ROOT):
        path = path.rpartition("/")[0]
        if write.owner in _read(tree, path, "cgroup.controllers").split():
            return f"{text}: {path} has it and does not pass it on; write +{write.owner} to its cgroup.subtree_control"
    return f"{text}: cgroup v2 of this machine has {_read(tree, files.ROOT, 'cgroup.controllers') or 'no controllers'}"


def unmounted(controller: str) -> str:
    """Why v1 has no hierarchy with that controller."""
    lines = textfile.lines(textfile.read_if_there("/proc/cgroups"))
    known = {fields[0]: fields for fields in (line.split(b"\t") for line in lines) if len(fields) == 4}
    name = os.fsencode(controller)
    place = f"the {controller} controller is not mounted here, or its hierarchy is not ours to write"
    if known and name not in known:
        return f"the {controller} controller is not mounted here: this kernel has none"
    if name in known and known[name][3] == b"0":
        return f"the {controller} controller is not mounted here: it is disabled (cgroup_disable= on the kernel's line)"
    with Tree() as tree:
        if controller in _read(tree, f"{files.ROOT}/unified", "cgroup.controllers").split():
            return f"the {controller} controller is not mounted here: cgroup v2 has it, at {files.ROOT}/unified"
    return place
