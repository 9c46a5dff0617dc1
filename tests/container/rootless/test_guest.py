"""A user whose part of cgroup v2 has controllers: limits, in the guest, where they are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import snapshot
from tests.container.box import Box
from tests.container.rootless.users import Config, Rootless, refused

pytestmark = pytest.mark.guest

WANTED = ("pids", "memory", "cpu")


@pytest.fixture
def user(box: Box) -> Iterator[Rootless]:
    if not all(name in controllers(Path(snapshot.CGROUPS)) for name in WANTED):
        pytest.skip("needs controllers of cgroup v2: tests/lanes/guest pytest -m guest tests/container")
    made = Rootless(box, "delegated")
    above = Path(snapshot.CGROUPS) / "cgroup.subtree_control"
    above.write_text(" ".join(f"+{name}" for name in WANTED))
    yield made
    made.close()


def controllers(cgroup: Path) -> list[str]:
    file = cgroup / "cgroup.controllers"
    return file.read_text().split() if file.exists() else []


def test_limits_of_a_user(user: Rootless) -> None:
    """The controllers are handed on from what is delegated, the limits are written, and update changes them."""

    def change(config: Config) -> None:
        config["linux"]["cgroupsPath"] = f"/{user.box.mark}/c"
        config["linux"]["resources"] = {"pids": {"limit": 20}, "memory": {"limit": 64 << 20}, "cpu": {"shares": 2048}}

    box, own = user.box, user.cgroup / "c"
    done = box("run", "--detach", "--bundle", str(user.bundle("sleep", change=change)), "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(WANTED) <= set((user.cgroup / "cgroup.subtree_control").read_text().split())
    assert os.stat(own).st_uid == user.uid
    assert [(own / name).read_text() for name in ("pids.max", "memory.max")] == ["20\n", f"{64 << 20}\n"]
    done = box("update", "--pids-limit", "30", "--memory", str(32 << 20), "c")
    assert (done.returncode, done.stderr) == (0, "")
    assert [(own / name).read_text() for name in ("pids.max", "memory.max")] == ["30\n", f"{32 << 20}\n"]
    data = json.loads(box("events", "--stats", "c").stdout)["data"]
    assert (data["pids"]["limit"], data["memory"]["usage"]["limit"]) == (30, 32 << 20)
    assert box("delete", "--force", "c").stderr == ""
    assert not own.exists()


def test_what_is_refused(user: Rootless) -> None:
    """A path outside of what is delegated, and device rules for a runtime that is told that it is not rootless."""
    bundle = user.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=f"/{user.box.mark}-other"))
    refused(user.box("create", "--bundle", str(bundle), "c"), "permission denied", "/linux/cgroupsPath")
    done = user.box("--rootless=false", "create", "--bundle", str(user.bundle("sleep")), "c")
    refused(done, "cannot set the device filter", "/linux/resources/devices")
    assert not (user.cgroup / "c").exists()
