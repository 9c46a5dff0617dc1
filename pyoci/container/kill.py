"""kill: send a signal to the container's process (runtime.md, "Kill")."""

from __future__ import annotations

from pyoci import os
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import StateError
from pyoci.kernel.process import pidfd_open, pidfd_send_signal

SIGKILL = 9


def kill(root: str, id: str, signal: int, all: bool) -> None:
    """Send `signal` to the first process. Raises StateError.

    SIGKILL reaches every process of a container that has no pid namespace of its own. `all` only makes it no error that
    the container is not running, as with runc.
    """
    container = state.load(root, id)
    found = state.status(container)
    if found == "stopped":
        if all:
            if not container.private_pid and container.cgroups_made and signal == SIGKILL:
                kill_cgroup(container)
            return
        raise StateError("container not running")
    if found == "creating" and not container.pid:
        raise StateError("container not running", hint="it is still being created")
    if signal == SIGKILL and not container.private_pid and container.cgroups_made:
        kill_cgroup(container)
        try:
            send(container, signal)  # without rights to its cgroups it is not in any
        except StateError:
            pass
    else:
        try:
            send(container, signal)
        except StateError:
            if not all:
                raise
    if signal == SIGKILL:
        thaw(container)


def thaw(container: Container) -> None:
    """After SIGKILL: processes of a paused container die of it on v1 only then. Asked late, so that a pause that came
    meanwhile does not keep them."""
    if state.is_frozen(container.cgroups):
        from pyoci.cgroups import members

        members.thaw(container.cgroups)


def kill_cgroup(container: Container) -> None:
    from pyoci.cgroups import members

    members.kill(container.cgroups)


def send(container: Container, signal: int) -> None:
    """Signal the first process by descriptor: opened first and compared then, it cannot be another one with its pid."""
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        raise _gone() from None
    try:
        if not state.is_alive(container.pid, container.start_time):
            raise _gone()
        pidfd_send_signal(pidfd, signal)
    except ProcessLookupError:
        raise _gone() from None
    finally:
        os.close(pidfd)


def _gone() -> StateError:
    return StateError("container not running", hint="os: process already finished")
