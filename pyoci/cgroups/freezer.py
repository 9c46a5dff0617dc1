"""Freezing a cgroup, until all of it is frozen: v2's cgroup.freeze, v1's freezer controller."""

from __future__ import annotations

import select
import time
from errno import ENODEV, ENOENT

from pyoci import os
from pyoci.cgroups import files, hierarchies, processes
from pyoci.cgroups.files import Directory, Tree
from pyoci.errors import Error
from pyoci.kernel import textfile
from pyoci.kernel.constants import SIGKILL
from pyoci.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.kernel.signals import Interrupts

SECONDS = 10.0  # for all to be frozen; runc waits as long on v2

_AT_ONCE = 20  # tries on v1 without a pause
_AFRESH = 50  # on v1 every so many tries begin with a thaw
_LONGEST_PAUSE = 10  # ms
_LOOK = 100  # ms, between two looks on v2 at whether somebody else has thawed it


def freeze(paths: dict[str, str], interrupts: Interrupts | None = None, seconds: float = SECONDS) -> None:
    """Freeze every process in the cgroup and below it; when that fails, or a signal comes, thaw them again.

    What fails: a process that does not leave a system call (state D) within `seconds`; a cgroup that was removed.
    Raises Error, Interrupted; OSError with the file's name, ENOENT and ENODEV if the cgroup is gone.
    """
    deadline = time.monotonic() + seconds
    place = processes.freezer(paths)
    if not place:
        raise Error("cannot toggle freezer: cgroups not configured for container", hint="it has no cgroup of its own")
    with Undo() as undo, Tree() as tree, tree.open(place) as directory:
        undo.add(processes.thaw, paths)
        if interrupts is not None:
            interrupts.check()  # what freezes at once is not waited for, and then it would be too late
        if "freezer" in paths:
            _freeze_v1(directory, deadline, interrupts)
        else:
            _freeze_v2(directory, deadline, interrupts)


def _freeze_v2(directory: Directory, deadline: float, interrupts: Interrupts | None) -> None:
    """The kernel tells of the change in cgroup.events by POLLPRI."""
    try:
        directory.write("cgroup.freeze", "1")
    except FileNotFoundError as error:
        directory.read("cgroup.procs")  # unless the cgroup has just been removed
        raise Error(f"freezer not supported: {error.filename}: no such file or directory", errno=ENOENT) from None
    events = os.open("cgroup.events", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory.descriptor)
    poll = _poll(interrupts)
    poll.register(events, select.POLLPRI)
    try:
        while files.keyed(os.pread(events, 4096, 0), b"frozen") != b"1":
            _check(directory, deadline, interrupts)
            if directory.read("cgroup.freeze") != b"1\n":
                raise Error("unable to freeze", hint="another command has thawed the container meanwhile")
            poll.poll(_LOOK)
    finally:
        os.close(events)


def _freeze_v1(directory: Directory, deadline: float, interrupts: Interrupts | None) -> None:
    """Freeze, and ask again until all is frozen: v1 tells of no event.

    A cgroup may stay in the state FREEZING for good if a process appears in it meanwhile, by a fork that was under way
    or because somebody has moved it there. Writing FROZEN once more reaches such a process. Where that is not enough,
    thawing and freezing anew is: that is done now and then.
    """
    poll = _poll(interrupts)
    tries = pause = 0
    while True:
        tries += 1
        if tries % _AFRESH == 0:
            directory.write("freezer.state", "THAWED")
            poll.poll(_LONGEST_PAUSE)
        directory.write("freezer.state", "FROZEN")
        if directory.read("freezer.state") == b"FROZEN\n":
            return
        _check(directory, deadline, interrupts)
        if tries > _AT_ONCE:
            pause = min(pause + 1, _LONGEST_PAUSE)
            poll.poll(pause)


def release(pids: set[int]) -> None:
    """Kill these children of ours, and move those that a v1 cgroup keeps frozen to where we are: what is killed there
    ends only once it is thawed, which may be its owner's business. On v2 they die as they are. Raises OSError.
    """
    where = hierarchies.detect()
    for pid in sorted(pids):
        try:
            os.kill(pid, SIGKILL)  # not reaped yet: no other process has its number
            if _is_frozen(pid, where):
                with Tree() as tree, tree.open(_place(where, where.own["freezer"])) as directory:
                    directory.write("cgroup.procs", str(pid))
        except ProcessLookupError:
            pass


def _is_frozen(pid: int, where: hierarchies.Layout) -> bool:
    """Whether the process is in a v1 cgroup that is frozen, or about to be, or below one."""
    if "freezer" not in where.mounts:
        return False
    for line in textfile.lines(textfile.read_if_there(f"/proc/{pid}/cgroup")):
        _, controllers, path = line.split(b":", 2)
        if b"freezer" in controllers.split(b","):
            return processes.frozen_at({"freezer": _place(where, os.fsdecode(path))}) != ""
    return False


def _place(where: hierarchies.Layout, path: str) -> str:
    return f"{where.mounts['freezer']}{path}".rstrip("/")


def _poll(interrupts: Interrupts | None) -> select.poll:
    """A pause that a signal ends."""
    poll = select.poll()
    if interrupts is not None:
        poll.register(interrupts.fileno(), select.POLLIN)
    return poll


def _check(directory: Directory, deadline: float, interrupts: Interrupts | None) -> None:
    """Raises Interrupted; Error at the deadline."""
    if interrupts is not None:
        interrupts.check()
    if time.monotonic() > deadline:
        raise Error("unable to freeze", hint=_stubborn(directory.descriptor))


def _stubborn(cgroup: int) -> str:
    """The process that most likely stands in the way: in an uninterruptible system call, and not frozen."""
    try:
        for pid in processes.below(cgroup):
            place = textfile.read_if_there(f"/proc/{pid}/wchan")
            stat = textfile.read_if_there(f"/proc/{pid}/stat")
            if stat.rpartition(b") ")[2][:1] == b"D" and place != b"__refrigerator":
                return f"process {pid} does not leave a system call (state D, in {os.fsdecode(place)})"
    except OSError as error:
        return os.strerror(error.errno or ENODEV)
    return "new processes keep appearing in its cgroup"
