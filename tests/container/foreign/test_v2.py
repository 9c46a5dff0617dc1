"""Containers of runc where cgroup v2 has every controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box
from tests.container.foreign.test_foreign import test_from_created_to_deleted as live
from tests.container.foreign.test_foreign import without_cgroups
from tests.container.runcs import Theirs, runc

__all__ = ["runc"]
pytestmark = [pytest.mark.root, pytest.mark.guest]


def test_from_created_to_deleted(runc: str, box: Box) -> None:
    live(Theirs(runc, box))


def test_limits_are_changed_in_turn(runc: str, box: Box) -> None:
    """As on v1, see test_foreign_exec.py; the device filter of runc stays in force."""
    theirs = Theirs(runc, box)

    def change(config: dict[str, Any]) -> None:
        without_cgroups(config)
        config["linux"]["resources"] |= {
            "memory": {"limit": 64 << 20},
            "cpu": {"quota": 20000, "period": 50000, "shares": 512},
            "pids": {"limit": 20},
        }

    theirs("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "c")
    cgroup = Path(json.loads((box.root / "c/state.json").read_text())["cgroup_paths"][""])

    def value(file: str) -> str:
        return (cgroup / file).read_text().strip()

    assert box("update", "--cpu-quota", "30000", "--pids-limit", "30", "c").stderr == ""
    assert (value("cpu.max"), value("pids.max"), value("memory.max")) == ("30000 50000", "30", str(64 << 20))
    theirs("update", "--cpu-period", "60000", "--pids-limit", "30", "c")
    assert value("cpu.max") == "30000 60000"
    assert box("update", "--cpu-quota", "40000", "--memory", "128M", "c").stderr == ""
    assert (value("cpu.max"), value("memory.max")) == ("40000 60000", str(128 << 20))
    done = box(
        "exec", "c", "/reporter", "try", "mknod", "/dev/shm/x", "b", "7", "0", ",", "try", "open", "/dev/null", "r"
    )
    assert '"EPERM"' in done.stdout and '"error":"0"' in done.stdout.replace(" ", ""), done
    assert box("delete", "--force", "c").stderr == ""
    assert not cgroup.exists()
