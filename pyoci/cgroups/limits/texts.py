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
    """v1's memory.swappiness: 0 to 100, and 0 means something."""
    return given(memory.swappiness)


def disable_oom_killer(memory: Memory) -> str | None:
    """v1's memory.oom_control: "1" forbids killing, the default is left alone."""
    return "1" if memory.disable_oom_killer else None


def burst(cpu: Cpu) -> str | None:
    """How much CPU time may be saved up for later, in microseconds; 0 takes a burst away."""
    return given(cpu.burst)


def idle(cpu: Cpu) -> str | None:
    """cpu.idle: 1 makes the whole cgroup run only when nothing else does, 0 ends that."""
    return given(cpu.idle)


def realtime_runtime(cpu: Cpu) -> str | None:
    """v1's cpu.rt_runtime_us: microseconds of each period for processes scheduled as realtime."""
    return nonzero(cpu.realtime_runtime)


def realtime_period(cpu: Cpu) -> str | None:
    """v1's cpu.rt_period_us: the length of that period in microseconds."""
    return nonzero(cpu.realtime_period)


def cpus(cpu: Cpu) -> str | None:
    """cpuset.cpus: a list such as "0-3,7", as it stands in config.json."""
    return cpu.cpus or None


def mems(cpu: Cpu) -> str | None:
    """cpuset.mems: a list of memory nodes, as it stands in config.json."""
    return cpu.mems or None


def weight(io: BlockIO) -> str | None:
    """The share of disk time, 10 to 1000: v1, and the scheduler BFQ on v2."""
    return nonzero(io.weight)


def leaf_weight(io: BlockIO) -> str | None:
    """The same against the cgroups below, for the processes of this one."""
    return nonzero(io.leaf_weight)


def device_weight(device: WeightDevice) -> str | None:
    """The line "MAJOR:MINOR WEIGHT" for one disk."""
    return f"{device.major}:{device.minor} {device.weight}" if device.weight else None


def device_leaf_weight(device: WeightDevice) -> str | None:
    """The line "MAJOR:MINOR WEIGHT" for one disk, against the cgroups below."""
    return f"{device.major}:{device.minor} {device.leaf_weight}" if device.leaf_weight else None


def rate(device: ThrottleDevice, key: str = "") -> str:
    """The line "MAJOR:MINOR RATE", in bytes or operations a second; before the rate is v2's `key`, "rbps="."""
    return f"{device.major}:{device.minor} {key}{device.rate}"


def pages(one: HugepageLimit) -> str:
    """The most bytes in huge pages of one size."""
    return str(one.limit)


def class_id(network: Network) -> str | None:
    """v1's net_cls.classid: the mark of the cgroup's packets for tc(8), where 0 is none."""
    return nonzero(network.class_id)


def priority(one: InterfacePriority) -> str:
    """The line "INTERFACE PRIORITY" for v1's net_prio.ifpriomap."""
    return f"{one.name} {one.priority}"


def rdma(one: Rdma) -> str | None:
    """The line "DEVICE hca_handle=N hca_object=N" for rdma.max, with those that are given; None without any."""
    text = one.device
    for key, value in (("hca_handle", one.hca_handles), ("hca_object", one.hca_objects)):
        if value is not None:
            text += f" {key}={value}"
    return text if text != one.device else None
