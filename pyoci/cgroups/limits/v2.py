"""The limits of cgroup v2, in the order in which they are written.

Kernel: Documentation/admin-guide/cgroup-v2.rst. The order and what 0 means are runc's.
"""

from __future__ import annotations

from pyoci.cgroups.limits.conversions import bandwidth, cpu_weight, io_weight, limit, swap
from pyoci.cgroups.limits.limit import PASS, WARN, Limit, Lines, MustExceed, row
from pyoci.cgroups.limits.texts import (
    burst,
    class_id,
    cpus,
    device_leaf_weight,
    device_weight,
    disable_oom_killer,
    idle,
    leaf_weight,
    mems,
    pages,
    pids,
    priority,
    rate,
    rdma,
    realtime_period,
    realtime_runtime,
    swappiness,
    weight,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.cgroups.limits.limit import Text
    from pyoci.config.limits import BlockIO, Cpu, Memory, WeightDevice

_NO_LIMIT = bandwidth(0, 0)
_IDLE = "while cpu.idle is 1 the cgroup has no weight: leave out cpu.shares or cpu.idle"


def _number(value: int | None) -> str | None:
    return limit(value) if value else None


def _swap(memory: Memory) -> str | None:
    value = swap(memory.limit or 0, memory.swap or 0, f"{memory.pointer}/swap")
    return None if value is None else limit(value)


def _swap_checked(memory: Memory) -> str | None:
    return str(memory.swap) if memory.check_before_update and memory.swap and memory.swap > 0 else None


def _limit_checked(memory: Memory) -> str | None:
    return str(memory.limit) if memory.check_before_update and memory.limit and memory.limit > 0 else None


def _io_weight(io: BlockIO) -> str:
    return str(io_weight(io.weight or 0))


def _device_io_weight(device: WeightDevice) -> str:
    return f"{device.major}:{device.minor} {io_weight(device.weight or 0)}"


def _throttle(property: str, holder: str, key: str) -> Limit:
    return _row(f"/blockIO/{property}", "io.max", f"block_io.{holder}", lambda one: rate(one, f"{key}="))


def _cpu_weight(cpu: Cpu) -> str | None:
    return str(cpu_weight(cpu.shares)) if cpu.shares else None


def _quota(cpu: Cpu) -> str | None:
    return bandwidth(cpu.quota, cpu.period or 0) if cpu.quota else None


def _period(cpu: Cpu) -> str | None:
    return bandwidth(0, cpu.period) if cpu.period and not cpu.quota else None


def _row(property: str, file: str, holder: str, text: Text, default: tuple[str, ...] = (), **more: Any) -> Limit:
    return row(property, "", file, holder, text, default, **more)


_WEIGHT = _row("/blockIO/weight", "io.weight", "block_io", _io_weight)
_WEIGHTS = _row("/blockIO/weightDevice", "io.weight", "block_io.weight_device", _device_io_weight, missing=WARN)

# fmt: off
LIMITS: tuple[Limit, ...] = (
    _row("/memory/checkBeforeUpdate", "memory.current", "memory", _swap_checked, kind=MustExceed, what="memory+swap"),
    _row("/memory/checkBeforeUpdate", "memory.current", "memory", _limit_checked, kind=MustExceed, what="memory"),
    _row("/pids/limit", "pids.max", "", pids, ("max",)),
    _row("/memory/swap", "memory.swap.max", "memory", _swap, ("max", "0")),  # where there is no swap both hold anyway
    _row("/memory/limit", "memory.max", "memory", lambda memory: _number(memory.limit), ("max",)),
    _row("/memory/reservation", "memory.low", "memory", lambda memory: _number(memory.reservation)),
    _row("/blockIO/weight", "io.bfq.weight", "block_io", weight, otherwise=_WEIGHT),
    _row("/blockIO/weightDevice", "io.bfq.weight", "block_io.weight_device", device_weight, otherwise=_WEIGHTS),
    _throttle("throttleReadBpsDevice", "throttle_read_bps_device", "rbps"),
    _throttle("throttleWriteBpsDevice", "throttle_write_bps_device", "wbps"),
    _throttle("throttleReadIOPSDevice", "throttle_read_iops_device", "riops"),
    _throttle("throttleWriteIOPSDevice", "throttle_write_iops_device", "wiops"),
    _row("/cpu/idle", "cpu.idle", "cpu", idle, ("0",)),
    _row("/cpu/shares", "cpu.weight", "cpu", _cpu_weight, ("100",), hint=_IDLE),
    _row("/cpu/burst", "cpu.max.burst", "cpu", burst, ("0",), retry_after="cpu.max"),
    _row("/cpu/quota", "cpu.max", "cpu", _quota, (_NO_LIMIT,)),
    _row("/cpu/period", "cpu.max", "cpu", _period, (_NO_LIMIT,)),
    _row("/cpu/cpus", "cpuset.cpus", "cpu", cpus),
    _row("/cpu/mems", "cpuset.mems", "cpu", mems),
    _row("/hugepageLimits", "hugetlb.{page_size}.max", "hugepage_limits", pages),
    _row("/hugepageLimits", "hugetlb.{page_size}.rsvd.max", "hugepage_limits", pages, missing=PASS),
    _row("/rdma", "rdma.max", "rdma", rdma),
    _row("/unified", "{key}", "unified", lambda one: one.value, kind=Lines),
)

# What v2 has no file for. runc ignores it, and so do we, with a warning.
IGNORED: tuple[Limit, ...] = (
    _row("/memory/kernel", "", "memory", lambda memory: _number(memory.kernel)),
    _row("/memory/kernelTCP", "", "memory", lambda memory: _number(memory.kernel_tcp)),
    _row("/memory/swappiness", "", "memory", swappiness),
    _row("/memory/disableOOMKiller", "", "memory", disable_oom_killer),
    _row("/cpu/realtimeRuntime", "", "cpu", realtime_runtime),
    _row("/cpu/realtimePeriod", "", "cpu", realtime_period),
    _row("/blockIO/leafWeight", "", "block_io", leaf_weight),
    _row("/blockIO/weightDevice", "", "block_io.weight_device", device_leaf_weight),
    _row("/network/classID", "", "network", class_id),
    _row("/network/priorities", "", "network.priorities", priority),
)
# fmt: on
