"""delete: remove what a container left: cgroups, directory, then its poststop hooks (runtime.md, "Delete")."""

from __future__ import annotations

import fcntl

from pyoci import os
from pyoci.container import poststart, state
from pyoci.container.kill import kill_cgroup, send, thaw
from pyoci.container.state import Container
from pyoci.errors import DamagedError, Error, HookError, NotFoundError, StateError
from pyoci.kernel.process import has_ended, pidfd_open
from pyoci.log import log

_DEADLINE = 10_000  # ms for a killed process to be gone, as runc waits
_LOCK = "delete.lock"
_UNDOING = 3_000  # ms for a create that is ended to undo what it has made


def delete(root: str, id: str, force: bool) -> None:
    """Remove a container that is stopped; with `force` also one that is not, and one that does not exist.

    A created container is killed as well, as runc does. Two deletes at once: one has the lock on the container's
    directory and removes it, for the other one it does not exist. Of a container whose state.json is damaged `force`
    removes what can still be told. Raises NotFoundError, StateError, Error.
    """
    state.check_id(id)
    try:
        directory = state.open_directory(root, id)
        try:
            _delete(root, id, force, directory)
        finally:
            os.close(directory)
    except NotFoundError:
        if not force:
            raise


def _delete(root: str, id: str, force: bool, directory: int) -> None:
    lock = _lock(root, id, directory)
    try:
        try:
            container = state.read(root, id, directory)
        except NotFoundError:  # a create was killed before its first write, or a delete before its last
            _remove_directory(root, id, directory)
            raise
        except DamagedError as error:
            if not force:
                raise
            from pyoci.container import salvage

            left = salvage.Remains(root, id, directory)
            log.warning(error.message)
            stop(left.container)
            destroy(left.container, directory)
            left.tell()
            return
        found = state.status(container)
        if found in ("created", "running", "paused", "creating") and not (force or found == "created"):
            from pyoci.container import advice

            raise advice.not_stopped(root, id, found)
        if found == "creating":
            _stop_runtime(container)
            container = state.read(root, id, directory)  # with what it has made since; NotFoundError: it undid it all
        stop(container)
        destroy(container, directory)
    finally:
        os.close(lock)


def remove(container: Container) -> None:
    """Kill and remove the container that this process has made, unless somebody else has done so."""
    try:
        directory = state.open_directory(container.root, container.id)
    except NotFoundError:
        return
    try:
        lock = _lock(container.root, container.id, directory)
        try:
            if state.read(container.root, container.id, directory).created == container.created:
                stop(container)
                destroy(container, directory)
        finally:
            os.close(lock)
    except NotFoundError:
        pass
    finally:
        os.close(directory)


def _lock(root: str, id: str, directory: int) -> int:
    """Take the lock that decides between deletes; it ends with its holder. Raises NotFoundError: another has it."""
    try:
        lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except FileNotFoundError:  # the directory has been removed
        raise NotFoundError from None
    parent = state.open_root(root)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if state.is_named(parent, id, directory):
            return lock
    except BlockingIOError:
        pass
    finally:
        os.close(parent)
    os.close(lock)
    raise NotFoundError


def stop(container: Container) -> None:
    """Kill the process and wait, by its descriptor, until it is gone; whatever the status says of a dead create."""
    if not state.is_alive(container.pid, container.start_time):
        return
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        return
    try:
        try:
            if not container.private_pid and container.cgroups_made:
                kill_cgroup(container)
            send(container, 9)
        except StateError:
            return
        thaw(container)
        if not has_ended(pidfd, _DEADLINE):
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
            if not has_ended(pidfd, _UNDOING):
                pidfd_send_signal(pidfd, 9)
                has_ended(pidfd, _DEADLINE)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def destroy(container: Container, directory: int) -> None:
    """Remove the cgroups and the directory of a container without processes, then run its poststop hooks.

    Cgroups that create had not made when it was killed are removed if they are empty: another's process may be there.
    """
    if container.cgroups:
        from pyoci.cgroups import members, removal

        if container.cgroups_made and (not container.private_pid or _has_processes(container.cgroups)):
            members.kill(container.cgroups)
        left = container.cgroups if container.unit is None else stop_unit(container)
        try:
            removal.remove(left)
        except Error:
            if container.cgroups_made:
                raise
    if container.rdt_remove:
        from pyoci.kernel import resctrl

        for path in container.rdt_remove:
            resctrl.remove_group(path)
    _remove_directory(container.root, container.id, directory)
    _poststop(container)


def stop_unit(container: Container) -> dict[str, str]:
    """Let the systemd that made the unit stop it and forget it, whatever this command's environment says.

    Returns the cgroups that are left to remove.
    """
    from pyoci.cgroups.systemd_names import is_forgotten, stored

    assert container.unit is not None
    unit = stored(container.unit)
    if is_forgotten(unit):  # by far the most frequent case of a container that has ended
        return container.cgroups
    from pyoci.cgroups import systemd

    return systemd.stop(unit, container.cgroups_made, container.cgroups)


def _remove_directory(root: str, id: str, directory: int) -> None:
    parent = state.open_root(root)
    try:
        if state.is_named(parent, id, directory):
            state.remove_directory(parent, id)
    finally:
        os.close(parent)


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
