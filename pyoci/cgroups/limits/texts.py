"""What both versions of cgroups write alike, or one writes and the other ignores. None leaves the file alone. Pure."""

from __future__ import annotations

from pyoci.cgroups.limits.conversions import limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.limits import (
        BlockIO,
        Cpu,
        HugepageLimit,
        InterfacePriority,
        Memory,
        Network,
        Rdma,
        ThrottleDevice,
        WeightDevice,
    )
    from pyoci.config.resources import Resources


def given(value: int | None) -> str | None:
    """A number, where 0 means something too."""
    return None if value is None else str(value)


def nonzero(value: int | None) -> str | None:
    """A number, where 0 means that it is not set."""
    return str(value) if value else None


def pids(resources: Resources) -> str | None:
    """0 would forbid even the first process: it becomes 1, as systemd has it."""
    value = resources.pids_limit
    return None if value is None else limit(value if value else 1)


def swappiness(memory: Memory) -> str | None:
    return given(memory.swappiness)


def disable_oom_killer(memory: Memory) -> str | None:
    return "1" if memory.disable_oom_killer else None


def burst(cpu: Cpu) -> str | None:
    return given(cpu.burst)


def idle(cpu: Cpu) -> str | None:
    return given(cpu.idle)


def realtime_runtime(cpu: Cpu) -> str | None:
    return nonzero(cpu.realtime_runtime)


def realtime_period(cpu: Cpu) -> str | None:
    return nonzero(cpu.realtime_period)


def cpus(cpu: Cpu) -> str | None:
    return cpu.cpus or None


def mems(cpu: Cpu) -> str | None:
    return cpu.mems or None


def weight(io: BlockIO) -> str | None:
    return nonzero(io.weight)


def leaf_weight(io: BlockIO) -> str | None:
    return nonzero(io.leaf_weight)


def device_weight(device: WeightDevice) -> str | None:
    return f"{device.major}:{device.minor} {device.weight}" if device.weight else None


def device_leaf_weight(device: WeightDevice) -> str | None:
    return f"{device.major}:{device.minor} {device.leaf_weight}" if device.leaf_weight else None


def rate(device: ThrottleDevice, key: str = "") -> str:
    return f"{device.major}:{device.minor} {key}{device.rate}"


def pages(one: HugepageLimit) -> str:
    return str(one.limit)


def class_id(network: Network) -> str | None:
    return nonzero(network.class_id)


def priority(one: InterfacePriority) -> str:
    return f"{one.name} {one.priority}"


def rdma(one: Rdma) -> str | None:
    text = one.device
    for key, value in (("hca_handle", one.hca_handles), ("hca_object", one.hca_objects)):
        if value is not None:
            text += f" {key}={value}"
    return text if text != one.device else None
