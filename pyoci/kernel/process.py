"""Processes by descriptor: pidfds, waiting, descriptors to close, resource limits."""

from __future__ import annotations

import resource
import select

from pyoci import os
from pyoci.kernel.libc import c_int, c_size_t, c_uint, c_void_p, function, syscall

_close_range = syscall("close_range", 436, c_uint, c_uint, c_uint)
_pidfd_open = syscall("pidfd_open", 434, c_int, c_uint)
_pidfd_send_signal = syscall("pidfd_send_signal", 424, c_int, c_int, c_void_p, c_uint)

_sched_setaffinity = function("sched_setaffinity", c_int, c_size_t, c_void_p)

_LAST = 0xFFFFFFFF
_EVERY_CPU = b"\xff" * 8192


def pidfd_open(pid: int) -> int:
    """pidfd_open(2): a descriptor of the process, closed by execve(2). ESRCH if it is gone and reaped."""
    return _pidfd_open(pid, 0)


def pidfd_send_signal(pidfd: int, signal: int) -> None:
    """pidfd_send_signal(2): never to another process that has got the same pid meanwhile."""
    _pidfd_send_signal(pidfd, signal, None, 0)


def has_ended(pidfd: int, timeout: int = 0) -> bool:
    """Whether the process has ended, or ends within `timeout` ms; reaped or not (pidfd_open(2)).

    By poll(2): select(2) takes no descriptor above 1023, and --preserve-fds puts ours behind the caller's.
    """
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout))


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    _close_range(first, _LAST, 0)


def close_all_but(kept: list[int]) -> None:
    """Close every descriptor that is not in `kept`."""
    first = 0
    for descriptor in sorted(set(kept)):
        if descriptor > first:
            _close_range(first, descriptor - 1, 0)
        first = descriptor + 1
    close_from(first)


def reset_affinity() -> None:
    """sched_setaffinity(2) of this process to every CPU there may be; the kernel leaves out what its cpuset has not."""
    _sched_setaffinity(0, len(_EVERY_CPU), _EVERY_CPU)


def raise_file_limit() -> tuple[int, int]:
    """Lift the soft limit of open files to the hard one; the limits as they were."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    return before


def raise_hard_limit(pid: int, kind: int, hard: int) -> None:
    """prlimit(2): lift the hard limit of our child `pid` to `hard` where that is higher, leaving the soft one alone.

    The child has inherited our limits, so ours tell whether there is anything to do. Lifting needs CAP_SYS_RESOURCE in
    the initial user namespace, so it is the runtime that does this and not the container's process.
    """
    soft, current = resource.getrlimit(kind)
    if current != resource.RLIM_INFINITY and (hard == resource.RLIM_INFINITY or hard > current):
        resource.prlimit(pid, kind, (soft, hard))


def wait_status(pid: int, flags: int = 0) -> int | None:
    """waitpid(2) of a child: its wait status, None when WNOHANG found it running."""
    found, status = os.waitpid(pid, flags | _WALL)
    return status if found else None


_WALL = 0x40000000  # __WALL: whatever its exit signal is
