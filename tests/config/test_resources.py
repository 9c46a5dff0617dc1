"""linux.resources, read."""

from __future__ import annotations

from pyoci.config.node import Node
from pyoci.config.resources import DeviceRule, Resources, read_resources


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
