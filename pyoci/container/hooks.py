"""poststart hooks: after the program has started, before start returns (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

from pyoci.container.state import Container
from pyoci.errors import Error, HookError
from pyoci.kernel.constants import SIGKILL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.hooks import Hook


def run(container: Container) -> None:
    """Run them with the container's pid. The first that fails stops the container, which stays as stopped."""
    hooks = stored(container, "poststart")
    if not hooks:
        return
    from pyoci.steps.hooks.run import run_hooks

    try:
        run_hooks("poststart", hooks, hook_state(container, "running", container.pid), None)
    except HookError:
        _stop(container)
        raise


def _stop(container: Container) -> None:
    """Kill what is left of it. Its first process may be long gone, and the pid another one's by now."""
    from pyoci.container import kill

    try:
        if not container.private_pid and container.cgroups_made:
            kill.kill_cgroup(container)
        kill.send(container, SIGKILL)
        kill.thaw(container)
    except (OSError, Error):  # it is gone, or the failure to kill must not hide the hook's
        pass


def stored(container: Container, kind: str) -> tuple[Hook, ...]:
    """The hooks of this kind that state.json kept from config.json."""
    if kind not in container.hooks:
        return ()
    from pyoci.config.hooks import read_hooks
    from pyoci.config.node import Node

    hooks: tuple[Hook, ...] = getattr(read_hooks(Node({kind: container.hooks[kind]}, "/hooks")), kind)
    return hooks


def hook_state(container: Container, status: str, pid: int) -> str:
    """The state that a hook gets on stdin."""
    from pyoci.steps.hooks.state import HookState

    return HookState(id=container.id, bundle=container.bundle, annotations=container.annotations).text(status, pid)
