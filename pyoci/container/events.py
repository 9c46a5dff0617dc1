"""events: what a container uses, again and again, and a notice whenever it ran out of memory.

One thread and no sleep: poll(2) waits for the kernel's notices until the next statistics are due.
"""

from __future__ import annotations

import select
import time

from pyoci import os
from pyoci.cgroups import processes
from pyoci.cgroups.files import Directory, Tree, keyed, vanished
from pyoci.cgroups.statistics import statistics
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import Error, StateError
from pyoci.kernel.process import pidfd_open
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_LONGEST = 2_000_000_000  # ms: poll(2) takes an int


def running(root: str, id: str, interval: int = 1) -> Container:
    """The container that is to be watched; interval: nanoseconds. Raises NotFoundError, StateError, Error."""
    container = state.load(root, id)
    if interval <= 0:
        raise Error("duration interval must be greater than 0", pointer="--interval")
    found = state.status(container)
    if found in ("stopped", "creating"):
        hint = "it is still being created" if found == "creating" else ""
        raise StateError(f"container with id {id} is not running", hint=hint)
    return container


def usage(container: Container) -> dict[str, Any]:
    """One event of type "stats". Raises Error."""
    data = statistics.read(_own(container))
    if container.rdt_path:
        from pyoci.kernel import resctrl
        from pyoci.rdt import statistics as rdt

        data["intel_rdt"] = rdt.statistics(resctrl.find(), container.rdt_path, container.rdt_monitor)
    return {"type": "stats", "id": container.id, "data": data}


def _own(container: Container) -> dict[str, str]:
    """Its cgroups; none if a rootless one could not get them, whatever else is at the planned paths."""
    return processes.own(container.cgroups, container.cgroup_ids) if container.cgroups_made else {}


def stream(container: Container, interval: int) -> Iterator[dict[str, Any]]:
    """An event of type "stats" every `interval` nanoseconds and one of type "oom" at once, until the container ends.

    Statistics that cannot be read are logged, and the next ones tried. Raises Error where nobody tells of memory.
    """
    with watch(container) as watched:
        due = time.monotonic_ns() + interval
        while True:
            left = due - time.monotonic_ns()
            if left > 0:
                watched.poll.poll(min(left // 1_000_000 + 1, _LONGEST))
            killed, alive = watched.look()
            if killed:
                yield {"type": "oom", "id": container.id}
            if not alive:
                return
            now = time.monotonic_ns()
            if now < due:
                continue
            due = max(due + interval, now)
            try:
                event = usage(container)
            except Error as error:
                if not watched.look()[1]:  # its cgroup went away under our hands
                    return
                log.error(error)
            else:
                yield event


class Watch:
    """Descriptors that tell of a container, and the poll that waits for them. They are closed by `with`."""

    def __init__(self) -> None:
        self.poll = select.poll()
        self.opened: list[int] = []

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        while self.opened:
            os.close(self.opened.pop())

    def keep(self, descriptor: int, mask: int = 0) -> int:
        """Close it in the end; with a mask it is polled."""
        self.opened.append(descriptor)
        if mask:
            self.poll.register(descriptor, mask)
        return descriptor

    def keep_process(self, pid: int) -> int:
        """A pidfd of the container's first process, polled; -1 if it has ended, which look() will see."""
        try:
            return self.keep(pidfd_open(pid), select.POLLIN)
        except ProcessLookupError:
            return -1

    def look(self) -> tuple[bool, bool]:
        """Whether a process was killed for want of memory since the last look; whether the container still lives."""
        raise NotImplementedError


def watch(container: Container) -> Watch:
    """On v2 by memory.events and cgroup.events, on v1 by an eventfd. Raises Error."""
    paths = _own(container)
    unified = "memory" not in paths
    path = paths.get("" if unified else "memory")
    if path is None:
        raise _no_memory("the container has no cgroup with memory")
    watched = UnifiedWatch() if unified else LegacyWatch()
    try:
        with Tree() as tree, tree.open(path) as directory:
            watched.begin(container, directory)
    except FileNotFoundError as error:
        watched.__exit__()
        raise _no_memory(f"{error.filename} is not there") from None
    except BaseException:
        watched.__exit__()
        raise
    return watched


def _no_memory(hint: str) -> Error:
    return Error("memory controller missing", hint=f"{hint}; events --stats does without")


class UnifiedWatch(Watch):
    """v2. Both files wake a poll for POLLPRI when they change (cgroup-v2.rst, "[Un]populated Notification").

    The first process is waited for as well: it may have left its cgroup, which is empty then, and others may be there.
    """

    def begin(self, container: Container, directory: Directory) -> None:
        self._container = container
        self._pidfd = self.keep_process(container.pid)
        self._memory = self.keep(_open(directory, "memory.events"), select.POLLPRI)
        self._events = self.keep(_open(directory, "cgroup.events"), select.POLLPRI)
        self._kills = self._killed()

    def look(self) -> tuple[bool, bool]:
        """memory.events also counts what is no kill. Who was killed is counted before it is gone: ask in that order."""
        container = self._container
        populated = _value(self._events, b"populated") == b"1"
        alive = state.is_alive(container.pid, container.start_time)
        if not alive and self._pidfd >= 0:  # what has ended stays readable, and would wake the poll for ever
            self.poll.unregister(self._pidfd)
            self._pidfd = -1
        alive = alive or (populated and not container.private_pid)
        kills, self._kills = self._kills, self._killed()
        return self._kills > kills, alive

    def _killed(self) -> int:
        return int(_value(self._memory, b"oom_kill") or 0)


class LegacyWatch(Watch):
    """v1. The kernel signals an eventfd when the limit is met and when the cgroup goes (memory.rst, "OOM Control").

    A v1 cgroup does not tell that it is empty, so the first process is waited for.
    """

    def begin(self, container: Container, directory: Directory) -> None:
        self._pid, self._start = container.pid, container.start_time
        self.keep_process(container.pid)
        self._control = self.keep(_open(directory, "memory.oom_control"))
        self._event = self.keep(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), select.POLLIN)
        directory.write("cgroup.event_control", f"{self._event} {self._control}")

    def look(self) -> tuple[bool, bool]:
        alive = state.is_alive(self._pid, self._start)
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            return False, alive
        there = bool(_value(self._control, b"under_oom"))
        return there, alive and there


def _open(directory: Directory, name: str) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    except OSError as error:
        error.filename = f"{directory.path}/{name}"
        raise


def _value(descriptor: int, key: bytes) -> bytes:
    """The value of `key` now, in an open flat keyed file; b"" once the cgroup is gone."""
    try:
        return keyed(os.pread(descriptor, 4096, 0), key)
    except OSError as error:
        if not vanished(error):
            raise
        return b""
