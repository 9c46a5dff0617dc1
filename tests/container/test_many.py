"""Two hundred containers, eight at a time; one container made and deleted again and again."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.container.box import Box
from tests.container.test_killed import view

pytestmark = pytest.mark.root

CONTAINERS = int(os.environ.get("PYOCI_TEST_CONTAINERS", "200"))
CYCLES = int(os.environ.get("PYOCI_TEST_CYCLES", "10"))  # 500 were run by hand: docs/measurements.md
AT_A_TIME = 8


def test_many(either_box: Box, tell: Callable[[str], None]) -> None:
    """Created in parallel, then all started, killed, deleted: afterwards the machine is as it was."""
    box = either_box
    bundles = [str(box.bundle("sleep")) for _ in range(CONTAINERS)]
    before = box.snapshot()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for what in ("create", "start", "kill", "delete"):
            jobs = [pool.submit(command, box, what, number, bundles[number]) for number in range(CONTAINERS)]
            failed = [job.result() for job in jobs if job.result()]
            assert failed == [], f"{what}: {len(failed)} of {CONTAINERS}, the first: {failed[0]}"
            if what == "start":
                assert len(box("list", "-q").stdout.split()) == CONTAINERS
    box.remove_parents()
    left = box.differences(before)
    assert left == [], "\n".join(left)
    tell(
        f"{CONTAINERS} containers created, started, killed, deleted, {AT_A_TIME} at a time, {view(box)}, snapshot equal"
    )


def command(box: Box, what: str, number: int, bundle: str) -> str:
    """Why it failed, or ""."""
    id = f"c{number}"
    if what == "create":
        done = box("create", "--bundle", bundle, id)
    elif what == "kill":
        done = box("kill", id, "KILL")
        box.wait(id, "stopped")
    else:
        done = box(what, id)
    return "" if (done.returncode, done.stderr) == (0, "") else f"{id}: {done.returncode} {done.stderr}"


def test_cycles(either_box: Box, tell: Callable[[str], None]) -> None:
    """The same container, with limits and a device filter: nothing is left of it that would pile up."""
    box = either_box
    bundle = str(box.bundle("sleep", change=limited if view(box) == "host" else denied))
    before = box.snapshot()
    for cycle in range(CYCLES):
        cycled(box, "create", "--bundle", bundle, "c")
        if cycle % 2:
            cycled(box, "start", "c")
        if not cycle:  # that the snapshot would see what is left
            now = box.snapshot()
            assert now.cgroups > before.cgroups
            assert now.processes > before.processes
            assert len(now.programs - before.programs) >= (view(box) == "v2")
        cycled(box, "delete", "--force", "c")
    box.remove_parents()
    left = box.differences(before)
    assert left == [], "\n".join(left)
    tell(f"{CYCLES} times created, every other time started, deleted, {view(box)}, snapshot equal")


def cycled(box: Box, *argv: str) -> None:
    done = box(*argv)
    assert (done.returncode, done.stderr) == (0, ""), done


def denied(config: dict[str, Any]) -> None:
    config["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}


def limited(config: dict[str, Any]) -> None:
    """On v1 a controller of each kind."""
    denied(config)
    config["linux"]["resources"].update(
        memory={"limit": 64 << 20}, cpu={"shares": 512, "quota": 50000}, pids={"limit": 20}, blockIO={"weight": 500}
    )
