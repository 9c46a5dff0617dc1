"""Limits as systemd's properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.limits import limits
from pyoci.cgroups.systemd import limits as systemd_limits
from pyoci.cgroups.systemd.properties import known
from pyoci.config.node import Node
from pyoci.config.resources import read_resources
from pyoci.errors import ConfigError

INFINITY = 2**64 - 1
NEW = 257


def plan(resources: dict[str, Any], unified: bool = True) -> tuple[limits.Write, ...]:
    return limits.plan(read_resources(Node(resources, "/linux/resources")), unified)


def properties(resources: dict[str, Any], unified: bool = True, version: int = NEW, start: bool = True) -> Any:
    found = known(systemd_limits.wanted(plan(resources, unified), start), version)
    return [(name, value) for name, (_, value) in found]


def texts(resources: dict[str, Any], unified: bool = True) -> dict[str, str]:
    return {write.file: write.text for write in systemd_limits.rounded(plan(resources, unified))}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, []),
        ({"memory": {"limit": 1000000}}, [("MemoryMax", 1000000)]),
        ({"memory": {"limit": -1}}, [("MemorySwapMax", INFINITY), ("MemoryMax", INFINITY)]),
        ({"memory": {"reservation": 5000}}, [("MemoryLow", 5000)]),
        ({"memory": {"limit": 3000, "swap": 5000}}, [("MemorySwapMax", 2000), ("MemoryMax", 3000)]),
        ({"memory": {"limit": 3000, "swap": 3000}}, [("MemorySwapMax", 0), ("MemoryMax", 3000)]),
        ({"pids": {"limit": 0}}, [("TasksMax", 1)]),
        ({"pids": {"limit": 77}}, [("TasksMax", 77)]),
        ({"pids": {"limit": -1}}, [("TasksMax", INFINITY)]),
        ({"cpu": {"shares": 1024}}, [("CPUWeight", 100)]),
        ({"cpu": {"idle": 1}}, [("CPUWeight", 0)]),
        ({"cpu": {"idle": 0}}, []),
        ({"cpu": {"quota": 50000, "period": 100000}}, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", 500000)]),
        ({"cpu": {"quota": -1}}, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", INFINITY)]),
        ({"cpu": {"period": 5000}}, [("CPUQuotaPeriodUSec", 5000), ("CPUQuotaPerSecUSec", INFINITY)]),
        ({"cpu": {"cpus": "0-1,9", "mems": "0"}}, [("AllowedCPUs", b"\x03\x02"), ("AllowedMemoryNodes", b"\x01")]),
        ({"blockIO": {"weight": 1000}}, [("IOWeight", 10000)]),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]}}, []),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "rdma": {"x": {"hcaHandles": 1}}}, []),
        ({"unified": {"memory.high": "5", "memory.min": "max"}}, [("MemoryHigh", 5), ("MemoryMin", INFINITY)]),
        ({"unified": {"cpu.max": "max 5000"}}, [("CPUQuotaPeriodUSec", 5000), ("CPUQuotaPerSecUSec", INFINITY)]),
        ({"unified": {"cpu.max": "5000"}}, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", 50000)]),
        ({"unified": {"pids.max": "0"}}, [("TasksMax", 1)]),
        ({"unified": {"cpu.idle": "1 ", "cpuset.cpus": "1"}}, [("CPUWeight", 0), ("AllowedCPUs", b"\x02")]),
        ({"unified": {"memory.oom.group": "1"}}, [("OOMPolicy", "kill")]),
        ({"unified": {"memory.oom.group": "0"}}, [("OOMPolicy", "continue")]),
        ({"unified": {"memory.oom.group": "2"}}, []),
        ({"unified": {"hugetlb.2MB.max": "0"}}, []),
    ],
)
def test_v2(resources: dict[str, Any], expected: Any) -> None:
    assert properties(resources) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"memory": {"limit": 5000, "reservation": 1}}, [("MemoryLimit", 5000)]),
        ({"cpu": {"idle": 1}}, []),
        ({"memory": {"limit": -1}}, [("MemoryLimit", INFINITY)]),
        ({"cpu": {"shares": 512}}, [("CPUShares", 512)]),
        ({"cpu": {"quota": 25000}}, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", 250000)]),
        ({"cpu": {"period": 5000}}, [("CPUQuotaPeriodUSec", 5000), ("CPUQuotaPerSecUSec", INFINITY)]),
        ({"cpu": {"quota": -1}}, [("CPUQuotaPeriodUSec", 100000), ("CPUQuotaPerSecUSec", INFINITY)]),
        ({"blockIO": {"weight": 500}}, [("BlockIOWeight", 500)]),
        ({"pids": {"limit": 5}, "cpu": {"cpus": "3"}}, [("AllowedCPUs", b"\x08"), ("TasksMax", 5)]),
    ],
)
def test_v1(resources: dict[str, Any], expected: Any) -> None:
    assert properties(resources, unified=False) == expected


def test_what_an_old_systemd_does_not_know() -> None:
    resources = {"cpu": {"quota": 5000, "period": 10000, "cpus": "0", "shares": 1024, "idle": 1}}
    resources |= {"unified": {"memory.oom.group": "1"}}
    assert [name for name, _ in properties(resources, version=241)] == ["CPUQuotaPerSecUSec"]
    assert ("CPUWeight", 0) not in properties(resources, version=251)
    assert "AllowedCPUs" in dict(properties(resources, version=244))
    assert "OOMPolicy" not in dict(properties(resources, version=252))


@pytest.mark.parametrize(
    ("resources", "names"),
    [
        ({"cpu": {"shares": 1024, "idle": 1}}, "CPUWeight and CpuIdle"),
        ({"unified": {"cpu.weight": "8", "cpu.idle": "1"}}, "cpu.weight and cpu.idle"),
        ({"cpu": {"idle": 1}, "unified": {"cpu.weight": "8"}}, "cpu.weight and cpu.idle"),
    ],
)
def test_idle_wins_over_a_weight(resources: dict[str, Any], names: str) -> None:
    """Neither systemd nor the kernel has both; runc's warning."""
    ignored = names.partition(" ")[0]
    assert systemd_limits.conflict(plan(resources, True)) == (
        f"unable to apply both {names} to systemd, ignoring {ignored}"
    )
    assert properties(resources) == [("CPUWeight", 0)]
    assert texts(resources) == {"cpu.idle": "1"}


@pytest.mark.parametrize("cpu", [{"shares": 1024}, {"idle": 1}, {"shares": 1024, "idle": 0}])
def test_a_weight_that_is_kept(cpu: dict[str, Any]) -> None:
    assert systemd_limits.conflict(plan({"cpu": cpu}, True)) == ""
    assert ("cpu.weight" in texts({"cpu": cpu})) == ("shares" in cpu)
    assert systemd_limits.conflict(plan({"cpu": {"shares": 1024, "idle": 1}}, False)) == ""  # v1 has both


def test_oom_policy_is_for_the_start_alone() -> None:
    assert properties({"unified": {"memory.oom.group": "1"}}, start=False) == []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("memory.oom.group", "x", 'unified resource "memory.oom.group" value conversion error'),
        ("memory.high", "1G", 'unified resource "memory.high" value conversion error'),
        ("cpu.max", "1 2 3", 'unified resource "cpu.max" value invalid'),
        ("cpu.max", "x", 'unified resource "cpu.max" value conversion error'),
        ("cpuset.cpus", "3-1", 'unified resource "cpuset.cpus" conversion error: invalid range: 3-1'),
        ("cpuset.mems", "", 'unified resource "cpuset.mems" conversion error: empty value'),
    ],
)
def test_values_that_are_none(key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        properties({"unified": {key: value}})
    assert caught.value.message.startswith(message)
    assert caught.value.pointer == f"/linux/resources/unified/{key}"


PERIODS = st.integers(1000, 1_000_000)


@given(st.integers(1000, 10_000_000), PERIODS)
def test_the_quota_is_rounded_up_to_a_percent_everywhere_alike(quota: int, period: int) -> None:
    resources = {"cpu": {"quota": quota, "period": period}}
    share = dict(properties(resources))["CPUQuotaPerSecUSec"]
    written, length = map(int, texts(resources)["cpu.max"].split())
    assert share % 10_000 == 0
    assert 0 <= share - quota * 1_000_000 // period < 10_000
    assert length == period
    assert written == (quota if share == quota * 1_000_000 // period else share * period // 1_000_000)
    assert int(texts(resources, unified=False)["cpu.cfs_quota_us"]) == written
    assert dict(properties(resources, unified=False))["CPUQuotaPerSecUSec"] == share


def test_only_the_quota_is_changed() -> None:
    resources: dict[str, Any] = {"memory": {"limit": 5}, "cpu": {"quota": 12345, "period": 100000, "shares": 2}}
    before = {write.file: write.text for write in plan(resources)}
    assert texts(resources) == before | {"cpu.max": "13000 100000"}
    assert texts({"unified": {"cpu.max": "12345 100000"}}) == {"cpu.max": "12345 100000"}, "as it was asked for"


@given(st.sets(st.integers(0, 2000), min_size=1))
def test_sets_are_masks(numbers: set[int]) -> None:
    [(_, mask)] = properties({"cpu": {"cpus": ",".join(map(str, numbers))}})
    assert int.from_bytes(mask, "little") == sum(1 << number for number in numbers)
    assert mask[-1], "no byte more than it needs"
