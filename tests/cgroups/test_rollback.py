"""Values that are put back: whatever was written, every file holds again what it held."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyoci.cgroups import manager, removal
from pyoci.cgroups.limits import limits
from pyoci.cgroups.rollback import Saved
from pyoci.cgroups.systemd import limits as systemd_limits
from pyoci.config.node import Node
from pyoci.config.resources import read_resources
from pyoci.errors import ConfigError, StepError
from pyoci.undo import Undo

pytestmark = [pytest.mark.root, pytest.mark.also_guest]

MIB = 1 << 20
megabytes = st.sampled_from((0, -1, 16 * MIB, 32 * MIB, 64 * MIB, 100 * MIB))
disks = [
    (int(line.split()[0]), int(line.split()[1]))
    for line in Path("/proc/partitions").read_text().splitlines()[2:]
    if line.split()[0] not in ("1", "7")
][:2]
rates = st.lists(
    st.builds(
        lambda disk, rate: {"major": disk[0], "minor": disk[1], "rate": rate},
        st.sampled_from(disks),
        st.integers(1, 10**9),
    )
    if disks
    else st.nothing(),
    max_size=2,
)
resources = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.fixed_dictionaries({}, optional=dict.fromkeys(("limit", "swap", "reservation"), megabytes)),
        "cpu": st.fixed_dictionaries(
            {},
            optional={
                "shares": st.integers(2, 1000),
                "quota": st.sampled_from((-1, 1000, 5000, 100000)),
                "period": st.sampled_from((1000, 10000, 100000, 1000000)),
                "burst": st.sampled_from((0, 500, 1000)),
                "cpus": st.just("0"),
            },
        ),
        "pids": st.fixed_dictionaries({"limit": st.sampled_from((-1, 0, 10, 2**40))}),
        "blockIO": st.fixed_dictionaries(
            {}, optional={"throttleReadBpsDevice": rates, "throttleWriteIOPSDevice": rates}
        ),
    },
)


def contents(paths: dict[str, str]) -> dict[str, str]:
    """What can be set, by file."""
    found = {}
    for path in set(paths.values()):
        for file in Path(path).iterdir():
            if file.is_file() and file.stat().st_mode & 0o200 and "procs" not in file.name and file.name != "tasks":
                try:
                    found[str(file)] = file.read_text()
                except OSError:
                    pass
    return {name: text for name, text in found.items() if not name.endswith(("pressure", "peak", "usage_in_bytes"))}


def carry_out(paths: dict[str, str], raw: dict[str, Any]) -> Saved | None:
    """Write as much of `raw` as the kernel takes; the values before."""
    try:
        writes = limits.plan(read_resources(Node(raw, "")), limits.is_unified(paths))
    except ConfigError:
        return None
    saved = Saved(paths, writes)
    try:
        limits.apply(paths, writes)
    except StepError:
        pass
    return saved


def law(paths: dict[str, str]) -> None:
    manager.create(paths, Undo())

    @given(resources, resources)
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(first: dict[str, Any], second: dict[str, Any]) -> None:
        carry_out(paths, first)
        before = contents(paths)
        if (saved := carry_out(paths, second)) is not None:
            saved.put_back()
        assert contents(paths) == before

    check()
    removal.remove(paths)


def test_put_back(planned: dict[str, str], sleeper: Callable[[], int]) -> None:
    """On this machine's own cgroups: v1 or v2 with its controllers."""
    law(planned)


@pytest.mark.parametrize("idle", [(0, 1), (1, 0)])
def test_the_weight_of_an_idle_cgroup(planned: dict[str, str], idle: tuple[int, int]) -> None:
    """The kernel forgets it whenever cpu.idle changes."""
    paths = {"cpu": planned["cpu"]} if "cpu" in planned else planned
    manager.create(paths, Undo())
    carry_out(paths, {"cpu": {"shares": 333}})
    carry_out(paths, {"cpu": {"idle": idle[0]}})
    before = contents(paths)
    saved = carry_out(paths, {"cpu": {"idle": idle[1]}})
    assert saved is not None and contents(paths) != before
    saved.put_back()
    assert contents(paths) == before
    removal.remove(paths)


def test_systemd_is_told_of_the_weight_again(v1: dict[str, str]) -> None:
    paths = {"cpu": v1["cpu"]}
    manager.create(paths, Undo())
    carry_out(paths, {"cpu": {"shares": 333}})
    writes = limits.plan(read_resources(Node({"cpu": {"idle": 1}}, "")), False)
    saved = Saved(paths, writes)
    limits.apply(paths, writes)
    assert [str(one) for one in systemd_limits.wanted(saved.writes(paths, writes), start=False)] == ["CPUShares=333"]
    removal.remove(paths)


def test_systemd_is_told_that_there_was_no_cpuset(v1: dict[str, str]) -> None:
    """Or a daemon-reload would bring back what the kernel has refused together with another value."""
    paths = {"cpuset": v1["cpuset"]}
    os.mkdir(paths["cpuset"])
    writes = limits.plan(read_resources(Node({"cpu": {"cpus": "0"}}, "")), False)
    saved = Saved(paths, writes)
    limits.apply(paths, writes)
    [before] = systemd_limits.wanted(saved.writes(paths, writes), start=False)
    assert (before.name, before.value) == ("AllowedCPUs", ("ay", b""))
    removal.remove(paths)


def test_what_cannot_be_put_back_is_a_warning(v1: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    paths = {"pids": v1["pids"]}
    manager.create(paths, Undo())
    writes = limits.plan(read_resources(Node({"pids": {"limit": 5}}, "")), False)
    saved = Saved(paths, writes)
    limits.apply(paths, writes)
    removal.remove(paths)
    saved.put_back()
    assert "Setting back cgroup configs failed due to error: " in capfd.readouterr().err
