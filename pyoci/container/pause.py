"""pause and resume: suspend every process of a container, and let them go on."""

from __future__ import annotations

from errno import EACCES, EPERM, EROFS

from pyoci.cgroups import freezer, processes
from pyoci.cgroups.files import vanished
from pyoci.container import state
from pyoci.container.lock import Change
from pyoci.container.state import Container
from pyoci.errors import Error, StateError, os_error_text, system_call
from pyoci.kernel import signals
from pyoci.kernel.signals import Interrupted, Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_RUNNING = "container not running"
_WHY_NOT = {
    "paused": "it is paused already",
    "creating": "it is still being created",
    "stopped": "it has ended",
}


def pause(root: str, id: str) -> None:
    """Freeze a created or running container and return once all of it is frozen.

    A pause that fails, or that a signal ends, thaws it again. Raises StateError, Error; ends by the signal.
    """
    with Change(root, id) as directory:
        container = state.read(root, id, directory)
        found = state.status(container)
        if found not in ("created", "running"):
            raise StateError(_NOT_RUNNING, hint=_WHY_NOT[found])
        try:
            _freeze(container)
        except Interrupted as interrupted:
            signals.die(interrupted)
            raise


def _freeze(container: Container) -> None:
    interrupts = Interrupts(signals.ENDING)
    interrupts.install()
    _explained("pause", container, lambda: freezer.freeze(_own(container), interrupts))
    # A signal from here on is too late: all is frozen, and the command succeeds.


def resume(root: str, id: str) -> None:
    """Thaw a paused container. Raises StateError, Error."""
    with Change(root, id) as directory:
        container = state.read(root, id, directory)
        if state.status(container) != "paused":
            raise StateError("container not paused")
        cgroups = _own(container)
        if not cgroups:
            raise StateError("the container's cgroup is gone", hint="somebody has removed it, and made another one")
        _explained("resume", container, lambda: processes.thaw(cgroups))


def _own(container: Container) -> dict[str, str]:
    return processes.own(container.cgroups, container.cgroup_ids)


def _explained(command: str, container: Container, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        if vanished(error) and state.status(container) == "stopped":
            raise StateError(_NOT_RUNNING, hint="it has been deleted meanwhile") from None
        rights = error.errno in (EACCES, EPERM, EROFS)
        raise Error(
            os_error_text(error),
            call=system_call(error),
            errno=error.errno or 0,
            hint=f"{command} needs write access to the container's cgroup" if rights else "",
        ) from None
