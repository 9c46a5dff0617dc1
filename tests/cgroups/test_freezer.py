"""Freezing until all is frozen, and never leaving a cgroup frozen when that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyoci.cgroups import freezer, hierarchies, manager, processes, removal
from pyoci.errors import Error
from pyoci.kernel.signals import Interrupted, Interrupts
from pyoci.undo import Undo
from tests.cgroups import stuck
from tests.cgroups.conftest import run_apart

pytestmark = pytest.mark.root

FORKS = "import os\nos.write(1, b'x')\nwhile True:\n pid = os.fork()\n if not pid: os._exit(0)\n os.waitpid(pid, 0)\n"
Stuck = Callable[[], int]


@pytest.fixture(params=["v1", "v2"])
def cgroup(request: pytest.FixtureRequest, planned: dict[str, str]) -> dict[str, str]:
    """The paths of a container that has a freezer of this version and nothing else."""
    key = "freezer" if request.param == "v1" else ""
    if key not in planned:
        pytest.skip(f"this machine has no freezer of cgroup {request.param}")
    paths = {key: planned[key]}
    manager.create(paths, Undo())
    return paths


@pytest.fixture
def unfreezable(tmp_path: Path) -> Iterator[Stuck]:
    """Starts a process that waits in the kernel for a FUSE file system."""
    started = []

    def start() -> int:
        process = subprocess.Popen(
            [sys.executable, stuck.__file__, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout
        return int(process.stdout.readline())

    yield start
    for process in started:
        process.communicate(timeout=30)
        assert process.returncode == 0


def state(paths: dict[str, str]) -> str:
    """What the kernel says of the whole cgroup."""
    if "freezer" in paths:
        return Path(paths["freezer"], "freezer.state").read_text().strip()
    return "FROZEN" if "frozen 1" in Path(paths[""], "cgroup.events").read_text() else "THAWED"


def end(paths: dict[str, str]) -> None:
    processes.kill(paths)
    assert removal.wait_empty(paths, 5)
    removal.remove(paths)


@pytest.mark.also_guest
def test_frozen_when_it_returns(cgroup: dict[str, str], sleeper: Callable[[], int]) -> None:
    assert not processes.is_frozen(cgroup)
    processes.join(cgroup, sleeper())
    freezer.freeze(cgroup)
    assert (state(cgroup), processes.is_frozen(cgroup)) == ("FROZEN", True)
    processes.thaw(cgroup)
    assert not processes.is_frozen(cgroup)
    end(cgroup)


def test_an_empty_one(cgroup: dict[str, str]) -> None:
    freezer.freeze(cgroup)
    assert state(cgroup) == "FROZEN"
    processes.thaw(cgroup)
    removal.remove(cgroup)


@pytest.mark.also_guest
def test_those_below(cgroup: dict[str, str], sleeper: Callable[[], int]) -> None:
    """A cgroup that the container made is frozen with it, and paused is the container alone."""
    below = {key: f"{path}/below" for key, path in cgroup.items()}
    manager.create(below, Undo())
    processes.join(below, sleeper())
    freezer.freeze(cgroup)
    assert state(cgroup) == state(below) == "FROZEN"
    assert not processes.is_frozen(below)
    processes.thaw(cgroup)
    end(cgroup)


@pytest.mark.also_guest
@pytest.mark.parametrize("round", range(5))
def test_one_that_forks_all_the_time(cgroup: dict[str, str], round: int) -> None:
    """v1 stays in FREEZING if a fork is under way at the wrong moment."""
    forking = [subprocess.Popen([sys.executable, "-c", FORKS], stdout=subprocess.PIPE) for _ in range(2)]
    for process in forking:
        assert process.stdout
        process.stdout.read(1)
        processes.join(cgroup, process.pid)
    freezer.freeze(cgroup)
    assert state(cgroup) == "FROZEN"
    processes.thaw(cgroup)
    processes.kill(cgroup)
    for process in forking:
        process.communicate(timeout=10)
    end(cgroup)


def test_thawed_when_one_cannot_be_frozen(
    cgroup: dict[str, str], unfreezable: Stuck, sleeper: Callable[[], int]
) -> None:
    pid = unfreezable()
    processes.join(cgroup, sleeper())
    processes.join(cgroup, pid)
    with pytest.raises(Error, match=r"^unable to freeze$") as caught:
        freezer.freeze(cgroup, seconds=0.3)
    assert caught.value.hint == f"process {pid} does not leave a system call (state D, in request_wait_answer)"
    assert (state(cgroup), processes.is_frozen(cgroup)) == ("THAWED", False)
    leave(cgroup, pid)
    end(cgroup)


def leave(paths: dict[str, str], pid: int) -> None:
    """Back to where it came from, so that the cgroup can be removed."""
    here = hierarchies.detect()
    for controller in paths:
        Path(f"{here.mounts[controller]}{here.own[controller]}/cgroup.procs").write_text(str(pid))


def test_thawed_when_a_signal_comes(cgroup: dict[str, str], unfreezable: Stuck) -> None:
    pid = unfreezable()
    processes.join(cgroup, pid)

    def body() -> None:
        interrupts = Interrupts((signal.SIGTERM,))
        interrupts.install()
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        timer.start()
        begin = time.monotonic()
        with pytest.raises(Interrupted) as caught:
            freezer.freeze(cgroup, interrupts)
        assert caught.value.number == signal.SIGTERM
        assert time.monotonic() - begin < 5
        timer.join()

    run_apart(body)
    assert (state(cgroup), processes.is_frozen(cgroup)) == ("THAWED", False)
    leave(cgroup, pid)
    end(cgroup)


def test_another_command_thaws_it_meanwhile(cgroup: dict[str, str], unfreezable: Stuck) -> None:
    """v2: the request is taken back; v1: it is asked for again, until the deadline."""
    pid = unfreezable()
    processes.join(cgroup, pid)
    timer = threading.Timer(0.1, processes.thaw, [cgroup])
    timer.start()
    with pytest.raises(Error, match=r"^unable to freeze$"):
        freezer.freeze(cgroup, seconds=0.5)
    timer.join()
    assert not processes.is_frozen(cgroup)
    leave(cgroup, pid)
    end(cgroup)


def test_one_that_is_removed_meanwhile(cgroup: dict[str, str]) -> None:
    removal.remove(cgroup)
    with pytest.raises(FileNotFoundError):
        freezer.freeze(cgroup)


def test_without_a_cgroup() -> None:
    with pytest.raises(Error, match=r"^cannot toggle freezer: cgroups not configured for container$"):
        freezer.freeze({})


def test_without_a_freezer(v1: dict[str, str]) -> None:
    paths = {"pids": v1["pids"]}
    manager.create(paths, Undo())
    with pytest.raises(Error, match=r"^freezer not supported: .*/cgroup.freeze: no such file or directory$"):
        freezer.freeze(paths)
    removal.remove(paths)
