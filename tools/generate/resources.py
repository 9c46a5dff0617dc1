"""Writes docs/resources.md: the properties of linux.resources, the files of cgroup v1 and v2, systemd's properties.

Nothing of it is written by hand but the remarks: a plan is made for each row of the tables of
limits, with a value for its property alone and whatever that one needs beside it.

    .venv/bin/python -m tools.generate.resources [--check]      --check: say whether the file is current, change nothing
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pyoci.cgroups.limits import limits, v1, v2
from pyoci.cgroups.limits.limit import Limit, MustExceed, Write
from pyoci.cgroups.systemd import limits as systemd_limits
from pyoci.config.node import Node
from pyoci.config.resources import read_resources
from tools.generate import document

PROJECT = Path(__file__).resolve().parent.parent.parent
FILE = PROJECT / "docs" / "resources.md"
TESTS = ("test_limits.py", "test_v1.py", "test_v2.py")

_DEVICE = {"major": 8, "minor": 0, "rate": 1, "weight": 10, "leafWeight": 10}
# A value for each property where 1 would not do, or what it needs beside it.
SAMPLES: dict[str, dict[str, Any]] = {
    "/memory/checkBeforeUpdate": {"memory": {"checkBeforeUpdate": True, "limit": 1}},
    "/memory/swap": {"memory": {"swap": 2, "limit": 1}},
    "/memory/disableOOMKiller": {"memory": {"disableOOMKiller": True}},
    "/cpu/idle": {"cpu": {"idle": 1}},
    "/cpu/cpus": {"cpu": {"cpus": "0"}},
    "/cpu/mems": {"cpu": {"mems": "0"}},
    "/hugepageLimits": {"hugepageLimits": [{"pageSize": "SIZE", "limit": 1}]},
    "/network/priorities": {"network": {"priorities": [{"name": "lo", "priority": 1}]}},
    "/rdma": {"rdma": {"mlx5_1": {"hcaHandles": 1}}},
    "/unified": {"unified": {"KEY": "1"}},
}
REMARKS = {
    "/memory/swap": "v2: what is left above `memory.limit`",
    "/memory/limit": "-1 lifts the limit of swap too, unless that is given",
    "/memory/kernel": "deprecated; runc ignores it",
    "/memory/kernelTCP": "deprecated; runc ignores it",
    "/memory/checkBeforeUpdate": "a limit not above what is used is refused; v1's kernel refuses it anyway",
    "/cpu/shares": "v2: weight = ceil(10^((l² + 125 l)/612 - 7/34)), l = log2(shares): 1024 is 100",
    "/cpu/quota": "0 leaves it alone, below 0 is no limit; systemd rounds up to 1 %",
    "/cpu/realtimeRuntime": "before any process is in the cgroup",
    "/pids/limit": "0 is 1, below 0 is no limit",
    "/blockIO/weight": "`io.weight` = 1 + (weight - 10) · 9999 / 990",
    "/blockIO/weightDevice": "its leafWeight: v1 only",
    "/unified": "every line by a write of its own; an error on v1",
    "/hugepageLimits": "the second where the kernel has it",
}
HEAD = """# The limits: property by property

Made by `.venv/bin/python -m tools.generate.resources` from the tables of `pyoci/cgroups/`; do not edit.

Files in the order in which they are written. "a, else b": b where the kernel has no a. **warned of**: this version of
cgroups has nothing like it, and as with runc it is left out, with a warning in the log. What has no property of systemd
is written into the unit's cgroup; so is the rest, once more. The tests, which name the file or the property, are in
`tests/cgroups/limits/`; whole containers: `tests/container/test_limits.py`; systemd: docs/systemd.md.
`linux.resources.devices` is no limit: cgroups/devices/devices.py.

| property of linux.resources | v1 | v2 | systemd, v1 | systemd, v2 | tests | remark |
|---|---|---|---|---|---|---|
"""


def sample(property: str) -> dict[str, Any]:
    """linux.resources with `property` and little else."""
    if property in SAMPLES:
        return SAMPLES[property]
    _, controller, key = property.split("/")
    value: Any = 10
    if key.endswith("Device"):
        value = [_DEVICE]
    return {controller: {key: value}}


def writes(property: str, unified: bool, table: tuple[Limit, ...]) -> list[Write]:
    """What the rows of this property write for the sample."""
    read = read_resources(Node(sample(property), ""))
    return [write for row in table if row.property == property for write in row.writes(read)]


def files(property: str, unified: bool) -> str:
    """The cell of one version."""
    module = v2 if unified else v1
    names = []
    for write in writes(property, unified, module.LIMITS):
        name = f"`{write.file}`"
        if isinstance(write, MustExceed):
            name = f"compared with {name}"
        if write.otherwise is not None:
            name += f", else `{write.otherwise.file}`"
        names.append(name)
    if writes(property, unified, module.IGNORED):
        names.append("**warned of**")
    return ", ".join(dict.fromkeys(names)) or "-"


def units(property: str, unified: bool) -> str:
    """The properties of systemd for the sample."""
    module = v2 if unified else v1
    if property == "/unified":
        return "those of the same files" if unified else "-"
    wanted = systemd_limits.wanted(tuple(writes(property, unified, module.LIMITS)), start=True)
    return ", ".join(dict.fromkeys(f"`{one.name}`" for one in wanted)) or "-"


def tested(property: str) -> str:
    """The tests that name one of the property's files, or the property as config.json has it."""
    pieces = [piece for unified in (False, True) for piece in files(property, unified).split("`")[1::2]]
    names = [piece.replace("SIZE", "2MB") for piece in pieces if piece != "KEY"]
    names.append(f'"{property.rpartition("/")[2]}"')
    found = [
        test for test in TESTS if any(name in (PROJECT / "tests/cgroups/limits" / test).read_text() for name in names)
    ]
    return ", ".join(f"`{test}`" for test in found)


def text() -> str:
    """The whole file."""
    tables = (*v1.LIMITS, *v1.IGNORED, *v2.LIMITS, *v2.IGNORED)
    order = ("/memory", "/cpu", "/pids", "/blockIO", "/hugepageLimits", "/network", "/rdma", "/unified")
    properties = sorted({row.property for row in tables}, key=lambda one: (order.index(_controller(one)), one))
    lines = []
    for one in properties:
        cells = [
            files(one, False),
            files(one, True),
            units(one, False),
            units(one, True),
            tested(one),
            REMARKS.get(one, ""),
        ]
        lines.append(f"| `{limits.dotted(one)}` | " + " | ".join(cells) + " |\n")
    return HEAD + "".join(lines)


def _controller(property: str) -> str:
    return "/" + property.split("/")[1]


def main() -> int:
    """Write docs/resources.md, or with --check say whether it is current. Returns 1 if it is not."""
    return document.keep(FILE, text(), "tools.generate.resources")


if __name__ == "__main__":
    sys.exit(main())
