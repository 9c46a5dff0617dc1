"""Waiting by events, and removing whatever a container left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci.cgroups import files, manager, processes, removal
from pyoci.errors import Error
from pyoci.undo import Undo
from tests.cgroups.conftest import mount
from tests.isolation import MS_BIND

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

SOON = 0.1 if os.environ.get("PYOCI_LANE") != "guest" else 1  # seconds; emulated processors are slow
KINDS = ("hybrid", "v1", "v2")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, planned: dict[str, str]) -> dict[str, str]:
    """The hierarchies of this machine, only the v1 ones, only the v2 one: each has its own way to wait."""
    some = {
        key: path for key, path in planned.items() if request.param == "hybrid" or bool(key) == (request.param == "v1")
    }
    if not some:
        pytest.skip(f"this machine has no {request.param} hierarchy")
    return some


def nest(top: str, depth: int) -> None:
    """mkdir top/deeper/deeper/..., more than a path can say."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("deeper", dir_fd=here)
        below = os.open("deeper", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_wait_returns_when_the_last_one_ends(kind: dict[str, str], sleeper: Callable[[], int]) -> None:
    manager.create(kind, Undo())
    sleeping = [sleeper(), sleeper()]
    for process in sleeping:
        processes.join(kind, process)
    ended = []

    def end() -> None:
        for process in sleeping:
            time.sleep(0.1)
            ended.append(time.monotonic())
            os.kill(process, 9)

    thread = threading.Thread(target=end)
    thread.start()
    assert removal.wait_empty(kind, 10)
    assert len(ended) == 2 and time.monotonic() - ended[1] < SOON
    thread.join()
    removal.remove(kind)


def test_wait_gives_up_in_time(kind: dict[str, str], sleeper: Callable[[], int]) -> None:
    manager.create(kind, Undo())
    process = sleeper()
    processes.join(kind, process)
    started = time.monotonic()
    assert not removal.wait_empty(kind, 0.15)
    assert 0.15 <= time.monotonic() - started < 1
    assert not removal.wait_empty(kind, 0)
    os.kill(process, 9)
    assert removal.wait_empty(kind, 5)
    removal.remove(kind)


def test_wait_and_remove_do_not_poll(
    kind: dict[str, str], sleeper: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the members or events is followed by an event: two processes, a few looks each."""
    manager.create(kind, Undo())
    for process in (sleeping := [sleeper(), sleeper()]):
        processes.join(kind, process)
    looks: list[object] = []
    look, keyed = processes.below, files.keyed
    monkeypatch.setattr(processes, "below", lambda top: looks.append(top) or look(top))
    monkeypatch.setattr(files, "keyed", lambda *arguments: looks.append(arguments) or keyed(*arguments))
    timers = [threading.Timer(0.1 * number, os.kill, (process, 9)) for number, process in enumerate(sleeping, 1)]
    for timer in timers:
        timer.start()
    removal.remove(kind, 5)
    for timer in timers:
        timer.join()
    assert 0 < len(looks) <= 8 * len(set(kind.values()))


def test_what_is_held_is_named(kind: dict[str, str], sleeper: Callable[[], int]) -> None:
    manager.create(kind, Undo())
    process = sleeper()
    processes.join(kind, process)
    with pytest.raises(Error, match=r"^unable to remove container's cgroup: Failed to remove paths: map") as caught:
        removal.remove(kind, 0.05)
    assert caught.value.errno == 16
    assert caught.value.hint in [f"process {process} (sleep) in state {state} is still in it" for state in "SR"]
    os.kill(process, 9)
    removal.remove(kind)


def test_as_long_as_somebody_is_there_nothing_below_goes(kind: dict[str, str], sleeper: Callable[[], int]) -> None:
    """Who stays is another's, and so may the empty ones be: of a systemd's slices, say."""
    manager.create(kind, Undo())
    process = sleeper()
    processes.join(kind, process)
    for path in dict.fromkeys(kind.values()):
        os.makedirs(f"{path}/slice/empty")
    with pytest.raises(Error, match=r"^unable to remove container's cgroup"):
        removal.remove(kind, 0.05)
    assert all(os.path.isdir(f"{path}/slice/empty") for path in kind.values())
    os.kill(process, 9)
    removal.remove(kind)
    assert not any(os.path.exists(path) for path in kind.values())


def test_no_ordinary_directory_is_removed(tmp_path: Path) -> None:
    """A state.json names it, or a hierarchy itself: after a reboot, say, with other places for the hierarchies."""
    (tmp_path / "one/below").mkdir(parents=True)
    removal.remove({"pids": f"{tmp_path}/one", "": f"{tmp_path}/one/below"})
    assert (tmp_path / "one/below").is_dir()


def test_children_first(kind: dict[str, str]) -> None:
    manager.create(kind, Undo())
    for path in dict.fromkeys(kind.values()):
        for below in ("a/b/c", "a/d", "e"):
            os.makedirs(f"{path}/{below}")
    removal.remove(kind)


def test_nested_beyond_every_limit(kind: dict[str, str]) -> None:
    """Deeper than PATH_MAX, Python's stack and the number of descriptors."""
    one = {key: path for key, path in kind.items() if key in ("pids", "")}
    manager.create(one, Undo())
    for path in one.values():
        nest(path, 1100)
    assert processes.pids(one) == []
    removal.remove(one)


def test_a_wide_one(kind: dict[str, str]) -> None:
    one = {key: path for key, path in kind.items() if key in ("pids", "")}
    manager.create(one, Undo())
    for path in one.values():
        for number in range(500):
            os.mkdir(f"{path}/{number}")
    removal.remove(one)


def test_a_mount_point_is_left_alone(v1: dict[str, str], apart: Callable[..., None]) -> None:
    """Whatever a state file says: the cgroups below a mount point, such as a hierarchy's root, belong to others.

    The mount point is one of our own, so that a failure of this test harms nobody.
    """
    top = v1["pids"]
    os.makedirs(f"{top}/other/theirs/below")
    os.mkdir(f"{top}/point")

    def body() -> None:
        mount(f"{top}/other", f"{top}/point", "", MS_BIND)
        with pytest.raises(Error, match="Failed to remove paths"):
            removal.remove({"pids": f"{top}/point"}, 0)
        with pytest.raises(OSError, match="ross"):
            removal.discard(f"{top}/point", 0)

    apart(body)
    assert os.path.isdir(f"{top}/other/theirs/below")
    removal.remove({"pids": top})


def test_removed_by_somebody_else_meanwhile(kind: dict[str, str]) -> None:
    manager.create(kind, Undo())
    for path in list(dict.fromkeys(kind.values()))[::2]:
        os.rmdir(path)
    removal.remove(kind)
    removal.remove(kind)


@pytest.mark.parametrize("inside", [True, False])
def test_a_path_with_dots_is_not_opened(inside: bool) -> None:
    directory = next(entry.name for entry in os.scandir("/sys/fs/cgroup") if entry.is_dir(follow_symlinks=False))
    evil = f"/sys/fs/cgroup/{directory}/../../../../var/tmp" if inside else "/sys/fs/cgroup/../../../var/tmp"
    with files.Tree() as tree, pytest.raises(OSError, match=r"cross-device|Invalid|ross"):
        tree.open(evil)


def test_descendants_leave_no_descriptor(v1: dict[str, str]) -> None:
    path = v1["pids"]
    os.makedirs(f"{path}/a/b")
    before = os.listdir("/proc/self/fd")
    top = os.open(path, os.O_RDONLY)
    walk = files.descendants(top)
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert [child for _, child in files.descendants(top)] == ["b", "a"]
    os.close(top)
    assert os.listdir("/proc/self/fd") == before
    removal.remove({"pids": path})


def test_two_removals_at_once(kind: dict[str, str]) -> None:
    manager.create(kind, Undo())
    for path in dict.fromkeys(kind.values()):
        for number in range(50):
            os.makedirs(f"{path}/{number}/x")
    program = f"from pyoci.cgroups import removal; removal.remove({kind!r})"
    both = [subprocess.Popen([sys.executable, "-c", program], cwd=os.getcwd()) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
