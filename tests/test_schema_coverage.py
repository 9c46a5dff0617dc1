"""Every property that the specification's schema knows has an effect on what pyoci reads, or stands here with a reason.

Not a search for names in the source: a config with every property is read with and without each, or with another
value, and the two Configs must differ. Every limit below linux.resources must be a row of the tables of cgroups.
"""

from __future__ import annotations

from typing import Any

import pytest

from pyoci import config
from pyoci.cgroups.limits import v1, v2
from pyoci.config.schema.table import CONFIG
from tools.generate.coverage import ALL, FULL, IGNORED, LINUX, OTHER_PLATFORMS, changed, samples

NO_LIMIT = {
    "/devices": "cgroups/devices/devices.py",
    "/memory/useHierarchy": "the kernel always does so since 5.11; runc ignores it",
}

RESOURCES = "/linux/resources/"


def result(raw: dict[str, Any], pointer: str) -> object:
    """What of the Config can depend on `pointer`: below linux.resources the raw copy does not count."""
    read = config.read(raw)
    if not pointer.startswith(RESOURCES):
        return read
    return {key: value for key, value in read.linux.resources.__dict__.items() if key != "raw"}


def test_there_is_something_to_test() -> None:
    pointers = {row[0] for row in ALL}
    assert len(pointers) > 200
    assert {"/linux/netDevices/x/name", "/hooks/poststop/0/timeout", "/process/scheduler/flags"} <= pointers
    assert set(IGNORED) <= pointers, "a reason for something that does not exist"
    assert OTHER_PLATFORMS < set(CONFIG[1])


@pytest.mark.parametrize("row", ALL, ids=lambda row: row[0])
def test_is_read(row: tuple[str, tuple[Any, ...], bool]) -> None:
    pointer, node, required = row
    full, reads = result(FULL, pointer), []
    if node[0] != "object":
        reads.append(result(changed(FULL, pointer, samples(node, pointer)[1]), pointer))
    if not required:
        reads.append(result(changed(FULL, pointer, None), pointer))
    differs = any(read != full for read in reads)
    assert differs is (pointer not in IGNORED), "without effect" if not differs else "read, though listed as ignored"


def test_every_limit_is_a_row() -> None:
    """The members of each controller, or all of a list or map."""
    limits = set()
    for controller, node in LINUX[1]["linux"][1]["resources"][1].items():
        members = node[1] if node[0] == "object" else {}
        limits |= {f"/{controller}/{key}" for key in members} or {f"/{controller}"}
    tables = (*v1.LIMITS, *v1.IGNORED, *v2.LIMITS, *v2.IGNORED)
    assert {row.property for row in tables} | set(NO_LIMIT) == limits
    assert not {row.property for row in tables} & set(NO_LIMIT)
