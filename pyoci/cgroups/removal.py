"""Waiting for a cgroup to become empty, and removing it: by events, not by sleeping.

The decision: docs/decisions/events-not-sleep.md.
"""

from __future__ import annotations

import select
import time
from errno import EBUSY, ENOTEMPTY

from pyoci import os
from pyoci.cgroups import files, processes
from pyoci.cgroups.files import Directory, Tree, vanished
from pyoci.errors import Error
from pyoci.kernel import textfile
from pyoci.kernel.constants import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC
from pyoci.kernel.path import filesystem_type
from pyoci.kernel.process import pidfd_open

_BATCH = 256
_LONGEST_PAUSE = 32  # ms


def wait_empty(paths: dict[str, str], timeout: float) -> bool:
    """Wait until no process is left in the cgroup and below it; False if some are after `timeout` seconds.

    On v2 cgroup.events tells; v1 has no event of its own, so there the members are waited for.
    """
    deadline = time.monotonic() + timeout
    with Tree() as tree:
        for path in dict.fromkeys((paths.get("", processes.reference(paths)), processes.reference(paths))):
            try:
                with tree.open(path) as directory:
                    if not _wait(directory, deadline):
                        return False
            except OSError as error:
                if not vanished(error):
                    raise
    return True


def _wait(directory: Directory, deadline: float) -> bool:
    """Wait for the members one by one, and on v2 for the event as well: the kernel may hold that back for 10 ms."""
    try:
        events = os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    except FileNotFoundError:
        events = -1
    try:
        while True:
            if events >= 0 and files.keyed(os.pread(events, 4096, 0), b"populated") != b"1":
                return True
            alive = processes.below(directory.descriptor)[:_BATCH]
            if not alive and events < 0:
                return True
            for pid in alive or (0,):
                if not _wait_change(pid, events, deadline):
                    return False
    finally:
        if events >= 0:
            os.close(events)


def _wait_change(pid: int, events: int, deadline: float) -> bool:
    """Wait for the end of a process (0: of none) or an event; False at the deadline."""
    poll = select.poll()
    if events >= 0:
        poll.register(events, select.POLLPRI)
    try:
        process = pidfd_open(pid) if pid else -1
    except ProcessLookupError:
        return True
    try:
        if process >= 0:
            poll.register(process, select.POLLIN)
        left = max(0.0, deadline - time.monotonic())
        return bool(poll.poll(int(left * 1000) + 1)) and left > 0
    finally:
        if process >= 0:
            os.close(process)


def remove(paths: dict[str, str], timeout: float = 2.0) -> None:
    """Remove the container's cgroup from every hierarchy, with what was made below it, children first.

    Waits up to `timeout` seconds in all for processes that are about to end; as long as there is one, nothing below it
    is removed either. What is gone already is fine; a directory on which something is mounted is not ours and stays, as
    does one that is not in a cgroup file system. Raises Error naming what is left and who holds it.
    """
    deadline = time.monotonic() + timeout
    left: dict[str, OSError] = {}
    with Tree() as tree:
        for path in dict.fromkeys(paths.values()):
            try:
                _remove(tree, path, deadline)
            except OSError as error:
                left[path] = error
    if left:
        raise _left(paths, left)


def require_empty(paths: dict[str, str], timeout: float = 2.0) -> None:
    """Wait up to `timeout` seconds until no process is left in the cgroup. Raises the Error of remove() if one is."""
    if not wait_empty(paths, timeout):
        raise _left(paths, dict.fromkeys(paths.values(), OSError(EBUSY, os.strerror(EBUSY))))


def _left(paths: dict[str, str], left: dict[str, OSError]) -> Error:
    first, cause = next(iter(left.items()))
    names = " ".join(f"{controller}:{path}" for controller, path in paths.items() if path in left)
    return Error(
        f"unable to remove container's cgroup: Failed to remove paths: map[{names}]",
        call=f'rmdir("{first}")',
        errno=cause.errno or 0,
        hint=_holders(paths) or os.strerror(cause.errno or 0),
    )


def discard(path: str, timeout: float = 2.0) -> None:
    """Undo the making of one directory. Raises OSError only."""
    with Tree() as tree:
        _remove(tree, path, time.monotonic() + timeout)


def _remove(tree: Tree, path: str, deadline: float) -> None:
    parent_path, _, name = path.rpartition("/")
    try:
        with tree.open(parent_path or "/") as parent:
            if filesystem_type(parent.descriptor) not in (CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC):
                return  # a hierarchy itself, or an ordinary directory that a state.json names
            if not files.is_known(path, os.stat(name, dir_fd=parent.descriptor, follow_symlinks=False).st_ino):
                return
            if not _rmdir(parent.descriptor, name):
                _remove_populated(parent, name, path, deadline)
    except OSError as error:
        if not vanished(error):
            raise


def _remove_populated(parent: Directory, name: str, path: str, deadline: float) -> None:
    """Remove a cgroup that has children, or processes that are ending.

    Its empty children go only when no process is left in all of it: one that stays is another's, and so may they be.
    """
    pause = 1
    with parent.child(name) as directory:  # EXDEV if it is a mount point, whose children are not ours
        if not files.is_known(path, os.fstat(directory.descriptor).st_ino):
            return
        while True:
            if not _wait(directory, deadline):
                raise OSError(EBUSY, os.strerror(EBUSY), directory.path)
            for holder, child in files.descendants(directory.descriptor):
                _rmdir(holder, child)
            if _rmdir(parent.descriptor, name):
                return
            if time.monotonic() > deadline:
                raise OSError(EBUSY, os.strerror(EBUSY), directory.path)
            select.poll().poll(pause)  # empty, still busy: the kernel has no event for that
            pause = min(2 * pause, _LONGEST_PAUSE)


def _rmdir(parent: int, name: str) -> bool:
    """False if it is busy or has children."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno in (EBUSY, ENOTEMPTY):
            return False
        if not vanished(error):
            raise
    return True


def _holders(paths: dict[str, str]) -> str:
    """The processes that keep the cgroup, with their states: `process 12 (sleep) in state D is still in it`."""
    try:
        held = processes.pids(paths)[:8]
    except OSError:
        return ""
    texts = []
    for pid in held:
        command, _, rest = textfile.read_if_there(f"/proc/{pid}/stat").partition(b" (")[2].rpartition(b") ")
        if rest:
            texts.append(f"process {pid} ({os.fsdecode(command)}) in state {rest[:1].decode()} is still in it")
    return "; ".join(texts)
