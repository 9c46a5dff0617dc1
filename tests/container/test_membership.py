"""The processes of a container are in its cgroups, in all hierarchies of v1: a limit holds nobody who is elsewhere."""

from __future__ import annotations

import os

import pytest

from tests.container.box import Box
from tests.container.test_pause import cgroups

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="this machine has no cgroup v1"),
]


def outside(box: Box, pid: int) -> list[str]:
    """The controllers whose cgroup of the container does not have the process."""
    found = cgroups(box)
    assert {"memory", "devices", "pids", "freezer"} <= set(found)
    return [name for name, path in found.items() if str(pid) not in (path / "cgroup.procs").read_text().split()]


def test_before_the_program_begins(box: Box) -> None:
    assert box("create", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    assert outside(box, box.state("a")["pid"]) == []


def test_a_process_of_exec(box: Box) -> None:
    assert box("run", "--detach", "--bundle", str(box.bundle("sleep")), "a").stderr == ""
    file = box.directory / "pid"
    assert box("exec", "--detach", "--pid-file", str(file), "a", "/reporter", "sleep").stderr == ""
    assert outside(box, int(file.read_text())) == []
