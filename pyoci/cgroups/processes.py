"""The processes of a container's cgroup: listing, joining, signalling, freezing."""

from __future__ import annotations

import time
from errno import EINVAL, ESRCH

from pyoci import os
from pyoci.cgroups import files
from pyoci.cgroups.files import Tree, failure, threaded, vanished
from pyoci.kernel import textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.kernel.process import pidfd_open, pidfd_send_signal

_BATCH = 256  # pidfds at a time, well below RLIMIT_NOFILE
_ROUNDS = 1000
_NEW_TASK_TRIES = 5
_NEW_TASK_DELAY = 0.03  # seconds


def reference(paths: dict[str, str]) -> str:
    """The directory that is asked for the container's processes; they are in the same place in all hierarchies."""
    for controller in ("devices", "freezer", "pids", ""):
        if controller in paths:
            return paths[controller]
    return next(iter(paths.values()))


def identities(paths: dict[str, str]) -> dict[str, int]:
    """The inodes of the cgroups, by controller, which until the next boot no others get; none of one that is gone."""
    found = {}
    with Tree() as tree:
        for path in dict.fromkeys(paths.values()):
            inode = _inode(tree, path)
            if inode:
                found.update({controller: inode for controller in paths if paths[controller] == path})
    return found


def _inode(tree: Tree, path: str) -> int:
    """0 if it is gone."""
    try:
        with tree.open(path) as directory:
            return os.fstat(directory.descriptor).st_ino
    except OSError as error:
        if not vanished(error):
            raise
        return 0


def own(paths: dict[str, str], inodes: dict[str, int]) -> dict[str, str]:
    """`paths`, each of them known by its inode (files.Known), or {} if another cgroup has their place by now: the one
    that the container was made with was removed, by whomever.

    A controller without an inode: nobody knows. One that is gone has no successor yet: its path is still its own.
    """
    known: dict[str, str] = {name: files.known(path, inodes.get(name, 0)) for name, path in paths.items()}
    if known:
        place = reference(known)
        with Tree() as tree:
            inode = _inode(tree, str(place))
        if inode and not files.is_known(place, inode):
            return {}
    return known


def exists(paths: dict[str, str]) -> bool:
    """Whether the cgroup is there, and the one that it was."""
    with Tree() as tree:
        return bool(_inode(tree, reference(paths)))


def have_children(paths: dict[str, str]) -> bool:
    """Whether there are cgroups below it, in any hierarchy."""
    with Tree() as tree:
        for path in dict.fromkeys(paths.values()):
            try:
                with tree.open(path) as directory:
                    if textfile.has_children(directory.descriptor):
                        return True
            except OSError as error:
                if not vanished(error):
                    raise
    return False


def pids(paths: dict[str, str]) -> list[int]:
    """Every process in the cgroup and below it, in order. OSError (ENOENT, ENODEV) if the cgroup itself is gone."""
    with Tree() as tree, tree.open(reference(paths)) as top:
        return below(top.descriptor)


def below(top: int) -> list[int]:
    """Every process in the cgroup open as `top` and below it. A descendant removed meanwhile is passed over."""
    found = _members(top, "")
    for parent, name in files.descendants(top):
        try:
            found |= _members(parent, f"{name}/")
        except OSError as error:
            if not vanished(error):
                raise
    return sorted(found)


def _members(directory: int, prefix: str) -> set[int]:
    """The processes directly in a cgroup; 0, one of another pid namespace, cannot be named and is left out."""
    try:
        content = textfile.read(f"{prefix}cgroup.procs", directory)
    except OSError as error:
        if not threaded(error):
            raise
        threads = textfile.lines(textfile.read(f"{prefix}cgroup.threads", directory))
        return {_process_of(int(thread)) for thread in threads} - {0}
    return {int(line) for line in textfile.lines(content)} - {0}


def _process_of(thread: int) -> int:
    """The process of a thread, 0 if it is gone. The first line of the file is the thread's name, which is its own."""
    for line in textfile.lines(textfile.read_if_there(f"/proc/{thread}/status"))[1:]:
        if line.startswith(b"Tgid:"):
            return int(line[5:])
    return 0


def join(paths: dict[str, str], pid: int) -> None:
    """Move the process `pid` into the cgroup in every hierarchy.

    A process that is just being made is refused with EINVAL (a deadline or real-time one not yet scheduled): there is
    no event to wait for, so that is tried again, five times in 150 ms.
    Raises StepError.
    """
    with Tree() as tree:
        for path in dict.fromkeys(paths.values()):
            try:
                with tree.open(path) as directory:
                    _join(directory, pid)
            except OSError as error:
                hint = "the cgroup holds threads, not processes" if threaded(error) else ""
                raise failure(
                    f"cannot move process {pid} into the cgroup", error, "/linux/cgroupsPath", hint
                ) from error


def _join(directory: files.Directory, pid: int) -> None:
    for attempt in range(_NEW_TASK_TRIES + 1):
        try:
            return directory.write("cgroup.procs", str(pid))
        except OSError as error:
            if error.errno != EINVAL or attempt == _NEW_TASK_TRIES:
                raise
        time.sleep(_NEW_TASK_DELAY)


def open_tasks(paths: dict[str, str]) -> tuple[int, ...]:
    """Descriptors of the v1 hierarchies' tasks files for a child that will call join_self(); the caller closes them."""
    opened: list[int] = []
    try:
        with Tree() as tree:
            for path in dict.fromkeys(path for controller, path in paths.items() if controller):
                with tree.open(path) as directory:
                    opened.append(os.open("tasks", os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory.descriptor))
    except OSError as error:
        for descriptor in opened:
            os.close(descriptor)
        raise failure("cannot open the cgroup", error, "/linux/cgroupsPath") from error
    return tuple(opened)


def join_self(tasks: tuple[int, ...]) -> None:
    """Move the calling thread, the only one of its process, by descriptors of open_tasks(), and close them.

    Moving oneself by "0" needs no lock against the forks and exits of the whole machine, which is what join() waits
    for: 0.1 ms instead of 7 to 10 on v1. On v2 CLONE_INTO_CGROUP does the same. Raises OSError.
    """
    for descriptor in tasks:
        os.write(descriptor, b"0")
        os.close(descriptor)


def kill(paths: dict[str, str]) -> None:
    """Kill every process in the cgroup and below it, also those forked meanwhile; one that is gone is empty.

    This goes through cgroup.kill where there is a v2 hierarchy. Otherwise the cgroup is frozen, so that nothing escapes
    by forking, killed process by process, and thawed whatever happens, with all that is below it: SIGKILL waits in a
    frozen v1 cgroup. Raises OSError.
    """
    if not paths:  # a rootless container that could not have a cgroup
        return
    try:
        if not _kill_file(paths):
            _freeze(paths, frozen=True)
        # cgroup.kill signals the first thread of each process, and one that has ended does not pass it on
        # (Linux 6.18): such a process lives on in its other threads. A pidfd's signal is for all of them.
        _kill_all(paths)
    finally:
        thaw_all(paths)


def _kill_file(paths: dict[str, str]) -> bool:
    """cgroup.kill; False if that has to be done by hand: no v2 hierarchy, not joined, or threaded."""
    if "" not in paths:
        return False
    try:
        with Tree() as tree, tree.open(paths[""]) as directory:
            directory.write("cgroup.kill", "1")
    except OSError as error:
        if not vanished(error) and not threaded(error):
            raise
        return False
    return True


def _kill_all(paths: dict[str, str]) -> None:
    """Kill all processes until a look finds no new one; a fork that was under way appears in a later look."""
    done: set[int] = set()
    for _ in range(_ROUNDS):
        try:
            new = [pid for pid in pids(paths) if pid not in done]
            for start in range(0, len(new), _BATCH):
                _kill_batch(paths, new[start : start + _BATCH])
        except OSError as error:
            if not vanished(error):
                raise
            return
        if not new:
            return
        done.update(new)


def _kill_batch(paths: dict[str, str], candidates: list[int]) -> None:
    """Pin the processes first, look again, kill those still there: a number that is used anew never counts."""
    pinned: dict[int, int] = {}
    try:
        for pid in candidates:
            try:
                pinned[pid] = pidfd_open(pid)
            except ProcessLookupError:
                pass
        for pid in pids(paths):
            if pid in pinned:
                try:
                    pidfd_send_signal(pinned[pid], SIGKILL)
                except OSError as error:
                    if error.errno != ESRCH:
                        raise
    finally:
        for descriptor in pinned.values():
            os.close(descriptor)


def is_frozen(paths: dict[str, str]) -> bool:
    """Whether the cgroup was frozen itself; one below a frozen one is not. False if it is gone or has no freezer."""
    try:
        with Tree() as tree, tree.open(freezer(paths)) as directory:
            return textfile.is_frozen(directory.descriptor, 1 if "freezer" in paths else 2)
    except OSError as error:
        if not vanished(error):
            raise
        return False


def is_populated(paths: dict[str, str]) -> bool:
    """Whether there is a process where freezing counts, in the cgroup or below it. False if it is gone."""
    if not paths:
        return False
    try:
        with Tree() as tree, tree.open(freezer(paths)) as top:
            return bool(below(top.descriptor))
    except OSError as error:
        if not vanished(error):
            raise
        return False


def frozen_at(paths: dict[str, str]) -> str:
    """The cgroup by which a process that enters would be frozen: the container's own or one above, "" for none.

    What is not there yet will be as what is above it. Raises OSError.
    """
    path, names = freezer(paths), ("freezer.state", "freezer.self_freezing")
    if "freezer" not in paths:
        names = ("cgroup.events", "cgroup.freeze")
    with Tree() as tree:
        first = True
        while path not in ("", files.ROOT):
            try:
                with tree.open(path) as directory:
                    if first and _is_thawed(directory.read(names[0])):
                        return ""
                    first = False
                    if directory.read(names[1]) == b"1\n":
                        return path
            except OSError as error:  # not there yet; the root of a hierarchy has no such files
                if not vanished(error):
                    raise
            path = path.rpartition("/")[0]
    return ""


def _is_thawed(content: bytes) -> bool:
    """By the content of v1's freezer.state, or of v2's cgroup.events: whether nothing above is frozen either."""
    return content == b"THAWED\n" or files.keyed(content, b"frozen") == b"0"


def thaw(paths: dict[str, str]) -> None:
    """Undo a freeze. Nothing to do if the cgroup is gone or has no freezer. Raises OSError."""
    if paths:
        _freeze(paths, frozen=False)


def thaw_all(paths: dict[str, str]) -> None:
    """Thaw the cgroup and every one below it, for processes that were sent SIGKILL. Raises OSError.

    A frozen v1 cgroup keeps them, also one below that the container has frozen itself; v2 lets them die.
    """
    thaw(paths)
    if "freezer" not in paths:
        return
    try:
        with Tree() as tree, tree.open(paths["freezer"]) as top:
            for parent, name in files.descendants(top.descriptor):
                _thaw_below(parent, name)
    except OSError as error:
        if not vanished(error):
            raise


def _thaw_below(parent: int, name: str) -> None:
    try:
        file = os.open(f"{name}/freezer.state", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        if not vanished(error):
            raise
        return
    try:
        os.write(file, b"THAWED")
    except OSError as error:
        if not vanished(error):
            raise
    finally:
        os.close(file)


def _freeze(paths: dict[str, str], frozen: bool) -> None:
    """Ask for the state without waiting for it; freezer.freeze() waits."""
    try:
        with Tree() as tree, tree.open(freezer(paths)) as directory:
            if "freezer" in paths:
                directory.write("freezer.state", "FROZEN" if frozen else "THAWED")
            else:
                directory.write("cgroup.freeze", "1" if frozen else "0")
    except OSError as error:
        if not vanished(error):
            raise


def freezer(paths: dict[str, str]) -> str:
    """The directory that is frozen: v1's where there is one, as runc does on hybrid machines; "" without any cgroup."""
    return paths.get("freezer") or (reference(paths) if paths else "")
