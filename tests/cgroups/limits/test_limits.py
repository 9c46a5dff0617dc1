"""linux.resources as writes: what goes where, in which order, and what is refused. Pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.limits import limits
from pyoci.cgroups.limits import v1 as limits_v1
from pyoci.cgroups.limits import v2 as limits_v2
from pyoci.cgroups.limits.limit import FAIL, PASS, WARN, Limit, Write
from pyoci.config.node import Node
from pyoci.config.resources import Resources, read_resources
from pyoci.errors import ConfigError, StepError

DEVICE = {"major": 8, "minor": 16}
EVERYTHING: dict[str, Any] = {
    "pids": {"limit": 5},
    "memory": {
        "limit": 5000,
        "reservation": 3000,
        "swap": 9000,
        "kernel": 1,
        "kernelTCP": 1,
        "swappiness": 0,
        "disableOOMKiller": True,
        "checkBeforeUpdate": True,
    },
    "cpu": {
        "shares": 2048,
        "quota": 5000,
        "burst": 0,
        "period": 10000,
        "realtimeRuntime": 1,
        "realtimePeriod": 2,
        "cpus": "0-1",
        "mems": "0",
        "idle": 0,
    },
    "blockIO": {
        "weight": 500,
        "leafWeight": 300,
        "weightDevice": [{**DEVICE, "weight": 1000, "leafWeight": 20}],
        "throttleReadBpsDevice": [{**DEVICE, "rate": 1}],
        "throttleWriteBpsDevice": [{**DEVICE, "rate": 2}],
        "throttleReadIOPSDevice": [{**DEVICE, "rate": 3}],
        "throttleWriteIOPSDevice": [{**DEVICE, "rate": 4}],
    },
    "hugepageLimits": [{"pageSize": "2MB", "limit": 7}],
    "network": {"classID": 0x100001, "priorities": [{"name": "lo", "priority": 3}, {"name": "eth0", "priority": 4}]},
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "ocrdma1": {"hcaObjects": 0}},
}
UNIFIED = {"unified": {"memory.high": "1", "io.max": "8:0 rbps=1\n8:16 wbps=2"}}

V1 = """
cpuset cpuset.cpus=0-1
cpuset cpuset.mems=0
memory memory.limit_in_bytes=5000
memory memory.memsw.limit_in_bytes=9000
memory memory.soft_limit_in_bytes=3000
memory memory.oom_control=1
memory memory.swappiness=0
cpu cpu.rt_period_us=2
cpu cpu.rt_runtime_us=1
cpu cpu.shares=2048
cpu cpu.cfs_period_us=10000
cpu cpu.cfs_burst_us=0
cpu cpu.cfs_quota_us=5000
cpu cpu.idle=0
pids pids.max=5
blkio blkio.weight=500
blkio blkio.leaf_weight=300
blkio blkio.weight_device=8:16 1000
blkio blkio.leaf_weight_device=8:16 20
blkio blkio.throttle.read_bps_device=8:16 1
blkio blkio.throttle.write_bps_device=8:16 2
blkio blkio.throttle.read_iops_device=8:16 3
blkio blkio.throttle.write_iops_device=8:16 4
hugetlb hugetlb.2MB.limit_in_bytes=7
hugetlb hugetlb.2MB.rsvd.limit_in_bytes=7
net_cls net_cls.classid=1048577
net_prio net_prio.ifpriomap=lo 3
net_prio net_prio.ifpriomap=eth0 4
rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10000
rdma rdma.max=ocrdma1 hca_object=0
"""
V2 = """
memory memory.current<9000
memory memory.current<5000
pids pids.max=5
memory memory.swap.max=4000
memory memory.max=5000
memory memory.low=3000
io io.bfq.weight=500
io io.bfq.weight=8:16 1000
io io.max=8:16 rbps=1
io io.max=8:16 wbps=2
io io.max=8:16 riops=3
io io.max=8:16 wiops=4
cpu cpu.idle=0
cpu cpu.weight=174
cpu cpu.max.burst=0
cpu cpu.max=5000 10000
cpuset cpuset.cpus=0-1
cpuset cpuset.mems=0
hugetlb hugetlb.2MB.max=7
hugetlb hugetlb.2MB.rsvd.max=7
rdma rdma.max=mlx5_1 hca_handle=3 hca_object=10000
rdma rdma.max=ocrdma1 hca_object=0
memory memory.high=1
"""


def read(value: dict[str, Any]) -> Resources:
    return read_resources(Node(value, "/linux/resources"))


def planned(value: dict[str, Any], unified: bool) -> list[str]:
    return [f"{write.owner} {write}" for write in limits.plan(read(value), unified)]


def test_everything_in_its_order() -> None:
    assert planned(EVERYTHING, unified=False) == V1.strip().splitlines()
    with_unified = {**EVERYTHING, "unified": {"memory.high": "1"}}
    assert planned(with_unified, unified=True) == V2.strip().splitlines()


def test_controllers_are_keys_of_paths() -> None:
    assert {write.controller for write in limits.plan(read({**EVERYTHING, **UNIFIED}), unified=True)} == {""}
    writes = limits.plan(read(EVERYTHING), unified=False)
    assert all(write.file.startswith(f"{write.controller}.") for write in writes)


def test_every_write_names_its_property() -> None:
    def at(pointer: str) -> Any:
        value: Any = {"linux": {"resources": {**EVERYTHING, **UNIFIED}}}
        for part in pointer.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    for unified in (False, True):
        value = {**EVERYTHING, **UNIFIED} if unified else EVERYTHING
        for write in limits.plan(read(value), unified):
            assert at(write.pointer) not in (None, {}, []), write


# Per version, what is asked for and left alone: members of linux.resources and the values that say nothing.
NOTHING: dict[str, Any] = {
    "memory": {"limit": 0, "reservation": 0, "swap": 0, "disableOOMKiller": False, "useHierarchy": True},
    "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
    "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": []},
    "network": {"classID": 0, "priorities": []},
    "hugepageLimits": [],
    "unified": {},
    "devices": [{"allow": False, "access": "rwm"}],
}


@pytest.mark.parametrize("unified", [False, True])
def test_values_that_say_nothing(unified: bool) -> None:
    assert limits.plan(read(NOTHING), unified) == ()
    assert limits.ignored(read(NOTHING), unified) == ()


def test_what_is_ignored_as_runc_does() -> None:
    at = "/linux/resources/"
    assert limits.ignored(read(EVERYTHING), unified=False) == (f"{at}memory/kernel", f"{at}memory/kernelTCP")
    assert limits.ignored(read(EVERYTHING), unified=True) == (
        f"{at}memory/kernel",
        f"{at}memory/kernelTCP",
        f"{at}memory/swappiness",
        f"{at}memory/disableOOMKiller",
        f"{at}cpu/realtimeRuntime",
        f"{at}cpu/realtimePeriod",
        f"{at}blockIO/leafWeight",
        f"{at}blockIO/weightDevice/0",
        f"{at}network/classID",
        f"{at}network/priorities/0",
        f"{at}network/priorities/1",
    )


FEW: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({"pids": {"limit": 0}}, ["pids pids.max=1"], ["pids pids.max=1"]),
    ({"pids": {"limit": -7}}, ["pids pids.max=max"], ["pids pids.max=max"]),
    (
        {"memory": {"limit": -1}},
        ["memory memory.limit_in_bytes=-1", "memory memory.memsw.limit_in_bytes=-1"],
        ["memory memory.swap.max=max", "memory memory.max=max"],
    ),
    (
        {"memory": {"limit": 7, "swap": 7}},
        ["memory memory.limit_in_bytes=7", "memory memory.memsw.limit_in_bytes=7"],
        ["memory memory.swap.max=0", "memory memory.max=7"],
    ),
    (
        {"memory": {"limit": 7, "swap": -1}},
        ["memory memory.limit_in_bytes=7", "memory memory.memsw.limit_in_bytes=-1"],
        ["memory memory.swap.max=max", "memory memory.max=7"],
    ),
    ({"cpu": {"quota": -1}}, ["cpu cpu.cfs_quota_us=-1"], ["cpu cpu.max=max 100000"]),
    ({"cpu": {"quota": 5}}, ["cpu cpu.cfs_quota_us=5"], ["cpu cpu.max=5 100000"]),
    ({"cpu": {"period": 5}}, ["cpu cpu.cfs_period_us=5"], ["cpu cpu.max=max 5"]),
    ({"cpu": {"idle": 1}}, ["cpu cpu.idle=1"], ["cpu cpu.idle=1"]),
    ({"rdma": {"a": {}}}, [], []),
]


@pytest.mark.parametrize(("value", "v1", "v2"), FEW)
def test_alone(value: dict[str, Any], v1: list[str], v2: list[str]) -> None:
    assert planned(value, unified=False) == v1
    assert planned(value, unified=True) == v2


def test_swap_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"^unable to set swap limit without memory limit$") as caught:
        planned({"memory": {"swap": 5}}, unified=True)
    assert caught.value.pointer == "/linux/resources/memory/swap"
    assert planned({"memory": {"swap": 5}}, unified=False) == ["memory memory.memsw.limit_in_bytes=5"]


def test_unified_needs_v2() -> None:
    with pytest.raises(ConfigError, match="unified") as caught:
        planned(UNIFIED, unified=False)
    assert caught.value.pointer == "/linux/resources/unified"


@pytest.mark.parametrize("unified", [False, True])
def test_no_file_outside_of_the_cgroup(unified: bool) -> None:
    for value in ({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}, {"unified": {"../memory.max": "1"}}):
        if unified or "unified" not in value:
            with pytest.raises(ConfigError, match="no slashes"):
                planned(value, unified)


def test_a_weight_for_bfq_or_iocost() -> None:
    value = {"blockIO": {"weight": 10, "weightDevice": [{**DEVICE, "weight": 1000}]}}
    weight, device = limits.plan(read(value), unified=True)
    assert (str(weight.otherwise), str(device.otherwise)) == ("io.weight=1", "io.weight=8:16 10000")
    weight, device = limits.plan(read(value), unified=False)
    assert (str(weight.otherwise), str(device.otherwise)) == (
        "blkio.bfq.weight=10",
        "blkio.bfq.weight_device=8:16 1000",
    )


def missing(value: dict[str, Any], unified: bool) -> list[str]:
    return [write.missing for write in limits.plan(read(value), unified)]


def test_what_need_not_be_there() -> None:
    """No controller is needed for the value that holds without it; every other limit needs its file."""
    for unified in (False, True):
        assert missing({"pids": {"limit": -1}}, unified) == [PASS]
        assert missing({"memory": {"limit": -1}}, unified) == [PASS, PASS]
        assert missing({"cpu": {"shares": 1024, "quota": -1, "period": 100000, "idle": 0}}, unified) in (
            [PASS] * 3,
            [PASS] * 4,
        )
        assert missing({"memory": {"limit": 5, "swap": 6}}, unified) == [FAIL, FAIL]
        assert missing(EVERYTHING | {"memory": {"limit": 1}}, unified).count(PASS) == 3  # idle, burst, rsvd
    assert missing({"memory": {"limit": 5, "swap": 5}}, True) == [PASS, FAIL]
    assert missing({"cpu": {"burst": 5}}, False) == [WARN]


ROWS = (*limits_v1.LIMITS, *limits_v2.LIMITS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.property} {row.file}")
def test_what_a_row_waits_for_comes_later(row: Limit) -> None:
    table = limits_v2.LIMITS if row in limits_v2.LIMITS else limits_v1.LIMITS
    after = row.flags.get("retry_after")
    assert after is None or after in [other.file for other in table[table.index(row) :]]


NUMBERS = st.none() | st.integers(-1, 2**40)
MEMORY = st.fixed_dictionaries(dict.fromkeys(("limit", "reservation", "swap"), NUMBERS))
CPU = st.fixed_dictionaries({key: st.none() | st.integers(0, 2**20) for key in ("shares", "period", "burst")})


@given(MEMORY, CPU, st.booleans())
def test_planned_in_the_order_of_the_table(memory: dict[str, Any], cpu: dict[str, Any], unified: bool) -> None:
    table = [row.file for row in (limits_v2 if unified else limits_v1).LIMITS]
    try:
        writes = limits.plan(read({"memory": memory, "cpu": cpu}), unified)
    except ConfigError as error:
        assert error.pointer == "/linux/resources/memory/swap"
        return
    places = [table.index(write.file) for write in writes]
    assert places == sorted(places)
    assert len({write.file for write in writes}) == len(writes), "each file once"
    assert all(write.text for write in writes), "an empty write to memory.swap.max would mean 0"


@pytest.mark.parametrize(
    ("value", "needed"),
    [
        ({"memory": {"limit": 1}}, True),
        ({"cpu": {"shares": 2}}, True),
        ({"blockIO": {"weight": 10}}, True),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 7}]}, True),
        ({"cpu": {"cpus": "0"}}, False),
        ({"pids": {"limit": 1}}, False),
        ({"unified": {"cpu.weight": "1"}}, False),
    ],
)
def test_domain(value: dict[str, Any], needed: bool) -> None:
    assert limits.needs_domain(limits.plan(read(value), unified=True)) is needed


@pytest.mark.parametrize(
    ("unified", "words"),
    [
        (True, "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"),
        (False, "cannot set memory limit: container could not join or create cgroup"),
    ],
)
def test_without_any_cgroup(unified: bool, words: str) -> None:
    """What is left to a rootless runtime that may make none: containers without limits."""
    limits.apply({}, limits.plan(read({"pids": {"limit": -1}, "memory": {"limit": -1}}), unified))
    with pytest.raises(StepError) as caught:
        limits.apply({}, limits.plan(read({"memory": {"limit": 5}}), unified))
    assert (caught.value.message, caught.value.pointer) == (words, "/linux/resources/memory/limit")


def test_text() -> None:
    write = Write(controller="memory", file="memory.limit_in_bytes", text="5", pointer="/linux/resources/memory/limit")
    assert (str(write), write.owner) == ("memory.limit_in_bytes=5", "memory")
    assert limits.dotted(write.pointer) == "linux.resources.memory.limit"
