"""Limits of whole containers on cgroup v2, which has the memory controller in the guest only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box

pytestmark = [pytest.mark.root, pytest.mark.guest]

MB = 1 << 20


def bundle(box: Box, resources: dict[str, Any], *args: str) -> Path:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(resources)

    return box.bundle(*(args or ("sleep",)), change=change)


def test_in_force_around_the_process(box: Box) -> None:
    limits = {
        "memory": {"limit": 64 * MB, "swap": 64 * MB},
        "pids": {"limit": 9},
        "cpu": {"cpus": "1", "shares": 2048, "quota": 50000},
        "unified": {"memory.high": str(48 * MB)},
    }
    limited = bundle(box, limits)
    done = box("create", "--bundle", str(limited), "a")
    assert (done.returncode, done.stderr) == (0, "")
    directory = Path(f"/sys/fs/cgroup/{box.mark}/{limited.name}")
    assert str(box.state("a")["pid"]) in (directory / "cgroup.procs").read_text().split()
    for file, text in (
        ("memory.max", str(64 * MB)),
        ("memory.high", str(48 * MB)),
        ("pids.max", "9"),
        ("cpuset.cpus", "1"),
        ("cpu.weight", "174"),
        ("cpu.max", "50000 100000"),
    ):
        assert (directory / file).read_text().strip() == text
    assert int((directory / "memory.current").read_text()) < 4 * MB, "the runtime's memory is the runtime's"


def test_four_mebibytes_are_enough(box: Box) -> None:
    limited = bundle(box, {"memory": {"limit": 4 * MB, "swap": 4 * MB}}, "exit", "3")
    done = box("run", "--bundle", str(limited), "a")
    assert (done.returncode, done.stderr) == (3, "")


@pytest.mark.parametrize(
    ("resources", "pointer"),
    [
        ({"memory": {"limit": 512 << 10, "swap": 512 << 10}}, "memory/limit"),
        ({"unified": {"memory.max": "512K", "memory.swap.max": "0"}}, "unified/memory.max"),
    ],
)
def test_too_little_memory_is_explained(box: Box, resources: dict[str, Any], pointer: str) -> None:
    done = box("create", "--bundle", str(bundle(box, resources)), "a")
    assert done.returncode == 1
    assert "container init was OOM-killed (memory limit too low?)" in done.stderr
    assert f"  pointer: /linux/resources/{pointer}\n" in done.stderr
    assert "  hint: the limit is 524288 bytes, " in done.stderr


def test_what_v2_lacks_is_a_warning(box: Box) -> None:
    limited = bundle(box, {"memory": {"swappiness": 10, "disableOOMKiller": True}}, "exit", "3")
    done = box("run", "--bundle", str(limited), "a")
    assert done.returncode == 3
    for name in ("swappiness", "disableOOMKiller"):
        assert f"config.json#/linux/resources/memory/{name}: ignored: " in done.stderr


def test_swap_without_memory_is_refused_before_anything_is_made(box: Box) -> None:
    done = box("create", "--bundle", str(bundle(box, {"memory": {"swap": MB}})), "a")
    assert done.returncode == 1
    assert "unable to set swap limit without memory limit" in done.stderr
    assert "  pointer: /linux/resources/memory/swap\n" in done.stderr
