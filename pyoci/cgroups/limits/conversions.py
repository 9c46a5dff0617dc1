"""From the numbers of cgroup v1, in which config.json speaks, to those of v2. Pure."""

from __future__ import annotations

from math import ceil, log2

from pyoci.errors import ConfigError

UNLIMITED = -1

LEAST_SHARES, MOST_SHARES = 2, 1 << 18  # kernel/sched/sched.h, MIN_SHARES and MAX_SHARES
MOST_WEIGHT = 10000  # of cpu.weight and io.weight
LEAST_IO_WEIGHT, MOST_IO_WEIGHT = 10, 1000  # of blkio.weight
PERIOD = 100_000  # microseconds, the kernel's own


def limit(value: int) -> str:
    """-1 is "max"."""
    return "max" if value < 0 else str(value)


def cpu_weight(shares: int) -> int:
    """cpu.shares (2 to 2**18, usually 1024) -> cpu.weight (1 to 10000, usually 100); 0 stays 0: not set.

    The parabola through the three pairs in double-logarithmic scale, as runc, crun and youki use it since 2025; the
    straight line they had before gave a container with the usual shares a weight of 39.
    """
    if shares == 0:
        return 0
    if shares <= LEAST_SHARES:
        return 1
    if shares >= MOST_SHARES:
        return MOST_WEIGHT
    power = log2(shares)
    return ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """blkio.weight (10 to 1000) -> io.weight (1 to 10000), in a straight line; 0 stays 0: not set."""
    if weight == 0:
        return 0
    return 1 + (weight - LEAST_IO_WEIGHT) * (MOST_WEIGHT - 1) // (MOST_IO_WEIGHT - LEAST_IO_WEIGHT)


def swap(memory: int, both: int, pointer: str = "") -> int | None:
    """The limit of swap alone, from the limits of memory and of memory and swap together; -1 for none, None: not set.

    Given 0 means not set, -1 no limit. Equal limits mean: no swap. Raises ConfigError with runc's words.
    """
    if both == 0:
        return UNLIMITED if memory == UNLIMITED else None
    if both == UNLIMITED or memory == UNLIMITED:
        return both
    if memory == 0:
        hint = f"memory.swap limits memory and swap together: of {both} bytes, say in memory.limit how much is memory"
        raise ConfigError("unable to set swap limit without memory limit", pointer=pointer, hint=hint)
    if memory < 0:
        raise ConfigError(f"invalid memory value: {memory}", pointer=pointer)
    if both < memory:
        hint = (
            f"memory.swap limits memory and swap together: {both} bytes are less than memory.limit, {memory}: give at "
        )
        hint += "least that, or -1 for no limit"
        raise ConfigError("memory+swap limit should be >= memory limit", pointer=pointer, hint=hint)
    return both - memory


def bandwidth(quota: int, period: int) -> str:
    """cpu.max: what may be used in each period, both in microseconds; 0 or less is no limit, and the usual period."""
    return f"{quota if quota > 0 else 'max'} {period or PERIOD}"
