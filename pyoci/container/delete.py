"""delete: remove what a container left: cgroups, directory, then its poststop hooks (runtime.md, "Delete")."""

from __future__ import annotations

import fcntl
from time import monotonic

from pyoci import os
from pyoci.container import hooks as container_hooks
from pyoci.container import state
from pyoci.container.kill import kill_cgroup, send, thaw
from pyoci.container.state import Container
from pyoci.errors import DamagedError, Error, HookError, NotFoundError, StateError
from pyoci.kernel.constants import SIGKILL, SIGTERM
from pyoci.kernel.process import has_ended, pidfd_open
from pyoci.log import log

_DEADLINE = 10_000  # ms for a killed process to be gone, as runc waits
_ENDING = 2.0  # seconds that a process which is about to end may stay in the cgroup
_DYING = 10.0  # and one of a create that was killed, which ends by itself as soon as it notices
_AGAIN = 20  # ms, after which what keeps it from that is taken away once more
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
    """Kill the process and wait, by its descriptor, until it is gone; whatever the status says of a dead create.

    Raises StateError, before anything is done, if that would kill another container's.
    """
    if not state.is_alive(container.pid, container.start_time):
        return
    try:
        pidfd = pidfd_open(container.pid)
    except ProcessLookupError:
        return
    try:
        if not container.private_pid and container.cgroups_made:
            kill_cgroup(container)
        try:
            send(container, SIGKILL)
        except StateError:
            return
        deadline = monotonic() + _DEADLINE / 1000
        while monotonic() < deadline:  # by the clock: with many cgroups below it each round takes its time
            thaw(container)  # which a process of it may freeze as often
            if has_ended(pidfd, _AGAIN):
                return
        raise Error("container init still running", hint=_why_not(container))
    finally:
        os.close(pidfd)


def _why_not(container: Container) -> str:
    """What keeps the process from ending, as far as that can be told."""
    from pyoci.cgroups import processes

    try:
        frozen = processes.frozen_at(container.cgroups) if container.cgroups else ""
    except OSError:
        frozen = ""
    return f"process {container.pid} did not end within 10 s of SIGKILL" + (f": {frozen} is frozen" if frozen else "")


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
            pidfd_send_signal(pidfd, SIGTERM)
            if not has_ended(pidfd, _UNDOING):
                pidfd_send_signal(pidfd, SIGKILL)
                has_ended(pidfd, _DEADLINE)
    except ProcessLookupError:
        pass
    finally:
        os.close(pidfd)


def destroy(container: Container, directory: int) -> None:
    """Remove the cgroups and the directory of a container without processes, then run its poststop hooks."""
    if container.cgroups:
        _remove_cgroups(container)
    if container.rdt_remove:
        from pyoci.kernel import resctrl

        for path in container.rdt_remove:
            resctrl.remove_group(path)
    _remove_directory(container.root, container.id, directory)
    _poststop(container)


def _remove_cgroups(container: Container) -> None:
    """Remove the cgroups that create has made, if they are still those, or, if it was killed before, that are empty.

    The kernel has ended all of a container with a pid namespace of its own: whoever is left in its cgroup is another's,
    and an error. Without one, as in runc, those who are left are the container's, and are killed. What is another
    container's is neither killed nor removed: an error, too.
    """
    from pyoci.cgroups import processes, removal

    cgroups = processes.own(container.cgroups, container.cgroup_ids)
    if not cgroups:
        return
    if container.cgroups_made and not container.private_pid:
        kill_cgroup(container)
    try:
        if processes.have_children(cgroups):
            from pyoci.container import sharing

            sharing.refuse_to_remove(container)
        known = container.replace(cgroups=cgroups)
        left = cgroups if container.unit is None else stop_unit(known)
        removal.remove(left, _DYING if container.creating else _ENDING)
    except Error as error:
        if not container.cgroups_made:
            return
        if container.private_pid and "still in it" in error.hint:
            error.hint += f", and not of {container.id}, which has ended: end it or move it away, and delete again"
        raise


def stop_unit(container: Container) -> dict[str, str]:
    """Let the systemd that made the unit stop it and forget it, whatever this command's environment says.

    Returns the cgroups that are left to remove. Raises Error if there are processes: systemd would kill them.
    """
    from pyoci.cgroups.systemd.names import is_forgotten, stored

    assert container.unit is not None
    unit = stored(container.unit)
    if is_forgotten(unit):  # by far the most frequent case of a container that has ended
        return container.cgroups
    from pyoci.cgroups import removal
    from pyoci.cgroups.systemd import units

    if container.cgroups_made:
        removal.require_empty(container.cgroups)
    return units.stop(unit, container.cgroups_made, container.cgroups)


def _remove_directory(root: str, id: str, directory: int) -> None:
    parent = state.open_root(root)
    try:
        if state.is_named(parent, id, directory):
            state.remove_directory(parent, id)
    finally:
        os.close(parent)


def _poststop(container: Container) -> None:
    """The container is gone already: a hook that fails is a warning, and the others run all the same."""
    hooks = container_hooks.stored(container, "poststop")
    if not hooks:
        return
    from pyoci.steps.hooks.run import run_hooks

    text = container_hooks.hook_state(container, "stopped", 0)
    for index, hook in enumerate(hooks):
        try:
            run_hooks("poststop", (hook,), text, None, first=index)
        except HookError as error:
            log.warning(error.message)
