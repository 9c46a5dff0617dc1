"""Two hundred containers, eight at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.container.box import Box
from tests.container.test_killed import view

pytestmark = pytest.mark.root

CONTAINERS = int(os.environ.get("PYOCI_TEST_CONTAINERS", "200"))
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
