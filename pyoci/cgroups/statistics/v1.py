"""What a container has used, from the files of v1's controllers (Documentation/admin-guide/cgroup-v1)."""

from __future__ import annotations

from pyoci.cgroups.files import Directory, Tree
from pyoci.cgroups.statistics.files import huge_page_sizes, parsed, present, value
from pyoci.cgroups.statistics.shape import (
    CPUSET_FLAGS,
    BlockIO,
    Cpu,
    Cpuset,
    Entry,
    Memory,
    Statistics,
    Throttling,
)
from pyoci.cgroups.statistics.text import UNLIMITED, Block, blocks, flat, ids, modes, number, numbers, signed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_TICK = 10_000_000  # ns: what user space calls a clock tick is 1/100 s on every architecture that we know

# The files of blkio, the fullest first: BFQ with debugging, BFQ, CFQ (Linux before 5.0), the throttle layer. The
# first set whose first file tells anything counts, and it ends at the first file that tells nothing.
_SUFFIXES = (
    ("sectorsRecursive", "sectors"),
    ("ioServiceTimeRecursive", "io_service_time"),
    ("ioWaitTimeRecursive", "io_wait_time"),
    ("ioMergedRecursive", "io_merged"),
    ("ioQueueRecursive", "io_queued"),
    ("ioTimeRecursive", "time"),
    ("ioServicedRecursive", "io_serviced"),
    ("ioServiceBytesRecursive", "io_service_bytes"),
)
_BLOCK_FILES = tuple(
    tuple((name, f"blkio.{layer}{suffix}{ending}") for name, suffix in suffixes)
    for layer, suffixes, ending in (
        ("bfq.", _SUFFIXES, "_recursive"),
        ("bfq.", _SUFFIXES[-2:], "_recursive"),
        ("", _SUFFIXES, "_recursive"),
        ("throttle.", _SUFFIXES[-2:], "_recursive"),
        ("throttle.", _SUFFIXES[-2:], ""),
    )
)


def read(tree: Tree, paths: dict[str, str]) -> Statistics:
    """The numbers of every controller in `paths`; one that is missing, or whose cgroup is gone, counts nothing.

    Raises OSError, Error.
    """

    def ask(controller: str, question: Callable[[Directory], T]) -> T | None:
        if controller not in paths:
            return None
        try:
            directory = tree.open(paths[controller])
        except FileNotFoundError:
            return None
        with directory:
            return question(directory)

    pids, limit = ask("pids", _pids) or (0, 0)
    return Statistics(
        cpu=ask("cpuacct", _cpu) or Cpu(),
        throttling=ask("cpu", _throttling) or Throttling(),
        cpuset=ask("cpuset", _cpuset) or Cpuset(),
        memory=ask("memory", _memory) or Memory(),
        pids=pids,
        pids_limit=limit,
        block_io=ask("blkio", _block_io) or BlockIO(),
        hugetlb=ask("hugetlb", _hugetlb) or {},
    )


def _throttling(directory: Directory) -> Throttling:
    found = present(directory, "cpu.stat", flat) or {}
    return Throttling(
        periods=found.get("nr_periods", 0),
        throttled_periods=found.get("nr_throttled", 0),
        throttled_time=found.get("throttled_time", 0),
    )


def _cpu(directory: Directory) -> Cpu:
    ticks = parsed(directory, "cpuacct.stat", flat)
    user, kernel = present(directory, "cpuacct.usage_all", modes) or ((), ())
    return Cpu(
        total=value(directory, "cpuacct.usage"),
        per_cpu=parsed(directory, "cpuacct.usage_percpu", numbers),
        per_cpu_kernel=kernel,
        per_cpu_user=user,
        kernel=ticks.get("system", 0) * _TICK,
        user=ticks.get("user", 0) * _TICK,
    )


def _cpuset(directory: Directory) -> Cpuset:
    return Cpuset(
        cpus=present(directory, "cpuset.cpus", ids) or (),
        mems=present(directory, "cpuset.mems", ids) or (),
        flags={name: present(directory, f"cpuset.{name}", signed) or 0 for name in CPUSET_FLAGS},
    )


def _memory(directory: Directory) -> Memory:
    raw = present(directory, "memory.stat", flat) or {}
    if not raw:
        return Memory()
    return Memory(
        cache=raw.get("cache", 0),
        usage=_entry(directory, "memory"),
        swap=_optional_entry(directory, "memory.memsw"),
        kernel=_optional_entry(directory, "memory.kmem"),
        kernel_tcp=_optional_entry(directory, "memory.kmem.tcp"),
        raw=raw,
    )


def _entry(directory: Directory, name: str) -> Entry:
    """The four files of one kind; newer kernels do not limit kernel memory and have no file for it."""
    limit = f"{name}.limit_in_bytes"
    return Entry(
        usage=value(directory, f"{name}.usage_in_bytes"),
        highest=value(directory, f"{name}.max_usage_in_bytes"),
        failures=value(directory, f"{name}.failcnt"),
        limit=present(directory, limit, number) or 0 if name == "memory.kmem" else value(directory, limit),
    )


def _optional_entry(directory: Directory, name: str) -> Entry:
    if present(directory, f"{name}.usage_in_bytes", number) is None:
        return Entry()
    return _entry(directory, name)


def _pids(directory: Directory) -> tuple[int, int]:
    limit = value(directory, "pids.max")
    return value(directory, "pids.current"), 0 if limit == UNLIMITED else limit


def _block_io(directory: Directory) -> BlockIO:
    lists: dict[str, tuple[Block, ...]] = {}
    for files in _BLOCK_FILES:
        for name, file in files:
            told = present(directory, file, blocks) or ()
            if not told:
                break
            lists[name] = told
        if lists:
            break
    return BlockIO(lists=lists)


def _hugetlb(directory: Directory) -> dict[str, Entry]:
    """Reserved pages, which a program is refused when it maps, where the kernel counts them; else the used ones."""
    found = {}
    for size in huge_page_sizes():
        name = f"hugetlb.{size}.rsvd"
        if present(directory, f"{name}.usage_in_bytes", number) is None:
            name = f"hugetlb.{size}"
        found[size] = Entry(
            usage=value(directory, f"{name}.usage_in_bytes"),
            highest=value(directory, f"{name}.max_usage_in_bytes"),
            failures=value(directory, f"{name}.failcnt"),
        )
    return found
