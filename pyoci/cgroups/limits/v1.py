"""The limits of cgroup v1, in the order in which they are written.

Kernel: Documentation/admin-guide/cgroup-v1/, scheduler/sched-bwc.rst. The order and what 0 means are runc's.
"""

from __future__ import annotations

from pyoci.cgroups.limits.limit import PASS, WARN, Limit, ReadBack, UsedMemory, row
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
    nonzero,
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
    from pyoci.cgroups.limits.limit import Text
    from pyoci.config.limits import Memory

_LIMIT, _BOTH = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"


def _unlimited_both(memory: Memory) -> str | None:
    """Unlimited memory is unlimited swap too, unless something else is said."""
    return "-1" if memory.limit == -1 and not memory.swap else None


def _weights(property: str, name: str, holder: str, text: Text) -> Limit:
    """blkio.bfq.NAME where BFQ is all there is."""
    bfq = row(property, "blkio", f"blkio.bfq.{name}", holder, text)
    return row(property, "blkio", f"blkio.{name}", holder, text, otherwise=bfq)


def _throttle(property: str, holder: str, name: str) -> Limit:
    return row(f"/blockIO/{property}", "blkio", f"blkio.throttle.{name}_device", f"block_io.{holder}", rate)


# Two limits that the kernel keeps in order (memory below memory+swap, quota within period and burst) may have to be
# written in either order: the first is tried, and again after the second one. Those for real-time processes come
# before any process enters, which the kernel would refuse otherwise.
# fmt: off
LIMITS: tuple[Limit, ...] = (
    row("/cpu/cpus", "cpuset", "cpuset.cpus", "cpu", cpus),
    row("/cpu/mems", "cpuset", "cpuset.mems", "cpu", mems),
    row("/memory/limit", "memory", _LIMIT, "memory", lambda memory: nonzero(memory.limit), ("-1",), kind=UsedMemory,
        retry_after=_BOTH),
    row("/memory/swap", "memory", _BOTH, "memory", lambda memory: nonzero(memory.swap), ("-1",)),
    row("/memory/limit", "memory", _BOTH, "memory", _unlimited_both, missing=PASS),
    row("/memory/reservation", "memory", "memory.soft_limit_in_bytes", "memory",
        lambda memory: nonzero(memory.reservation), ("-1",)),
    row("/memory/disableOOMKiller", "memory", "memory.oom_control", "memory", disable_oom_killer),
    row("/memory/swappiness", "memory", "memory.swappiness", "memory", swappiness),
    row("/cpu/realtimePeriod", "cpu", "cpu.rt_period_us", "cpu", realtime_period, retry_after="cpu.rt_runtime_us"),
    row("/cpu/realtimeRuntime", "cpu", "cpu.rt_runtime_us", "cpu", realtime_runtime),
    row("/cpu/shares", "cpu", "cpu.shares", "cpu", lambda cpu: nonzero(cpu.shares), ("1024",), kind=ReadBack),
    row("/cpu/period", "cpu", "cpu.cfs_period_us", "cpu", lambda cpu: nonzero(cpu.period), ("100000",),
        retry_after="cpu.cfs_quota_us"),
    row("/cpu/burst", "cpu", "cpu.cfs_burst_us", "cpu", burst, ("0",), missing=WARN, retry_after="cpu.cfs_quota_us"),
    row("/cpu/quota", "cpu", "cpu.cfs_quota_us", "cpu", lambda cpu: nonzero(cpu.quota), ("-1",)),
    row("/cpu/idle", "cpu", "cpu.idle", "cpu", idle, ("0",)),
    row("/pids/limit", "pids", "pids.max", "", pids, ("max",)),
    _weights("/blockIO/weight", "weight", "block_io", weight),
    row("/blockIO/leafWeight", "blkio", "blkio.leaf_weight", "block_io", leaf_weight),
    _weights("/blockIO/weightDevice", "weight_device", "block_io.weight_device", device_weight),
    row("/blockIO/weightDevice", "blkio", "blkio.leaf_weight_device", "block_io.weight_device", device_leaf_weight),
    _throttle("throttleReadBpsDevice", "throttle_read_bps_device", "read_bps"),
    _throttle("throttleWriteBpsDevice", "throttle_write_bps_device", "write_bps"),
    _throttle("throttleReadIOPSDevice", "throttle_read_iops_device", "read_iops"),
    _throttle("throttleWriteIOPSDevice", "throttle_write_iops_device", "write_iops"),
    row("/hugepageLimits", "hugetlb", "hugetlb.{page_size}.limit_in_bytes", "hugepage_limits", pages),
    row("/hugepageLimits", "hugetlb", "hugetlb.{page_size}.rsvd.limit_in_bytes", "hugepage_limits", pages,
        missing=PASS),
    row("/network/classID", "net_cls", "net_cls.classid", "network", class_id),
    row("/network/priorities", "net_prio", "net_prio.ifpriomap", "network.priorities", priority),
    row("/rdma", "rdma", "rdma.max", "rdma", rdma),
)

# Deprecated; the first does nothing in kernels of today. runc ignores them, and so do we, with a warning.
IGNORED: tuple[Limit, ...] = (
    row("/memory/kernel", "memory", "", "memory", lambda memory: nonzero(memory.kernel)),
    row("/memory/kernelTCP", "memory", "", "memory", lambda memory: nonzero(memory.kernel_tcp)),
)
# fmt: on
