"""The rules of the limits in linux.resources (rules/rules.py); imported only for a container that has one.

What depends on the version of the machine's cgroups is checked when the plan is made (cgroups/limits/limits.py).
"""

from __future__ import annotations

from pyoci.config.node import broken
from pyoci.config.rules.rule import printable, quoted
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.limits import BlockIO, Cpu, Memory, Rdma, ThrottleDevice, Unified, WeightDevice
    from pyoci.config.resources import Resources

# Files of cgroup v2 that act on processes and limit nothing: cgroup.freeze would stop create itself.
ACTIONS = ("cgroup.freeze", "cgroup.kill", "cgroup.procs", "cgroup.threads")


def violations(resources: Resources) -> Iterator[ConfigError]:
    """Every rule that the limits break."""
    if resources.memory is not None:
        yield from _memory(resources.memory)
    if resources.cpu is not None:
        yield from _cpu(resources.cpu)
    if resources.block_io is not None:
        yield from _block_io(resources.block_io)
    if resources.network is not None:
        for priority in resources.network.priorities:
            if not _is_word(priority.name):
                message = f"must be the name of one interface, not {quoted(priority.name)}"
                yield broken(f"{priority.pointer}/name", message)
    for device in resources.rdma:
        yield from _rdma(device)
    for unified in resources.unified:
        yield from _unified(unified)


def _memory(memory: Memory) -> Iterator[ConfigError]:
    for key, value in (("limit", memory.limit), ("reservation", memory.reservation), ("swap", memory.swap)):
        if value is not None and value < -1:
            yield broken(f"{memory.pointer}/{key}", f"must be -1 (no limit) or more, not {value}")
    if memory.swappiness is not None and memory.swappiness > 100:
        message = f"invalid memory swappiness value: {memory.swappiness} (valid range is 0-100)"
        yield ConfigError(message, pointer=f"{memory.pointer}/swappiness")


def _cpu(cpu: Cpu) -> Iterator[ConfigError]:
    if cpu.idle not in (None, 0, 1):
        yield broken(f"{cpu.pointer}/idle", f"must be 0 or 1, not {cpu.idle}")
    for key, text in (("cpus", cpu.cpus), ("mems", cpu.mems)):
        if not printable(text):
            yield broken(f"{cpu.pointer}/{key}", "must not contain control characters", 'write a list as in "0-3,7"')


def _block_io(io: BlockIO) -> Iterator[ConfigError]:
    yield from _weights(io)
    for device in io.weight_device:
        yield from _weights(device)
        if device.weight is None and device.leaf_weight is None:
            yield broken(device.pointer, "needs weight or leafWeight, or both")
        yield from _numbers(device)
    for throttled in (
        *io.throttle_read_bps_device,
        *io.throttle_write_bps_device,
        *io.throttle_read_iops_device,
        *io.throttle_write_iops_device,
    ):
        yield from _numbers(throttled)


def _numbers(device: WeightDevice | ThrottleDevice) -> Iterator[ConfigError]:
    for key, number in (("major", device.major), ("minor", device.minor)):
        if not 0 <= number < 2**32:
            yield broken(f"{device.pointer}/{key}", f"must be a device number, not {number}")


def _weights(record: BlockIO | WeightDevice) -> Iterator[ConfigError]:
    for key, value in (("weight", record.weight), ("leafWeight", record.leaf_weight)):
        if value and not 10 <= value <= 1000:
            yield broken(f"{record.pointer}/{key}", f"must be between 10 and 1000, not {value}")


def _rdma(rdma: Rdma) -> Iterator[ConfigError]:
    if not _is_word(rdma.device):
        yield broken(rdma.pointer, f"{quoted(rdma.device)} is not the name of a device")
    if rdma.hca_handles is None and rdma.hca_objects is None:
        yield broken(rdma.pointer, "needs hcaHandles or hcaObjects, or both")


def _unified(unified: Unified) -> Iterator[ConfigError]:
    controller, dot, name = unified.key.partition(".")
    message = ""
    if "/" in unified.key:
        message = "must be a file name (no slashes)"
    elif not (controller and dot and name and printable(unified.key)):
        message = "must be in the form CONTROLLER.PARAMETER"
    elif unified.key in ACTIONS:
        message = "is not a limit"
    if message:
        yield ConfigError(f"unified resource {quoted(unified.key)} {message}", pointer=unified.pointer)


def _is_word(text: str) -> bool:
    return bool(text) and printable(text) and not any(character.isspace() for character in text)
