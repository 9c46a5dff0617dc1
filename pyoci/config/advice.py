"""Warnings of `validate`: what a container can be made of, and yet is deprecated, contradicts itself, or does nothing.

About the file alone, as the rules are. create says none of this: engines would fill logs with it.
"""

from __future__ import annotations

from pyoci.config import mount_options, ungranted
from pyoci.config.rules import rules
from pyoci.config.violation import Violation
from pyoci.near import did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config import Config
    from pyoci.config.filesystem import Mount
    from pyoci.config.limits import Cpu, Memory
    from pyoci.config.linux import Linux
    from pyoci.config.process import Process

_PERIODS = (1000, 1_000_000)  # the kernel's bounds of cpu.period, in microseconds
_LEAST_QUOTA = 1000


def warnings(config: Config) -> Iterator[Violation]:
    """All of it, for a config that breaks no rule."""
    for pointer, reason in rules.oddities(config):
        yield Violation(pointer=pointer, reason=reason)
    for mount in config.mounts:
        yield from _mount(mount)
    if config.hooks.prestart:
        hint = "use createRuntime, createContainer or startContainer"
        yield Violation(pointer="/hooks/prestart", reason="is deprecated", hint=hint)
    if config.process is not None:
        yield from _process(config.process)
    yield from _devices(config.linux)
    resources = config.linux.resources
    if resources.memory is not None:
        yield from _memory(resources.memory)
    if resources.cpu is not None:
        yield from _cpu(resources.cpu)
    if config.linux.personality is not None and config.linux.personality.flags:
        yield Violation(pointer="/linux/personality/flags", reason="are ignored", hint="no runtime knows any")


def _mount(mount: Mount) -> Iterator[Violation]:
    if not mount.destination.startswith("/"):
        yield Violation(
            pointer=f"{mount.pointer}/destination",
            reason="a relative path is deprecated",
            hint='begin it with "/": it is a path in the container',
        )
    for index, option in enumerate(mount.options):
        hint = did_you_mean(option, mount_options.names()) if option in mount.data and "=" not in option else ""
        if hint:
            reason = f"{option!r} is none of the runtime's options and is left to the file system"
            yield Violation(pointer=f"{mount.pointer}/options/{index}", reason=reason, hint=hint)


def _process(process: Process) -> Iterator[Violation]:
    if process.capabilities is not None and not process.capabilities.can_be_granted(-1):
        for line in ungranted.warnings(process.capabilities, -1):
            yield Violation(pointer=process.capabilities.pointer, reason=line)
    if process.console_size is not None and not process.terminal:
        yield Violation(pointer=f"{process.pointer}/consoleSize", reason="is ignored without terminal")


def _devices(linux: Linux) -> Iterator[Violation]:
    """The same `type`, `major` and `minor` "SHOULD NOT be used for multiple devices" (config-linux.md)."""
    seen: dict[tuple[str, int, int], str] = {}
    for device in linux.devices:
        key = (device.type, device.major, device.minor)
        if device.type != "p" and seen.setdefault(key, device.pointer) != device.pointer:
            yield Violation(pointer=device.pointer, reason=f"is the same device as {seen[key]}")


def _memory(memory: Memory) -> Iterator[Violation]:
    limit, swap, reservation = memory.limit or 0, memory.swap or 0, memory.reservation or 0
    for key, value in (("kernel", memory.kernel), ("kernelTCP", memory.kernel_tcp)):
        if value:
            yield Violation(pointer=f"{memory.pointer}/{key}", reason="is not recommended, and is ignored")
    if 0 < swap < limit:
        hint = "swap is the limit of memory and swap together"
        yield Violation(pointer=f"{memory.pointer}/swap", reason=f"{swap} is less than limit, {limit}", hint=hint)
    if swap > 0 and limit <= 0:
        hint = "set limit: swap is the limit of memory and swap together"
        yield Violation(pointer=f"{memory.pointer}/swap", reason="is set without limit", hint=hint)
    if reservation > limit > 0:
        reason = f"{reservation} is more than limit, {limit}"
        yield Violation(pointer=f"{memory.pointer}/reservation", reason=reason, hint="it can never be reached")


def _cpu(cpu: Cpu) -> Iterator[Violation]:
    """The kernel's Documentation/scheduler/sched-bwc.rst and sched-rt-group.rst; 0 is: not set."""
    pointer, quota = cpu.pointer, cpu.quota or 0
    if 0 < quota < _LEAST_QUOTA:
        hint = "microseconds in each period; the kernel refuses it"
        yield Violation(pointer=f"{pointer}/quota", reason=f"{quota} is less than {_LEAST_QUOTA}", hint=hint)
    if cpu.period and not _PERIODS[0] <= cpu.period <= _PERIODS[1]:
        reason = f"{cpu.period} is not between {_PERIODS[0]} and {_PERIODS[1]}"
        yield Violation(pointer=f"{pointer}/period", reason=reason, hint="microseconds; the kernel refuses it")
    if cpu.burst and cpu.burst > max(quota, 0):
        reason = f"{cpu.burst} is more than quota, {quota}" if quota > 0 else "is set without quota"
        yield Violation(pointer=f"{pointer}/burst", reason=reason, hint="what is not used of quota can be saved for it")
    if cpu.idle == 1 and cpu.shares:
        yield Violation(pointer=f"{pointer}/shares", reason="have no effect beside idle")
    if cpu.realtime_runtime and cpu.realtime_period and cpu.realtime_runtime > cpu.realtime_period:
        reason = f"{cpu.realtime_runtime} is more than realtimePeriod, {cpu.realtime_period}"
        yield Violation(pointer=f"{pointer}/realtimeRuntime", reason=reason, hint="the kernel refuses it")
