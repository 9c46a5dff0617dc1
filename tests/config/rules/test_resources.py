"""The rules of the limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.rules.cases import Said, found

DEVICE = {"major": 8, "minor": 0}
BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"memory": {"limit": -2}}, "memory/limit", "must be -1 (no limit) or more, not -2"),
    ({"memory": {"reservation": -2}}, "memory/reservation", "must be -1 (no limit) or more, not -2"),
    ({"memory": {"swap": -2}}, "memory/swap", "must be -1 (no limit) or more, not -2"),
    ({"cpu": {"idle": 2}}, "cpu/idle", "must be 0 or 1, not 2"),
    ({"cpu": {"idle": -1}}, "cpu/idle", "must be 0 or 1, not -1"),
    ({"cpu": {"cpus": "0\n1"}}, "cpu/cpus", "must not contain control characters"),
    ({"cpu": {"mems": "\t"}}, "cpu/mems", "must not contain control characters"),
    ({"blockIO": {"weight": 9}}, "blockIO/weight", "must be between 10 and 1000, not 9"),
    ({"blockIO": {"leafWeight": 1001}}, "blockIO/leafWeight", "must be between 10 and 1000, not 1001"),
    (
        {"blockIO": {"weightDevice": [{**DEVICE, "weight": 10}, {**DEVICE, "weight": 1}]}},
        "blockIO/weightDevice/1/weight",
        "must be between 10 and 1000, not 1",
    ),
    ({"blockIO": {"weightDevice": [DEVICE]}}, "blockIO/weightDevice/0", "needs weight or leafWeight, or both"),
    (
        {"blockIO": {"throttleWriteIOPSDevice": [{"major": -1, "minor": 0, "rate": 1}]}},
        "blockIO/throttleWriteIOPSDevice/0/major",
        "must be a device number, not -1",
    ),
    (
        {"network": {"priorities": [{"name": "a b", "priority": 1}]}},
        "network/priorities/0/name",
        'must be the name of one interface, not "a b"',
    ),
    ({"rdma": {"a b": {"hcaHandles": 1}}}, "rdma/a b", '"a b" is not the name of a device'),
    ({"rdma": {"mlx": {}}}, "rdma/mlx", "needs hcaHandles or hcaObjects, or both"),
]
UNIFIED = [
    ("../memory.max", "must be a file name (no slashes)"),
    ("memory", "must be in the form CONTROLLER.PARAMETER"),
    (".x", "must be in the form CONTROLLER.PARAMETER"),
    ("memory.", "must be in the form CONTROLLER.PARAMETER"),
    ("memory.\nmax", "must be in the form CONTROLLER.PARAMETER"),
    ("cgroup.freeze", "is not a limit"),
    ("cgroup.procs", "is not a limit"),
]
ACCEPTED: list[dict[str, Any]] = [
    {"memory": {"limit": -1, "reservation": 0, "swap": -1, "swappiness": 100}},
    {"cpu": {"idle": 0, "cpus": "0-3,7", "quota": -5}},
    {"blockIO": {"weight": 0, "weightDevice": [{**DEVICE, "leafWeight": 1000}]}},
    {"network": {"priorities": [{"name": "eth0.5", "priority": 1}]}},
    {"rdma": {"mlx5_1": {"hcaObjects": 0}}},
    {"unified": {"memory.high": "max", "cgroup.max.depth": "3", "hugetlb.2MB.max": "0", "new.file": "a\nb"}},
]


@pytest.mark.parametrize(("resources", "pointer", "reason"), BROKEN, ids=lambda value: str(value)[:40])
def test_broken_rule(resources: dict[str, Any], pointer: str, reason: str) -> None:
    at = f"/linux/resources/{pointer}"
    assert found(("linux.resources", resources)) == [(at, f"config.json#{at}: {reason}")]


def test_swappiness() -> None:
    said: Said = [("/linux/resources/memory/swappiness", "invalid memory swappiness value: 101 (valid range is 0-100)")]
    assert found(("linux.resources.memory", {"swappiness": 101})) == said


@pytest.mark.parametrize(("key", "reason"), UNIFIED)
def test_keys_of_unified(key: str, reason: str) -> None:
    [(pointer, message)] = found(("linux.resources.unified", {key: "1"}))
    assert pointer.startswith("/linux/resources/unified/")
    assert message.startswith('unified resource "') and message.endswith(f'" {reason}')


@pytest.mark.parametrize("resources", ACCEPTED, ids=lambda value: " ".join(value))
def test_accepted(resources: dict[str, Any]) -> None:
    assert found(("linux.resources", resources)) == []
