"""Every property that the specification's schema knows has an effect on what pyoci reads, or stands here with a reason.

Not a search for names in the source: a config with every property is read with and without each, or with another
value, and the two Configs must differ. Every limit below linux.resources must be a row of the tables of cgroups.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pyoci import config
from pyoci.cgroups import limits_v1, limits_v2
from pyoci.config.schema_table import CONFIG

OTHER_PLATFORMS = {"solaris", "windows", "vm", "zos", "freebsd"}  # config.md, "Platform-specific configuration"
IGNORED = {
    "/process/commandLine": "config.md: Windows only",
    "/process/user/username": "config.md: Windows only",
}
NO_LIMIT = {
    "/devices": "cgroups/devices.py",
    "/memory/useHierarchy": "the kernel always does so since 5.11; runc ignores it",
}

# A value that config.read takes, where the first of the schema's own would not do; and another one beside it.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "/process/capabilities/*": ("CAP_KILL", "CAP_CHOWN"),
    "/process/rlimits/0/type": ("RLIMIT_NOFILE", "RLIMIT_CORE"),
    "/process/env/0": ("A=b", "A=c"),
    "/process/execCPUAffinity/initial": ("0-1", "2"),
    "/process/execCPUAffinity/final": ("0-1", "2"),
    "/linux/devices/0/type": ("c", "b"),
    "/linux/sysctl/x": ("1", "2"),
    "/linux/intelRdt/memBwSchema": ("MB:0=10", "MB:0=20"),
    "/linux/memoryPolicy/nodes": ("0", "1"),
    "/linux/resources/hugepageLimits/0/pageSize": ("2MB", "1GB"),
    "/linux/resources/devices/0/access": ("rwm", "r"),
    "/linux/resources/devices/0/type": ("c", "b"),
}


def samples(node: tuple[Any, ...], pointer: str) -> tuple[Any, Any]:
    """Two different values that the schema allows at `pointer`; arrays with one item, free objects with the key x."""
    parent = pointer.rpartition("/")[0]
    if pointer in SAMPLES:
        return SAMPLES[pointer]
    if parent.startswith("/process/capabilities/"):
        return SAMPLES["/process/capabilities/*"]
    kind = node[0]
    if kind == "object":
        members = {**node[1], **({"x": node[3]} if node[3] else {})}
        return {key: samples(child, f"{pointer}/{key}")[0] for key, child in members.items()}, {}
    if kind == "array":
        return [samples(node[1], f"{pointer}/0")[0]], []
    if kind == "string":
        return (node[1][0], node[1][1]) if node[1] else ("/one", "/two")
    if kind == "integer":
        return 5, 6
    return True, False


def properties(node: tuple[Any, ...], pointer: str) -> list[tuple[str, tuple[Any, ...], bool]]:
    """Pointer, node and necessity of every member of every object in the schema, as in the sample config."""
    if node[0] == "array":
        return properties(node[1], f"{pointer}/0")
    if node[0] != "object":
        return []
    found = []
    for key, child in {**node[1], **({"x": node[3]} if node[3] else {})}.items():
        found.append((f"{pointer}/{key}", child, key in node[2]))
        found += properties(child, f"{pointer}/{key}")
    return found


LINUX = ("object", {key: node for key, node in CONFIG[1].items() if key not in OTHER_PLATFORMS}, CONFIG[2], None)
FULL: dict[str, Any] = samples(LINUX, "")[0]
ALL = properties(LINUX, "")
RESOURCES = "/linux/resources/"


def changed(raw: dict[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    """A copy of `raw` with another value at `pointer`, without any if it is None."""
    raw = copy.deepcopy(raw)
    *path, last = [int(part) if part.isdigit() else part for part in pointer.split("/")[1:]]
    holder: Any = raw
    for part in path:
        holder = holder[part]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return raw


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
    tables = (*limits_v1.LIMITS, *limits_v1.IGNORED, *limits_v2.LIMITS, *limits_v2.IGNORED)
    assert {row.property for row in tables} | set(NO_LIMIT) == limits
    assert not {row.property for row in tables} & set(NO_LIMIT)
