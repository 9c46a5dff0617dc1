"""start: let the container's process become its program (runtime.md, "Start")."""

from __future__ import annotations

import fcntl
import select

from pyoci import channel, os
from pyoci.container import hooks, state
from pyoci.container.state import Container
from pyoci.errors import Error, ExecuteError, StateError
from pyoci.kernel.process import has_ended, pidfd_open
from pyoci.steps.init.launch import GO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.container.streams.notify import Relay

NO_PROCESS = "process property must not be empty"
_DEADLINE = 10_000  # ms for a process that is ending

_REFUSED = {
    "stopped": "cannot start a container that has stopped",
    "running": "cannot start an already running container",
    "paused": "cannot start a container in the paused state",
    "creating": "cannot start a container that is still being created",
}


def start(root: str, id: str) -> None:
    """Start a created container and run its poststart hooks. Raises Error."""
    directory = state.open_directory(root, id)
    relay = None
    try:
        try:
            container = state.read(root, id, directory)
            relay = relay_for(container)
            release(container, directory, relay)
        finally:
            os.close(directory)  # and with it the lock: nothing is locked while hooks run
        hooks.run(container)
        if relay is not None:
            relay.wait()
    finally:
        if relay is not None:
            relay.close()


def relay_for(container: Container) -> Relay | None:
    """Who passes its READY=1 on, if it was created with NOTIFY_SOCKET."""
    if not container.notify:
        return None
    from pyoci.container.streams.notify import Relay

    return Relay(container)


def release(container: Container, directory: int, relay: Relay | None = None) -> None:
    """Open the fifo and read what the process says before its execve. Two starts at once: one of them succeeds.

    The lock on the directory decides between them; nobody but start takes it, and nobody waits for it.
    """
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StateError(_REFUSED["running"], hint="another start is under way") from None
    found = state.status(container)
    if found in _REFUSED:
        raise StateError(_REFUSED[found])
    if not container.has_process:
        raise StateError(NO_PROCESS, hint="config.json had none when the container was created; delete and create it")
    pidfd = pidfd_open(container.pid)
    try:
        if not state.is_alive(container.pid, container.start_time):
            raise StateError(_REFUSED["stopped"])
        if relay is not None:
            relay.open(directory)
        fifo = os.open(state.FIFO, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            said = _listen(fifo, pidfd)
        finally:
            os.close(fifo)
        lost = said == GO and _died_in_execve(container, pidfd)
    finally:
        os.close(pidfd)
    os.unlink(state.FIFO, dir_fd=directory)
    _judge(said, container)
    if lost:
        _explain(container)
        _explain_by_filter(container)


def _listen(fifo: int, pidfd: int) -> bytes:
    """Everything written to the fifo until its other end is closed: by execve(2), or by the process's death."""
    poll = select.poll()
    poll.register(fifo, select.POLLIN)
    poll.register(pidfd, select.POLLIN)
    said = b""
    dead = False
    while True:
        events = dict(poll.poll(None))
        if events.get(fifo, 0) & select.POLLIN:
            said += os.read(fifo, 8192)
        elif fifo in events or dead:  # POLLHUP: nobody writes any more
            return said
        if pidfd in events:
            dead = True
            poll.unregister(pidfd)
            if fifo not in events:
                return said


def _judge(said: bytes, container: Container) -> None:
    """Raises Error unless the process said that it is ready and then became its program."""
    _, marker, frame = said.partition(b"E")
    if marker:
        kind, fields = channel.decode(frame)
        if kind != "error":
            raise Error("the container's process left a message that is none of the protocol")
        error = channel.decode_error(fields)
        if isinstance(error, ExecuteError):
            from pyoci.container import forbidden

            error = forbidden.explained(error, forbidden.of_program(forbidden.profile_of(container)))
        raise error
    if not said.startswith(GO):
        _explain(container)
        raise Error(
            "exec fifo is empty: container init did not signal execve readiness "
            "(process died before writing, or fifo already consumed)"
        )


def _died_in_execve(container: Container, pidfd: int) -> bool:
    """Whether the process ended after its last word, but as what it was; also if it is reaped and nobody can tell.

    Its end of the fifo is closed by execve(2), which has made it a program by then, or by its death, which is told a
    moment later.
    """
    found = state.process(container.pid)
    if found is not None and found[1] == container.start_time and not found[2]:
        return False
    return has_ended(pidfd, _DEADLINE)


def _explain(container: Container) -> None:
    """Raises StepError if the memory limit has ended the process."""
    from pyoci.container.process import oom

    killed = oom.explanation(container.cgroups)
    if killed is not None:
        raise killed


def _explain_by_filter(container: Container) -> None:
    """Raises StepError if the seccomp profile lets no program begin. Where execve(2) is refused with an errno, a filter
    that forbids the rest, too, has kept the process from saying so."""
    from pyoci.container import forbidden

    found = forbidden.of_program(forbidden.profile_of(container))
    if found is not None:
        raise forbidden.explanation(found)
