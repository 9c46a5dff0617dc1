"""kill: send a signal to the container's process (runtime.md, "Kill")."""

from __future__ import annotations

from pyoci import os
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import StateError
from pyoci.kernel import textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.kernel.process import pidfd_open, pidfd_send_signal


def kill(root: str, id: str, signal: int, all: bool) -> None:
    """Send `signal` to the first process. Raises StateError.

    SIGKILL reaches every process of a container that has no pid namespace of its own. `all` only makes it no error that
    the container is not running, as with runc.
    """
    container = state.load(root, id)
    found = state.status(container)
    if found == "stopped":
        return _kill_left(container, signal, all)
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


def _kill_left(container: Container, signal: int, all: bool) -> None:
    """SIGKILL for those who are left of a container without a pid namespace of its own: nobody else ends them.

    As long as it has a cgroup that is no error, as with runc, even if nobody is there.
    """
    what = ""
    if signal == SIGKILL and not container.private_pid and container.cgroups_made:
        if kill_cgroup(container):
            return
        what = "unable to kill all processes: "
    if not all:
        raise StateError(f"{what}container not running")


def thaw(container: Container) -> None:
    """After SIGKILL: processes of a paused container die of it on v1 only then, and so do those in a cgroup below that
    the container has frozen itself. Asked late, so that a pause that came meanwhile does not keep them."""
    freezer = container.cgroups.get("freezer")
    if state.is_frozen(container) or (freezer is not None and _has_children(freezer)):
        from pyoci.cgroups import processes

        processes.thaw_all(processes.own(container.cgroups, container.cgroup_ids))


def _has_children(cgroup: str) -> bool:
    try:
        return textfile.has_children(cgroup)
    except FileNotFoundError:
        return False


def kill_cgroup(container: Container) -> bool:
    """Kill every process in the container's cgroup and below it; False if that is gone, or has become another's.

    Raises StateError, and kills nobody, if another container of the root has processes there.
    """
    from pyoci.cgroups import processes

    cgroups = processes.own(container.cgroups, container.cgroup_ids)
    if not cgroups or not processes.exists(cgroups):
        return False
    if processes.is_populated(cgroups):
        from pyoci.container import sharing

        sharing.refuse_to_kill(container)
    processes.kill(cgroups)
    return True


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
