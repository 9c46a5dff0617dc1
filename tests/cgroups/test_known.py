"""A cgroup is known by its inode: what has its path by now is another's, and nothing is done to that."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import ENOENT

import pytest

from pyoci.cgroups import freezer, manager, processes, removal
from pyoci.errors import StepError
from pyoci.undo import Undo

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

ACTS: dict[str, Callable[[dict[str, str]], object]] = {
    "kill": processes.kill,
    "freeze": freezer.freeze,
    "pids": processes.pids,
    "enter on v1": lambda paths: [os.close(one) for one in processes.open_tasks(paths)],
    "enter on v2": lambda paths: os.close(manager.open_v2({"": paths.get("", processes.reference(paths))})),
    "move a process there": lambda paths: processes.join(paths, os.getpid()),
    "remove": lambda paths: removal.remove(paths, 0),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_successor_is_let_alone(planned: dict[str, str], sleeper: Callable[[], int], act: str) -> None:
    """It came when the command had compared the inode already: each descriptor is compared again before it is used."""
    manager.create(planned, Undo())
    known = processes.own(planned, processes.identities(planned))
    removal.remove(planned)
    manager.create(planned, Undo())
    process = sleeper()
    processes.join(planned, process)
    for path in dict.fromkeys(planned.values()):
        os.mkdir(f"{path}/below")
    before = processes.pids(planned)
    try:
        ACTS[act](known)
    except (StepError, FileNotFoundError) as error:
        assert error.errno == ENOENT
    assert os.waitpid(process, os.WNOHANG) == (0, 0)
    assert processes.pids(planned) == before == [process] and not processes.is_frozen(planned)
    assert all(os.path.isdir(f"{path}/below") for path in planned.values())
    processes.kill(planned)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -9
    removal.remove(planned)


def test_a_successor_in_one_hierarchy(planned: dict[str, str], sleeper: Callable[[], int]) -> None:
    """Each has an inode of its own: one that was made anew in a single hierarchy stays, and who is in it."""
    if len(set(planned.values())) < 2:
        pytest.skip("this machine has one hierarchy")
    manager.create(planned, Undo())
    first = processes.identities(planned)
    known = processes.own(planned, first)
    other = planned["freezer"]
    os.rmdir(other)
    os.mkdir(other)
    assert processes.own(planned, first) == planned
    processes.thaw_all(known)
    with pytest.raises(FileNotFoundError):
        freezer.freeze(known)
    removal.remove(known)
    assert [path for path in dict.fromkeys(planned.values()) if os.path.isdir(path)] == [other]
    os.rmdir(other)
