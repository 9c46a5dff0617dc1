"""What an update makes of linux.resources: what stays, what is forgotten, what goes together."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.update import merged, unchangeable
from tests import cost

Raw = dict[str, Any]

OLD: Raw = {
    "devices": [{"allow": False, "access": "rwm"}],
    "memory": {"limit": 100, "reservation": 50, "swap": 200, "swappiness": 10, "checkBeforeUpdate": True},
    "cpu": {
        "shares": 512,
        "quota": 5000,
        "period": 10000,
        "burst": 100,
        "cpus": "0",
        "mems": "0",
        "realtimeRuntime": 1,
        "realtimePeriod": 2,
        "idle": 0,
    },
    "pids": {"limit": 7},
    "blockIO": {"weight": 300, "leafWeight": 10},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
    "unified": {"memory.high": "1"},
}


def test_nothing_is_given() -> None:
    """Half of it is forgotten, which only means that it is not written any more."""
    result = merged(OLD, {})
    assert result == {
        "devices": OLD["devices"],
        "memory": {"limit": 100, "reservation": 50, "swap": 200, "swappiness": 10},
        "cpu": {"shares": 512, "realtimeRuntime": 1, "realtimePeriod": 2},
        "blockIO": {"weight": 300, "leafWeight": 10},
        "hugepageLimits": OLD["hugepageLimits"],
    }


@pytest.mark.parametrize(
    ("given", "quota", "period"),
    [
        ({"quota": 1000, "period": 2000}, 1000, 2000),
        ({"quota": 1000}, 1000, 10000),
        ({"quota": -1}, -1, 10000),
        ({"period": 2000}, 5000, 2000),
        ({"quota": 0, "period": 2000}, 5000, 2000),
        ({}, None, None),
        ({"quota": 0, "period": 0}, None, None),
        ({"quota": 0}, None, None),
    ],
)
def test_quota_and_period_go_together(given: Raw, quota: int | None, period: int | None) -> None:
    result = merged(OLD, {"cpu": given})["cpu"]
    assert (result.get("quota"), result.get("period")) == (quota, period)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"limit": -1}, {"limit": -1, "swap": 0}),
        ({"limit": -1, "swap": 300}, {"limit": -1, "swap": 300}),
        ({"limit": 150}, {"limit": 150, "swap": 200}),
        ({"swap": -1}, {"limit": 100, "swap": -1}),
    ],
)
def test_unlimited_memory_is_unlimited_swap(given: Raw, expected: Raw) -> None:
    result = merged(OLD, {"memory": given})["memory"]
    assert {key: result[key] for key in expected} == expected


def test_an_idle_cgroup_has_no_weight() -> None:
    assert (
        merged(OLD, {"cpu": {"idle": 1}})["cpu"] | {"idle": 1, "shares": 0} == merged(OLD, {"cpu": {"idle": 1}})["cpu"]
    )
    assert merged(OLD, {"cpu": {"idle": 1, "shares": 3}})["cpu"]["shares"] == 3


def test_the_check_is_about_this_update() -> None:
    assert "checkBeforeUpdate" not in merged(OLD, {"memory": {"limit": 5}})["memory"]
    assert merged({}, {"memory": {"checkBeforeUpdate": True}})["memory"] == {"checkBeforeUpdate": True}


def test_devices_one_by_one() -> None:
    old: Raw = {
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 1, "rate": 2}],
            "weightDevice": [{"major": 8, "minor": 0, "weight": 20, "leafWeight": 30}],
        }
    }
    new: Raw = {
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 1, "rate": 5}, {"major": 9, "minor": 0, "rate": 6}],
            "weightDevice": [{"major": 8, "minor": 0, "weight": 40}],
        }
    }
    result = merged(old, new)["blockIO"]
    assert [one["rate"] for one in result["throttleReadBpsDevice"]] == [1, 5, 6]
    assert result["weightDevice"] == [{"major": 8, "minor": 0, "weight": 40, "leafWeight": 30}]


numbers = st.integers(-1, 5)
resources = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.dictionaries(st.sampled_from(("limit", "reservation", "swap", "swappiness")), numbers),
        "cpu": st.dictionaries(st.sampled_from(("shares", "quota", "period", "burst", "idle")), numbers),
        "pids": st.dictionaries(st.just("limit"), numbers),
        "blockIO": st.dictionaries(st.sampled_from(("weight", "leafWeight")), numbers),
        "unified": st.dictionaries(st.sampled_from(("a.b", "c.d")), st.text(max_size=2)),
        "hugepageLimits": st.just([{"pageSize": "2MB", "limit": 1}]),
    },
)


@given(resources, resources)
def test_laws(old: Raw, new: Raw) -> None:
    before = copy.deepcopy((old, new))
    result = merged(old, new)
    assert (old, new) == before, "neither is changed"
    assert merged(result, new) == result, "the same update once more changes nothing"
    assert result.get("hugepageLimits") == old.get("hugepageLimits")
    for key, value in new.get("memory", {}).items():
        if key != "swappiness":
            assert result["memory"][key] == value


def test_many_devices_cost_as_much_each_as_few() -> None:
    def update(number: int) -> Callable[[], Raw]:
        devices = [{"major": 8, "minor": minor, "weight": 10} for minor in range(number)]
        return lambda: merged({"blockIO": {"weightDevice": devices}}, {"blockIO": {"weightDevice": devices}})

    assert cost.growth(update, 100) < 6


def test_what_update_does_nothing_about() -> None:
    assert unchangeable(OLD, OLD) == []
    assert unchangeable(OLD, {"memory": {"swappiness": 11, "disableOOMKiller": False}, "network": {"classID": 1}}) == [
        "/network",
        "/memory/swappiness",
    ]
