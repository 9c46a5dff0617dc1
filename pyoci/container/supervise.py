"""The rest of run, once the container is created: start it, and unless detached wait for its end and delete it."""

from __future__ import annotations

from pyoci import os
from pyoci.container import hooks, start, state
from pyoci.container.delete import remove
from pyoci.container.state import Container
from pyoci.container.streams.console import ConsoleOwner
from pyoci.container.streams.foreground import Foreground
from pyoci.errors import Error, HookError, StepError
from pyoci.kernel.process import has_ended, pidfd_open

_FAILED = 255
_MOMENT = 1000  # ms in which a process that has said why it fails has ended


def supervise(container: Container, terminal: ConsoleOwner, foreground: Foreground | None, keep: bool) -> int:
    """The exit status of run; `foreground`: None when detached; keep: it is not deleted. Raises Error."""
    pidfd = pidfd_open(container.pid)
    if foreground is not None:
        foreground.begin(container.pid, pidfd, terminal)
    relay = start.relay_for(container)
    try:
        directory = state.open_directory(container.root, container.id)
        try:
            start.release(container, directory, relay)
        except (HookError, StepError) as error:
            if foreground is not None:
                error.program_status = status_of(container.pid, pidfd)
            raise
        finally:
            os.close(directory)
        hooks.run(container)
        if foreground is None:
            if relay is not None:
                relay.wait()
            return 0
        status = foreground.wait(relay)
    finally:
        if relay is not None:
            relay.close()
        if foreground is not None:
            foreground.close()
        os.close(pidfd)
    if not keep:
        remove(container)
    return status


def status_of(pid: int, pidfd: int) -> int:
    """The exit status of a run, or exec, whose program did not begin, as with runc: 128 and the signal that has killed
    the process, or 255, with which runc's ends when it has failed after `start`. The process is left to be reaped."""
    if has_ended(pidfd, _MOMENT):
        try:
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return _FAILED
        if found is not None and found.si_code != os.CLD_EXITED:
            return 128 + found.si_status
    return _FAILED


def remove_failed(container: Container) -> None:
    """Remove a container that did not start, or whose poststart hook failed; the first error counts."""
    try:
        remove(container)
    except (Error, OSError):
        pass
