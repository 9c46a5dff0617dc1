"""delete: remove what a container left: cgroups, directory, then its poststop hooks (runtime.md, "Delete")."""

from __future__ import annotations

import os
import select

from pyoci.container import poststart, state
from pyoci.container.kill import kill_cgroup, send
from pyoci.container.state import Container
from pyoci.errors import Error, HookError, NotFoundError, StateError
from pyoci.kernel.process import pidfd_open
from pyoci.log import log

_DEADLINE = 10.0  # seconds for a killed process to be gone, as runc waits
_UNDOING = 3.0  # seconds for a create that is ended to undo what it has made


def delete(root: str, id: str, force: bool) -> None:
    """Remove a container that is stopped; with `force` also one that is not, and one that does not exist.

    A created container is killed as well, as runc does. Raises NotFoundError, StateError, Error.
    """
    state.check_id(id)
    try:
        directory = state.open_directory(root, id)
        try:
            _delete(root, id, force, directory)
        finally:
            os.close(directory)
    except NotFoundError:
        _discard_graves(root, id)
        if not force:
            raise


def _delete(root: str, id: str, force: bool, directory: int) -> None:
    try:
        container = state.read(root, id, directory)
    except NotFoundError:
        _discard(root, id, directory)
        raise
    found = state.status(container)
    if found in ("created", "running", "paused", "creating") and not (force or found == "created"):
        raise StateError(f"cannot delete container {id} that is not stopped: {found}")
    if found != "stopped":
        stop(container, found)
    destroy(container, directory)


def stop(container: Container, found: str) -> None:
    """Kill the process and wait, by its descriptor, until it is gone."""
    if found == "creating":
        _stop_runtime(container)
    if not state.is_alive(container.pid, container.start_time):
        return
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        return
    try:
        try:
            if container.private_pid or not container.cgroups:
                send(container, 9)
            else:
                kill_cgroup(container)
        except StateError:
            return
        if found == "paused":
            from pyoci.cgroups import members

            members.thaw(container.cgroups)
        if not _ended(pidfd):
            raise Error(
                "container init still running", hint=f"process {container.pid} did not end within 10 s of SIGKILL"
            )
    finally:
        os.close(pidfd)


def _stop_runtime(container: Container) -> None:
    """End a create that is still under way: it undoes what it made, its hook included. What it cannot, because it
    hangs, we do."""
    from pyoci.kernel.process import pidfd_send_signal

    try:
        pidfd = pidfd_open(container.runtime_pid)
    except ProcessLookupError:
        return
    try:
        if state.is_alive(container.runtime_pid, container.runtime_start):
            pidfd_send_signal(pidfd, 15)
            if not _ended(pidfd, _UNDOING):
                pidfd_send_signal(pidfd, 9)
                _ended(pidfd)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def _ended(pidfd: int, seconds: float = _DEADLINE) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))


def destroy(container: Container, directory: int) -> None:
    """Remove the cgroups and the directory of a container without processes, then run its poststop hooks.

    Two deletes at once: the one whose rename of the directory succeeds is the one that succeeds. `directory` is open,
    so that what has its name now can be told from a container that was created after another delete.
    Raises NotFoundError: another delete was faster.
    """
    root = state.open_root(container.root)
    try:
        if not _bury(container, root, directory):
            raise NotFoundError
    finally:
        os.close(root)
    _poststop(container)


def _bury(container: Container, root: int, directory: int) -> bool:
    """False: another delete was faster."""
    if not _is_named(root, container.id, directory):
        return False
    if container.cgroups:
        from pyoci.cgroups import members, removal

        if not container.private_pid or _has_processes(container.cgroups):
            members.kill(container.cgroups)
        removal.remove(container.cgroups)
    grave = f"@{container.id}.{os.getpid()}"
    try:
        os.rename(container.id, grave, src_dir_fd=root, dst_dir_fd=root)
    except FileNotFoundError:
        return False
    if not _is_named(root, grave, directory):
        os.rename(grave, container.id, src_dir_fd=root, dst_dir_fd=root)
        return False
    state.remove_directory(root, grave)
    return True


def _is_named(root: int, name: str, directory: int) -> bool:
    """Whether the open `directory` has this name."""
    try:
        return os.path.samestat(os.stat(name, dir_fd=root, follow_symlinks=False), os.fstat(directory))
    except FileNotFoundError:
        return False


def _has_processes(cgroups: dict[str, str]) -> bool:
    """Whether the cgroup holds any process; one that somebody else has removed holds none."""
    from pyoci.cgroups import files, members

    try:
        return bool(members.pids(cgroups))
    except OSError as error:
        if not files.vanished(error):
            raise
        return False


def _poststop(container: Container) -> None:
    """The container is gone already: a hook that fails is a warning, and the others run all the same."""
    hooks = poststart.stored(container, "poststop")
    if not hooks:
        return
    from pyoci.steps.hooks import run_hooks

    text = poststart.hook_state(container, "stopped", 0)
    for index, hook in enumerate(hooks):
        try:
            run_hooks("poststop", (hook,), text, None, first=index)
        except HookError as error:
            log.warning(error.message)


def _discard(root: str, id: str, directory: int) -> None:
    """Remove a directory without a state: a create was killed before its first write."""
    parent = state.open_root(root)
    try:
        if _is_named(parent, id, directory):
            state.remove_directory(parent, id)
    finally:
        os.close(parent)


def _discard_graves(root: str, id: str) -> None:
    """Remove what a delete that was killed halfway has left: the cgroups were gone by then."""
    try:
        parent = state.open_root(root)
    except FileNotFoundError:
        return
    try:
        for name in os.listdir(root):
            if name.startswith(f"@{id}.") and name[len(id) + 2 :].isdigit():
                state.remove_directory(parent, name)
    finally:
        os.close(parent)
