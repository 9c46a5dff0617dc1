"""What a container has used, from the files of one v2 cgroup (Documentation/admin-guide/cgroup-v2.rst).

A controller that the cgroup does not have counts nothing; only its processes are counted whatever it has.
"""

from __future__ import annotations

from errno import EOPNOTSUPP

from pyoci.cgroups.files import Directory, Tree, keyed, threaded
from pyoci.cgroups.statistics.files import huge_page_sizes, present, value
from pyoci.cgroups.statistics.shape import BlockIO, Cpu, Entry, Memory, Statistics, Throttling
from pyoci.cgroups.statistics.text import UNLIMITED, Pressure, flat, io, number, pressure

_MICROSECOND = 1000  # ns


def read(tree: Tree, path: str) -> Statistics:
    """The numbers of the cgroup `path`. Raises OSError (it is gone), Error."""
    with tree.open(path) as directory:
        pids, limit = _pids(directory)
        times = present(directory, "cpu.stat", flat) or {}
        return Statistics(
            cpu=_cpu(directory, times),
            throttling=_throttling(times),
            memory=_memory(directory),
            pids=pids,
            pids_limit=limit,
            block_io=_block_io(directory),
            hugetlb=_hugetlb(directory),
        )


def _pids(directory: Directory) -> tuple[int, int]:
    current = present(directory, "pids.current", number)
    if current is not None:
        limit = value(directory, "pids.max")
        return current, 0 if limit == UNLIMITED else limit
    try:
        content = directory.read("cgroup.procs")
    except OSError as error:
        if not threaded(error):
            raise
        content = directory.read("cgroup.threads")
    return content.count(b"\n"), 0


def _throttling(found: dict[str, int]) -> Throttling:
    return Throttling(
        periods=found.get("nr_periods", 0),
        throttled_periods=found.get("nr_throttled", 0),
        throttled_time=found.get("throttled_usec", 0) * _MICROSECOND,
    )


def _cpu(directory: Directory, found: dict[str, int]) -> Cpu:
    return Cpu(
        total=found.get("usage_usec", 0) * _MICROSECOND,
        kernel=found.get("system_usec", 0) * _MICROSECOND,
        user=found.get("user_usec", 0) * _MICROSECOND,
        pressure=_pressure(directory, "cpu.pressure"),
    )


def _memory(directory: Directory) -> Memory:
    stalled = _pressure(directory, "memory.pressure")
    raw = present(directory, "memory.stat", flat) or {}
    if not raw or present(directory, "memory.current", number) is None:
        return Memory(raw=raw, cache=raw.get("file", 0), pressure=stalled)
    usage = _entry(directory, "memory")
    swap = Entry()
    if present(directory, "memory.swap.current", number) is not None:
        swap = _entry(directory, "memory.swap")
    return Memory(
        cache=raw.get("file", 0),
        usage=usage,
        swap=together(usage, swap),
        raw=raw,
        pressure=stalled,
    )


def _entry(directory: Directory, name: str) -> Entry:
    """NAME.peak is new in Linux 5.19, that of swap in 6.5."""
    return Entry(
        usage=value(directory, f"{name}.current"),
        limit=value(directory, f"{name}.max"),
        highest=present(directory, f"{name}.peak", number) or 0,
    )


def together(memory: Entry, swap: Entry) -> Entry:
    """Memory and swap as one, as v1 counts. Their highest usages are of different moments, so there is none."""
    return Entry(
        usage=min(memory.usage + swap.usage, UNLIMITED),
        limit=min(memory.limit + swap.limit, UNLIMITED),
    )


def _block_io(directory: Directory) -> BlockIO:
    found = present(directory, "io.stat", io) or {}
    lists = {
        "ioServiceBytesRecursive": found.get("bytes", ()),
        "ioServicedRecursive": found.get("operations", ()),
    }
    return BlockIO(lists=lists, pressure=_pressure(directory, "io.pressure"))


def _pressure(directory: Directory, name: str) -> Pressure | None:
    """None if the kernel does not tell: built or started without, or turned off by cgroup.pressure."""
    try:
        return present(directory, name, pressure)
    except OSError as error:
        if error.errno != EOPNOTSUPP:
            raise
        return None


def _hugetlb(directory: Directory) -> dict[str, Entry]:
    """Reserved pages where the kernel counts them; else the used ones."""
    found: dict[str, Entry] = {}
    for size in huge_page_sizes():
        name = f"hugetlb.{size}"
        usage = present(directory, f"{name}.rsvd.current", number)
        if usage is None:
            usage = present(directory, f"{name}.current", number)
        if usage is None:  # the cgroup does not have the controller
            return found
        events = directory.read(f"{name}.events")
        found[size] = Entry(usage=usage, failures=number(keyed(events, b"max") or b"0"))
    return found
