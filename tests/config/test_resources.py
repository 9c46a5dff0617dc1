"""linux.resources, read."""

from __future__ import annotations

import pytest

from pyoci.config import limits
from pyoci.config.node import Node
from pyoci.config.resources import DeviceRule, Resources, read_resources
from pyoci.errors import ConfigError


def test_absent() -> None:
    assert read_resources(None) == Resources()
    assert (Resources().devices, Resources().pids_limit, Resources().raw) == ((), None, {})


def test_device_rules() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": ""},
    ]
    assert read_resources(Node({"devices": rules}, "/linux/resources")).devices == (
        DeviceRule(pointer="/linux/resources/devices/0", allow=False, type="a", major=-1, minor=-1, access="rwm"),
        DeviceRule(pointer="/linux/resources/devices/1", allow=True, type="c", major=1, minor=3, access="r"),
        DeviceRule(pointer="/linux/resources/devices/2", allow=True, type="a", major=-1, minor=-1, access=""),
    )


def test_pids_limit() -> None:
    for value, limit in (({}, None), ({"pids": {}}, None), ({"pids": {"limit": 0}}, 0), ({"pids": {"limit": -1}}, -1)):
        assert read_resources(Node(value, "/linux/resources")).pids_limit == limit


def test_the_object_is_handed_on_untouched() -> None:
    value = {"memory": {"limit": 1}, "cpu": {"shares": 2}}
    assert read_resources(Node(value, "/linux/resources")).raw is value


def test_a_limit_of_every_kind() -> None:
    value = {
        "memory": {"limit": -1, "reservation": 1, "swap": 2, "kernel": 3, "kernelTCP": 4, "swappiness": 5,
                   "disableOOMKiller": True, "useHierarchy": True, "checkBeforeUpdate": True},
        "cpu": {"shares": 1, "quota": -1, "burst": 3, "period": 4, "realtimeRuntime": 5, "realtimePeriod": 6,
                "cpus": "0-1", "mems": "0", "idle": 1},
        "blockIO": {"weight": 10, "leafWeight": 11,
                    "weightDevice": [{"major": 8, "minor": 16, "weight": 12, "leafWeight": 13}],
                    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
                    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}],
        "network": {"classID": 6, "priorities": [{"name": "lo", "priority": 7}]},
        "rdma": {"mlx5/0": {"hcaHandles": 8}},
        "unified": {"memory.high": "9"},
    }  # fmt: skip
    found = read_resources(Node(value, "/r"))
    assert found.memory == limits.Memory(
        pointer="/r/memory", limit=-1, reservation=1, swap=2, kernel=3, kernel_tcp=4, swappiness=5,
        disable_oom_killer=True, use_hierarchy=True, check_before_update=True,
    )  # fmt: skip
    assert found.cpu == limits.Cpu(
        pointer="/r/cpu", shares=1, quota=-1, burst=3, period=4, realtime_runtime=5, realtime_period=6,
        cpus="0-1", mems="0", idle=1,
    )  # fmt: skip

    def throttled(key: str, rate: int) -> tuple[limits.ThrottleDevice, ...]:
        return (limits.ThrottleDevice(pointer=f"/r/blockIO/throttle{key}Device/0", major=8, minor=0, rate=rate),)

    assert found.block_io == limits.BlockIO(
        pointer="/r/blockIO",
        weight=10,
        leaf_weight=11,
        weight_device=(
            limits.WeightDevice(pointer="/r/blockIO/weightDevice/0", major=8, minor=16, weight=12, leaf_weight=13),
        ),
        throttle_read_bps_device=throttled("ReadBps", 1),
        throttle_write_bps_device=throttled("WriteBps", 2),
        throttle_read_iops_device=throttled("ReadIOPS", 3),
        throttle_write_iops_device=throttled("WriteIOPS", 4),
    )
    assert found.hugepage_limits == (limits.HugepageLimit(pointer="/r/hugepageLimits/0", page_size="2MB", limit=5),)
    priorities = (limits.InterfacePriority(pointer="/r/network/priorities/0", name="lo", priority=7),)
    assert found.network == limits.Network(pointer="/r/network", class_id=6, priorities=priorities)
    assert found.rdma == (limits.Rdma(pointer="/r/rdma/mlx5~10", device="mlx5/0", hca_handles=8, hca_objects=None),)
    assert found.unified == (limits.Unified(pointer="/r/unified/memory.high", key="memory.high", value="9"),)
    assert found.limited()


DOCKER: dict[str, object] = {
    "memory": {"disableOOMKiller": False, "limit": 0},
    "cpu": {"shares": 0, "cpus": ""},
    "blockIO": {"weight": 0, "weightDevice": []},
}


def test_limited() -> None:
    none: list[dict[str, object]] = [
        {},
        {"devices": [{"access": "r"}]},
        {"memory": {}, "unified": {}, "rdma": None},
        DOCKER,
    ]
    some: list[dict[str, object]] = [
        {"pids": {"limit": 0}},
        {"cpu": {"idle": 0}},
        {"cpu": {"shares": 1}},
        {"memory": {"swappiness": 0}},
        {"unified": {"a.b": ""}},
    ]
    for value in none:
        assert not read_resources(Node(value, "/linux/resources")).limited()
    for value in some:
        assert read_resources(Node(value, "/linux/resources")).limited()


def test_a_wrong_type_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        read_resources(Node({"blockIO": {"weightDevice": [{"major": 1, "minor": "x"}]}}, "/linux/resources"))
    assert caught.value.pointer == "/linux/resources/blockIO/weightDevice/0/minor"
