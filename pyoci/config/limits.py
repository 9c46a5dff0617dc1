"""The limits of linux.resources: everything there but devices. Imported only for a container that has one.

A number that is absent is None; what 0 means is up to whoever writes it (mostly: leave the file alone).
Spec: config-linux.md, "Control groups".
"""

from __future__ import annotations

from pyoci.config.node import INT64, UINT32, UINT64
from pyoci.jsonfile import escape
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.node import Node

UINT16 = (0, 2**16 - 1)


class Memory(Record):
    """Bytes, -1 for no limit. `swap` is memory and swap together, as on v1."""

    pointer: str
    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    kernel: int | None = None
    kernel_tcp: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool = False
    use_hierarchy: bool = False
    check_before_update: bool = False


class Cpu(Record):
    """Microseconds, but for shares and idle; cpus and mems are lists as "0-3,7"."""

    pointer: str
    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None


class WeightDevice(Record):
    """The share of one disk's time, 10 to 1000; `leaf_weight` against the cgroups below."""

    pointer: str
    major: int
    minor: int
    weight: int | None = None
    leaf_weight: int | None = None


class ThrottleDevice(Record):
    """`rate` is bytes or operations per second."""

    pointer: str
    major: int
    minor: int
    rate: int


class BlockIO(Record):
    """`linux.resources.blockIO`. Weights are from 10 to 1000; the others are rates of single disks."""

    pointer: str
    weight: int | None = None
    leaf_weight: int | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = ()


class HugepageLimit(Record):
    """`page_size` as the kernel names it ("2MB"), `limit` in bytes."""

    pointer: str
    page_size: str
    limit: int


class InterfacePriority(Record):
    """The priority of packets that leave by the interface `name`."""

    pointer: str
    name: str
    priority: int


class Network(Record):
    """`linux.resources.network`: marks and priorities of packets, which only v1 has."""

    pointer: str
    class_id: int | None = None
    priorities: tuple[InterfacePriority, ...] = ()


class Rdma(Record):
    """How many handles and objects of one RDMA device may be open; None for any number."""

    pointer: str
    device: str
    hca_handles: int | None = None
    hca_objects: int | None = None


class Unified(Record):
    """A file of the v2 hierarchy and what is written there."""

    pointer: str
    key: str
    value: str


def read(node: Node) -> dict[str, Any]:
    """The fields of Resources that are limits, from linux.resources; None and () where there is nothing."""
    memory, cpu, block_io, network = (node.child(key) for key in ("memory", "cpu", "blockIO", "network"))
    unified = node.at("unified")
    return {
        "memory": None if memory is None else _memory(memory),
        "cpu": None if cpu is None else _cpu(cpu),
        "block_io": None if block_io is None else _block_io(block_io),
        "hugepage_limits": tuple([_hugepages(one) for one in node.children("hugepageLimits")]),
        "network": None if network is None else _network(network),
        "rdma": tuple([_rdma(name, one) for name, one in node.members("rdma")]),
        "unified": tuple(
            [
                Unified(pointer=f"{unified}/{escape(key)}", key=key, value=value)
                for key, value in node.table("unified").items()
            ]
        ),
    }


def _memory(node: Node) -> Memory:
    return Memory(
        pointer=node.pointer,
        limit=node.optional_integer("limit", INT64),
        reservation=node.optional_integer("reservation", INT64),
        swap=node.optional_integer("swap", INT64),
        kernel=node.optional_integer("kernel", INT64),
        kernel_tcp=node.optional_integer("kernelTCP", INT64),
        swappiness=node.optional_integer("swappiness", UINT64),
        disable_oom_killer=node.boolean("disableOOMKiller"),
        use_hierarchy=node.boolean("useHierarchy"),
        check_before_update=node.boolean("checkBeforeUpdate"),
    )


def _cpu(node: Node) -> Cpu:
    return Cpu(
        pointer=node.pointer,
        shares=node.optional_integer("shares", UINT64),
        quota=node.optional_integer("quota", INT64),
        burst=node.optional_integer("burst", UINT64),
        period=node.optional_integer("period", UINT64),
        realtime_runtime=node.optional_integer("realtimeRuntime", INT64),
        realtime_period=node.optional_integer("realtimePeriod", UINT64),
        cpus=node.string("cpus"),
        mems=node.string("mems"),
        idle=node.optional_integer("idle", INT64),
    )


def _block_io(node: Node) -> BlockIO:
    return BlockIO(
        pointer=node.pointer,
        weight=node.optional_integer("weight", UINT16),
        leaf_weight=node.optional_integer("leafWeight", UINT16),
        weight_device=tuple([_weight_device(one) for one in node.children("weightDevice")]),
        throttle_read_bps_device=_throttled(node, "throttleReadBpsDevice"),
        throttle_write_bps_device=_throttled(node, "throttleWriteBpsDevice"),
        throttle_read_iops_device=_throttled(node, "throttleReadIOPSDevice"),
        throttle_write_iops_device=_throttled(node, "throttleWriteIOPSDevice"),
    )


def _weight_device(node: Node) -> WeightDevice:
    return WeightDevice(
        pointer=node.pointer,
        major=node.required_integer("major", INT64),
        minor=node.required_integer("minor", INT64),
        weight=node.optional_integer("weight", UINT16),
        leaf_weight=node.optional_integer("leafWeight", UINT16),
    )


def _throttled(node: Node, key: str) -> tuple[ThrottleDevice, ...]:
    return tuple(
        [
            ThrottleDevice(
                pointer=one.pointer,
                major=one.required_integer("major", INT64),
                minor=one.required_integer("minor", INT64),
                rate=one.integer("rate", UINT64),
            )
            for one in node.children(key)
        ]
    )


def _hugepages(node: Node) -> HugepageLimit:
    return HugepageLimit(
        pointer=node.pointer,
        page_size=node.required_string("pageSize"),
        limit=node.required_integer("limit", UINT64),
    )


def _network(node: Node) -> Network:
    priorities = [
        InterfacePriority(
            pointer=one.pointer, name=one.required_string("name"), priority=one.required_integer("priority", UINT32)
        )
        for one in node.children("priorities")
    ]
    return Network(
        pointer=node.pointer, class_id=node.optional_integer("classID", UINT32), priorities=tuple(priorities)
    )


def _rdma(device: str, node: Node) -> Rdma:
    return Rdma(
        pointer=node.pointer,
        device=device,
        hca_handles=node.optional_integer("hcaHandles", UINT32),
        hca_objects=node.optional_integer("hcaObjects", UINT32),
    )
