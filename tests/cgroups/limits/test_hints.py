"""What is said of a limit that the kernel refuses: the cause, where it lies, and what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import manager, removal
from pyoci.cgroups.limits import hints
from pyoci.errors import StepError
from pyoci.undo import Undo
from tests.cgroups.conftest import limit

pytestmark = [pytest.mark.root]

MB = 1 << 20


def said(paths: dict[str, str], resources: dict[str, Any]) -> str:
    with pytest.raises(StepError) as caught:
        limit(paths, resources)
    assert caught.value.message.startswith(("unable to apply cgroup configuration: cannot set ", "cannot set "))
    return caught.value.hint


@pytest.mark.parametrize(
    ("resources", "hint"),
    [
        (
            {"memory": {"limit": 64 * MB, "swap": 32 * MB}},
            f"memory.swap is the limit of memory and swap together: {32 * MB} bytes are less than memory.limit, which "
            f"is {64 * MB} in whole pages: give at least that, or -1 for no limit",
        ),
        (
            {"memory": {"swap": 32 * MB}},
            f"memory.swap is the limit of memory and swap together: {32 * MB} bytes are less than memory alone may be, "
            f"which has no limit: set memory.limit too, to {32 * MB} or less",
        ),
        ({"cpu": {"quota": 500}}, "a quota is 1000 microseconds of each period or more, not 500; -1 is no limit"),
        (
            {"cpu": {"quota": 5000, "period": 500}},
            "a period is 1000 to 1000000 microseconds, not 500; the usual one is 100000",
        ),
        (
            {"cpu": {"quota": 5000, "burst": 6000}},
            "the burst, cpu.burst, must not be more than the quota: 6000 is more than 5000",
        ),
        (
            {"cpu": {"realtimeRuntime": 9999999999}},
            "more than cpu.realtimePeriod, which is 1000000 microseconds: the time is a part of each period",
        ),
        ({"cpu": {"cpus": "0,4000"}}, "{parent} has the processors {cpus}: name some of those, not 0,4000"),
        ({"cpu": {"mems": "900"}}, "{parent} has the memory nodes {mems}: name some of those, not 900"),
        ({"cpu": {"cpus": "1-x"}}, "'x' is no number: write numbers and ranges, as in "),
        (
            {"blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 9, "rate": 1}]}},
            "this machine has no block device 4000:9: `lsblk` shows the numbers of those it has",
        ),
    ],
)
def test_v1(v1: dict[str, str], resources: dict[str, Any], hint: str) -> None:
    if not {"memory", "cpu", "cpuset", "blkio"} <= v1.keys():
        pytest.skip("this machine lacks hierarchies of v1")
    parent = Path(v1["cpuset"]).parent
    values = {name: (parent / f"cpuset.{name}").read_text().strip() for name in ("cpus", "mems")}
    manager.create(v1, Undo())
    try:
        assert said(v1, resources).startswith(hint.format(parent=parent, **values))
    finally:
        removal.remove(v1)


def test_one_above_that_allows_less(v1: dict[str, str]) -> None:
    below = {controller: f"{path}/x" for controller, path in v1.items()}
    manager.create(below, Undo())
    try:
        limit(v1, {"cpu": {"quota": 5000, "period": 10000}})
        text = f"{v1['cpu']} allows less, 5000 microseconds of each 10000: give no more, or raise that"
        assert said(below, {"cpu": {"quota": 60000, "period": 100000}}) == text
    finally:
        removal.remove(v1)


def test_more_memory_than_memory_and_swap(v1: dict[str, str]) -> None:
    manager.create(v1, Undo())
    try:
        limit(v1, {"memory": {"limit": MB, "swap": MB}})
        text = f"more than the limit of memory and swap together, memory.swap, which is {MB} in whole pages: raise that"
        assert said(v1, {"memory": {"limit": 2 * MB}}) == f"{text} too"
    finally:
        removal.remove(v1)


def test_a_controller_that_is_not_mounted() -> None:
    lines = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    assert hints.unmounted("nosuch") == "the nosuch controller is not mounted here: this kernel has none"
    unified = Path("/sys/fs/cgroup/unified/cgroup.controllers")
    for name in unified.read_text().split() if unified.exists() else ():
        text = f"the {name} controller is not mounted here: cgroup v2 has it, at /sys/fs/cgroup/unified"
        assert hints.unmounted(name) == text
    for name, *_, enabled in lines:
        if enabled == "0":
            assert "it is disabled" in hints.unmounted(name)
    for name in os.listdir("/sys/fs/cgroup"):
        if name in ("pids", "memory"):
            assert hints.unmounted(name).endswith("is not mounted here, or its hierarchy is not ours to write")
