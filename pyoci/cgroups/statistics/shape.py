"""What a container has used, and its JSON in the shape of runc's `events` (runc, types/events.go). Pure.

Times are in nanoseconds, sizes in bytes. Other programs parse this JSON: names, order and what is left out when it is
zero are runc's, and nothing is added, though the kernel tells more.
"""

from __future__ import annotations

from pyoci.cgroups.statistics.text import Block, Pressure, Stall
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Entry(Record):
    """One kind of memory. failures: how often the limit was met."""

    limit: int = 0
    usage: int = 0
    highest: int = 0
    failures: int = 0


class Cpu(Record):
    """per_cpu is None where the kernel does not count by CPU (v2)."""

    total: int = 0
    per_cpu: tuple[int, ...] | None = None
    per_cpu_kernel: tuple[int, ...] = ()
    per_cpu_user: tuple[int, ...] = ()
    kernel: int = 0
    user: int = 0
    pressure: Pressure | None = None


class Throttling(Record):
    """By cpu.quota. periods: how many there were."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class Cpuset(Record):
    """Only v1 tells. flags: the numbers in cpuset.NAME by NAME."""

    cpus: tuple[int, ...] = ()
    mems: tuple[int, ...] = ()
    flags: dict[str, int] = {}


class Memory(Record):
    """swap: memory and swap together, as v1 counts. raw: memory.stat as it is."""

    cache: int = 0
    usage: Entry = Entry()
    swap: Entry = Entry()
    kernel: Entry = Entry()
    kernel_tcp: Entry = Entry()
    raw: dict[str, int] = {}
    pressure: Pressure | None = None


class BlockIO(Record):
    """lists: by their names in the JSON."""

    lists: dict[str, tuple[Block, ...]] = {}
    pressure: Pressure | None = None


class Statistics(Record):
    """pids_limit 0: none. hugetlb: by the size of the pages, "2MB"."""

    cpu: Cpu = Cpu()
    throttling: Throttling = Throttling()
    cpuset: Cpuset = Cpuset()
    memory: Memory = Memory()
    pids: int = 0
    pids_limit: int = 0
    block_io: BlockIO = BlockIO()
    hugetlb: dict[str, Entry] = {}


CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)

BLOCK_LISTS = (
    "ioServiceBytesRecursive",
    "ioServicedRecursive",
    "ioQueueRecursive",
    "ioServiceTimeRecursive",
    "ioWaitTimeRecursive",
    "ioMergedRecursive",
    "ioTimeRecursive",
    "sectorsRecursive",
)


def members(found: Statistics) -> dict[str, Any]:
    """The members of "data". intel_rdt is empty, rdt/statistics.py has it; network_interfaces is null."""
    return {
        "cpu": _cpu(found.cpu, found.throttling),
        "cpuset": _cpuset(found.cpuset),
        "memory": _memory(found.memory),
        "pids": _present(current=found.pids, limit=found.pids_limit),
        "blkio": {
            **{name: _blocks(found.block_io.lists[name]) for name in BLOCK_LISTS if found.block_io.lists.get(name)},
            **_pressure(found.block_io.pressure),
        },
        "hugetlb": {
            size: {**_present(usage=one.usage, max=one.highest), "failcnt": one.failures}
            for size, one in sorted(found.hugetlb.items())
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _present(**values: Any) -> dict[str, Any]:
    """Without what is 0, "" or empty: Go's omitempty."""
    return {name: value for name, value in values.items() if value}


def _cpu(cpu: Cpu, throttling: Throttling) -> dict[str, Any]:
    usage = _present(
        total=cpu.total, percpu=cpu.per_cpu, percpu_kernel=cpu.per_cpu_kernel, percpu_user=cpu.per_cpu_user
    )
    used = bool(usage or cpu.kernel or cpu.user or cpu.per_cpu is not None)
    return {
        **({"usage": {**usage, "kernel": cpu.kernel, "user": cpu.user}} if used else {}),
        **_present(
            throttling=_present(
                periods=throttling.periods,
                throttledPeriods=throttling.throttled_periods,
                throttledTime=throttling.throttled_time,
            )
        ),
        **_pressure(cpu.pressure),
    }


def _cpuset(cpuset: Cpuset) -> dict[str, Any]:
    flags = {name: cpuset.flags.get(name, 0) for name in CPUSET_FLAGS}
    exclusive = flags.pop("cpu_exclusive")
    return {
        **_present(cpus=cpuset.cpus),
        "cpu_exclusive": exclusive,
        **_present(mems=cpuset.mems),
        **flags,
    }


def _memory(memory: Memory) -> dict[str, Any]:
    return {
        **_present(
            cache=memory.cache,
            usage=_entry(memory.usage),
            swap=_entry(memory.swap),
            kernel=_entry(memory.kernel),
            kernelTCP=_entry(memory.kernel_tcp),
            raw=dict(sorted(memory.raw.items())),
        ),
        **_pressure(memory.pressure),
    }


def _entry(entry: Entry) -> dict[str, int]:
    if not (entry.limit or entry.usage or entry.highest or entry.failures):
        return {}
    return {
        "limit": entry.limit,
        **_present(usage=entry.usage, max=entry.highest),
        "failcnt": entry.failures,
    }


def _blocks(blocks: tuple[Block, ...]) -> list[dict[str, Any]]:
    return [_present(major=one.major, minor=one.minor, op=one.op, value=one.value) for one in blocks]


def _pressure(pressure: Pressure | None) -> dict[str, Any]:
    """Nothing if the kernel does not tell; what is all 0 is left out (runc since 1.5.2)."""
    if pressure is None:
        return {}
    return {"psi": _present(some=_stall(pressure.some), full=_stall(pressure.full))}


def _stall(stall: Stall) -> dict[str, int | float]:
    if not (stall.avg10 or stall.avg60 or stall.avg300 or stall.total):
        return {}
    return {
        "avg10": _float(stall.avg10),
        "avg60": _float(stall.avg60),
        "avg300": _float(stall.avg300),
        "total": stall.total,
    }


def _float(value: float) -> int | float:
    """Go writes 1.0 as 1."""
    return int(value) if value.is_integer() else value
