"""Limits as properties of a unit: a table from the files of a cgroup to what systemd calls them. Pure.

Everything is also written into the cgroup (limits.py): systemd does not know all of it, and rounds some. What it does
know has to be its own, or it would write its idea of the value at the next daemon-reload.
systemd.resource-control(5); the D-Bus names and types are in org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from pyoci.cgroups.limits.conversions import PERIOD
from pyoci.cgroups.limits.limit import Lines, Write
from pyoci.cgroups.systemd.properties import INFINITY, Wanted
from pyoci.config import id_list
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Convert = Callable[[Write], tuple[Wanted, ...]]

_SECOND = 1_000_000  # microseconds
_PERCENT = 10_000  # of a second: what systemd counts in

# First versions of systemd that know a property.
_PERIOD_SINCE, _CPUSET_SINCE, _IDLE_SINCE, _OOM_SINCE = 242, 244, 252, 253


def wanted(writes: tuple[Write, ...], start: bool) -> tuple[Wanted, ...]:
    """The properties for what limits.plan() made; `start`: also those that only a unit not yet started takes.

    Raises ConfigError for a value of linux.resources.unified that is not what systemd takes.
    """
    found: list[Wanted] = []
    writes = _agreed(writes)
    quota = [write for write in writes if write.file in _QUOTA_V1]
    for write in writes:
        if write.file == "memory.oom.group":
            found += _oom_policy(write) if start else ()
        elif write.file in _TABLE and type(write).__name__ != "MustExceed":
            found += _TABLE[write.file](write)
    return (*found, *_bandwidth_v1(quota))


def conflict(writes: tuple[Write, ...]) -> str:
    """A warning, in runc's words, where an idle cgroup is to have a weight too: systemd has one property for both, and
    the kernel refuses the weight. "" if all is well."""
    ignored = [write for write in writes if write not in _agreed(writes)]
    if not ignored:
        return ""
    names = ("cpu.weight", "cpu.idle") if isinstance(ignored[-1], Lines) else ("CPUWeight", "CpuIdle")
    return f"unable to apply both {names[0]} and {names[1]} to systemd, ignoring {names[0]}"


def _agreed(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """Without the weight of a v2 cgroup that will be idle."""
    idle = any(write.file == "cpu.idle" and not write.controller and write.text.strip() == "1" for write in writes)
    return tuple([write for write in writes if not (idle and write.file == "cpu.weight")])


def rounded(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """The same to be written into the cgroup, with the CPU quota as systemd has rounded it: up to a whole percent."""
    writes = _agreed(writes)
    v1 = {write.file: int(write.text) for write in writes if write.file in _QUOTA_V1}
    period = v1.get("cpu.cfs_period_us", PERIOD)
    result = []
    for write in writes:
        if write.file == "cpu.max" and not isinstance(write, Lines):
            quota, _, length = write.text.partition(" ")
            if quota != "max":
                write = _with_text(write, f"{_round(int(quota), int(length))} {length}")
        elif write.file == "cpu.cfs_quota_us" and int(write.text) > 0:
            write = _with_text(write, str(_round(int(write.text), period)))
        result.append(write)
    return tuple(result)


def _with_text(write: Write, text: str) -> Write:
    return write.replace(text=text)


def _per_second(quota: int, period: int) -> int:
    share = quota * _SECOND // period
    return -(-share // _PERCENT) * _PERCENT


def _round(quota: int, period: int) -> int:
    """A quota that is a whole percent of the period stays as it is."""
    return quota if quota * _SECOND // period % _PERCENT == 0 else _per_second(quota, period) * period // _SECOND


def _bandwidth(quota: int, period: int) -> tuple[Wanted, ...]:
    share = INFINITY if quota <= 0 else _per_second(quota, period)
    return (
        Wanted(name="CPUQuotaPeriodUSec", value=("t", period), since=_PERIOD_SINCE),
        Wanted(name="CPUQuotaPerSecUSec", value=("t", share)),
    )


def _bandwidth_v2(write: Write) -> tuple[Wanted, ...]:
    """cpu.max is "QUOTA" or "QUOTA PERIOD", with "max" for no quota."""
    fields = write.text.split()
    if not 1 <= len(fields) <= 2:
        raise _refused(write, "value invalid")
    quota = 0 if fields[0] == "max" else _number(write, fields[0])
    period = _number(write, fields[1]) if len(fields) == 2 else PERIOD
    return _bandwidth(quota, period or PERIOD)


def _bandwidth_v1(writes: list[Write]) -> tuple[Wanted, ...]:
    if not writes:
        return ()
    values = {write.file: int(write.text) for write in writes}
    return _bandwidth(values.get("cpu.cfs_quota_us", 0), values.get("cpu.cfs_period_us", PERIOD))


def _plain(name: str, least: int = 0) -> Convert:
    """A number, or no limit: "max" or negative."""

    def convert(write: Write) -> tuple[Wanted, ...]:
        text = write.text.strip()
        value = INFINITY if text == "max" or text.startswith("-") else max(_number(write, text), least)
        return (Wanted(name=name, value=("t", value)),)

    return convert


def _idle(write: Write) -> tuple[Wanted, ...]:
    """A weight of 0 is systemd's word for idle; for not idle it has none, and for v1 neither."""
    if write.controller or write.text.strip() != "1":
        return ()
    return (Wanted(name="CPUWeight", value=("t", 0), since=_IDLE_SINCE),)


def _set(name: str) -> Convert:
    """A list of numbers as a mask of bits, the lowest byte first; an empty one takes the limit away."""

    def convert(write: Write) -> tuple[Wanted, ...]:
        try:
            numbers = id_list.numbers(write.text.strip())
        except ValueError as error:
            raise _refused(write, f"conversion error: {error}") from None
        if not numbers and isinstance(write, Lines):
            raise _refused(write, "conversion error: empty value")
        mask = bytearray(numbers[-1] // 8 + 1 if numbers else 0)
        for number in numbers:
            mask[number // 8] |= 1 << number % 8
        return (Wanted(name=name, value=("ay", bytes(mask)), since=_CPUSET_SINCE),)

    return convert


def _io_weight(write: Write) -> tuple[Wanted, ...]:
    """The cgroup's own weight, which `otherwise` has in systemd's scale; devices' are written by cgroupfs alone."""
    scaled = write.otherwise or write
    if ":" in scaled.text or isinstance(write, Lines):
        return ()
    return (Wanted(name="IOWeight", value=("t", int(scaled.text.split()[-1]))),)


def _block_io_weight(write: Write) -> tuple[Wanted, ...]:
    return (Wanted(name="BlockIOWeight", value=("t", int(write.text))),)


def _oom_policy(write: Write) -> tuple[Wanted, ...]:
    """Whether the kernel ends all of the cgroup; systemd lets that be said only once."""
    policy = {0: "continue", 1: "kill"}.get(_number(write, write.text.strip()))
    return () if policy is None else (Wanted(name="OOMPolicy", value=("s", policy), since=_OOM_SINCE),)


def _number(write: Write, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > INFINITY:
        raise _refused(write, f'value conversion error: strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _refused(write: Write, why: str) -> ConfigError:
    return ConfigError(f'unified resource "{write.file}" {why}', pointer=write.pointer)


_QUOTA_V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")

_TABLE: dict[str, Convert] = {
    # v2
    "memory.max": _plain("MemoryMax"),
    "memory.high": _plain("MemoryHigh"),
    "memory.low": _plain("MemoryLow"),
    "memory.min": _plain("MemoryMin"),
    "memory.swap.max": _plain("MemorySwapMax"),
    "cpu.weight": _plain("CPUWeight"),
    "cpu.idle": _idle,
    "cpu.max": _bandwidth_v2,
    "io.bfq.weight": _io_weight,
    # v1
    "memory.limit_in_bytes": _plain("MemoryLimit"),
    "cpu.shares": _plain("CPUShares"),
    "blkio.weight": _block_io_weight,
    # both
    "pids.max": _plain("TasksMax", least=1),  # 0 is refused
    "cpuset.cpus": _set("AllowedCPUs"),
    "cpuset.mems": _set("AllowedMemoryNodes"),
}
