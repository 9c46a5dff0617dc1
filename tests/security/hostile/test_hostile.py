"""The fixture itself: every attack arrives, as the host sees it. Without that the tests that use it could not fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.harness import Arena
from tests.security.hostile.program import NAMES, NOTHING, Hostile, beside, capable, every, recycle, user, with_cgroups

pytestmark = pytest.mark.root


def test_it_does_nothing_unless_it_is_asked_to(hostile: Callable[..., Hostile]) -> None:
    made = hostile(NOTHING)
    assert Path(f"/proc/{made.pid}/comm").read_bytes() == b"hostile\n"
    assert made.arena.status("c") == "running"


def test_it_leaves_its_namespaces_without_a_capability(hostile: Callable[..., Hostile]) -> None:
    made, control = hostile("unshare=user,mnt", "say", change=user()), hostile(NOTHING, change=user(), id="control")
    assert made.namespace("user") != control.namespace("user")
    assert control.namespace("user") == os.readlink("/proc/self/ns/user")
    assert int(_status(made, "CapEff"), 16) > int(_status(control, "CapEff"), 16) == 0


@pytest.mark.parametrize("kind", ["mnt", "net", "ipc", "uts"])
def test_a_new_namespace_has_the_number_of_the_old_one(arena: Arena, kind: str) -> None:
    """The kernel gives the lowest number that is free, and the one that was left is free if nobody else is in it."""
    made = recycle(arena, kind, user())
    assert made.namespace("user") != os.readlink("/proc/self/ns/user")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_it_has_the_name_that_it_wants(hostile: Callable[..., Hostile], name: bytes) -> None:
    made = hostile("name=" + name.hex(), "say")
    assert Path(f"/proc/{made.pid}/comm").read_bytes() == name[:15] + b"\n"


def test_it_looks_like_a_zombie(hostile: Callable[..., Hostile]) -> None:
    made = hostile("say", "leader")
    assert _status(made, "State").startswith("Z") or made.says("cannot")
    assert len(os.listdir(f"/proc/{made.pid}/task")) == 2, "and lives"


def test_it_has_another_root(hostile: Callable[..., Hostile]) -> None:
    made = hostile("mkdir=/other", "chroot=/other", "say", change=capable("SYS_CHROOT"))
    assert os.stat(f"/proc/{made.pid}/root").st_ino == os.stat(made.bundle / "rootfs/other").st_ino


def test_it_moves_its_cgroup(either_hostile: Callable[..., Hostile]) -> None:
    """Out of the container's, to one beside it, in every hierarchy."""
    control = either_hostile(NOTHING, id="control")
    places = beside(control)
    moves = [action for _, inside in places for action in (f"mkdir={inside}", f"write={inside}/cgroup.procs:0")]
    made = either_hostile(*moves, "say", change=every(capable("DAC_OVERRIDE"), with_cgroups))
    assert Path(f"/proc/{made.pid}/cgroup").read_text().count("/outside\n") == len(places)
    assert "/outside\n" not in Path(f"/proc/{control.pid}/cgroup").read_text()


def _status(made: Hostile, key: str) -> str:
    for line in Path(f"/proc/{made.pid}/status").read_bytes().split(b"\n"):
        if line.startswith(f"{key}:\t".encode()):
            return line.partition(b"\t")[2].decode()
    raise AssertionError(key)
