"""Cgroup version 2 with its real controllers: that a limit holds, and that what the kernel counts is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from pyoci.cgroups import manager, processes, removal
from pyoci.undo import Undo
from tests.cgroups.conftest import limit_pids

pytestmark = [pytest.mark.root, pytest.mark.guest]


def content(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def inside(planned: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command whose process has entered the cgroup itself."""
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    words = ["sh", "-c", script, planned[""], *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def cgroup(planned: dict[str, str]) -> dict[str, str]:
    """A cgroup of our own two levels down, so that controllers have to be passed on; removed again."""
    deep = {"": f"{planned['']}/below"}
    assert planned.keys() == {""}, "this lane shall have cgroup version 2 alone"
    manager.create(deep, Undo())
    return deep


def removed(cgroup: dict[str, str]) -> None:
    removal.remove(cgroup, 10)
    os.rmdir(os.path.dirname(cgroup[""]))


def test_every_controller_reaches_the_container(cgroup: dict[str, str]) -> None:
    """All that the machine offers below its root: cpu, memory, io, pids, cpuset at the least."""
    controllers = set(content(f"{cgroup['']}/cgroup.controllers").split())
    assert {"cpu", "cpuset", "io", "memory", "pids"} <= controllers
    assert content(f"{cgroup['']}/cgroup.subtree_control") == ""
    removed(cgroup)


def test_pids_limit_holds(cgroup: dict[str, str]) -> None:
    limit_pids(cgroup, 1)
    done = inside(cgroup, "sh", "-c", "/bin/true & wait $!")
    assert done.returncode != 0 and "fork" in done.stderr
    assert content(f"{cgroup['']}/pids.events") == "max 1"
    removed(cgroup)


def test_oom_kills_are_counted(cgroup: dict[str, str]) -> None:
    assert manager.oom_kills(cgroup) == 0
    for file, value in (("memory.max", "16M"), ("memory.swap.max", "0")):
        if os.path.exists(f"{cgroup['']}/{file}"):
            with open(f"{cgroup['']}/{file}", "w") as opened:
                opened.write(value)
    done = inside(cgroup, sys.executable, "-S", "-c", "b = bytearray(1 << 27)")
    assert done.returncode == -9
    assert manager.oom_kills(cgroup) == 1
    assert "oom_kill 1" in content(f"{cgroup['']}/memory.events").splitlines()
    removed(cgroup)


def test_a_frozen_one_is_killed_and_reported_empty(cgroup: dict[str, str], sleeper: Callable[[], int]) -> None:
    """cgroup.kill reaches frozen processes; the wait is for the event of cgroup.events, not for a time."""
    for _ in range(5):
        processes.join(cgroup, sleeper())
    with open(f"{cgroup['']}/cgroup.freeze", "w") as file:
        file.write("1")
    end = time.monotonic() + 10
    while "frozen 1" not in content(f"{cgroup['']}/cgroup.events"):
        assert time.monotonic() < end
    assert processes.is_frozen(cgroup)
    assert len(processes.pids(cgroup)) == 5
    processes.kill(cgroup)
    assert removal.wait_empty(cgroup, 10)
    processes.thaw(cgroup)
    removed(cgroup)


def test_a_limit_above_holds_too(cgroup: dict[str, str]) -> None:
    """What an engine sets on the parent is not undone by the container's own, larger one."""
    limit_pids({"": os.path.dirname(cgroup[""])}, 1)
    limit_pids(cgroup, 100)
    assert inside(cgroup, "sh", "-c", "/bin/true & wait $!").returncode != 0
    removed(cgroup)
