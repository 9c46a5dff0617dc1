"""How the kernel treats a process beside others: CPU scheduler, CPUs, disks, memory nodes, personality."""

from __future__ import annotations

import struct

from pyoci.kernel.libc import c_char_p, c_int, c_size_t, c_uint, c_ulong, function, number, syscall

_sched_setattr = syscall("sched_setattr", number("sched_setattr", x86_64=314, aarch64=274), c_int, c_char_p, c_uint)
_ioprio_set = syscall("ioprio_set", number("ioprio_set", x86_64=251, aarch64=30), c_int, c_int, c_int)
_set_mempolicy = syscall("set_mempolicy", number("set_mempolicy", x86_64=238, aarch64=237), c_int, c_char_p, c_ulong)
_sched_setaffinity = function("sched_setaffinity", c_int, c_size_t, c_char_p)
_personality = function("personality", c_ulong)

# struct sched_attr as sched_setattr(2) has it: size, policy, flags, nice, priority, runtime, deadline, period,
# util_min, util_max.
_ATTRIBUTES = "=IIQiIQQQII"
_WHO_PROCESS = 1  # IOPRIO_WHO_PROCESS
_CLASS_SHIFT = 13  # IOPRIO_CLASS_SHIFT


def set_attributes(
    policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int, pid: int = 0
) -> None:
    """sched_setattr(2) of process `pid`, or of this one. Times are nanoseconds."""
    size = struct.calcsize(_ATTRIBUTES)
    attributes = struct.pack(_ATTRIBUTES, size, policy, flags, nice, priority, runtime, deadline, period, 0, 0)
    _sched_setattr(pid, attributes, 0)


def set_io_priority(kind: int, level: int) -> None:
    """ioprio_set(2) of this process: class (1 real time, 2 best effort, 3 idle) and level, 0 (highest) to 7."""
    _ioprio_set(_WHO_PROCESS, 0, kind << _CLASS_SHIFT | level)


def set_memory_policy(mode: int, nodes: list[int]) -> None:
    """set_mempolicy(2): mode with its flags, and the nodes it is about.

    The kernel looks at one bit less than it is told (maxnode - 1): so it is told two more than the highest number.
    """
    _set_mempolicy(mode, mask(nodes) if nodes else None, max(nodes) + 2 if nodes else 0)


def set_affinity(cpus: list[int], pid: int = 0) -> None:
    """sched_setaffinity(2): run on these CPUs only. The mask is as long as the highest number needs."""
    bits = mask(cpus)
    _sched_setaffinity(pid, len(bits), bits)


def set_personality(persona: int) -> None:
    """personality(2); it survives execve(2)."""
    _personality(persona)


def mask(numbers: list[int]) -> bytes:
    """A bit mask of `numbers` in whole longs, as the kernel reads them."""
    words = [0] * (max(numbers) // 64 + 1)
    for one in numbers:
        words[one // 64] |= 1 << one % 64
    return struct.pack(f"={len(words)}Q", *words)
