"""What is read but not carried out is an error that names its pointer; what changes nothing passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyoci import config
from pyoci.config import unsupported
from pyoci.errors import UnsupportedError
from tests.config.rule_cases import changed

DEVICE = {"major": 8, "minor": 0}
ONE = [
    ("linux.intelRdt", {}, "/linux/intelRdt"),
    ("linux.netDevices", {"eth0": {}}, "/linux/netDevices/eth0"),
    ("linux.seccomp", {"defaultAction": "SCMP_ACT_LOG", "listenerPath": "/s"}, "/linux/seccomp/listenerPath"),
    (
        "linux.seccomp",
        {"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_NOTIFY"}]},
        "/linux/seccomp/syscalls/0/action",
    ),
    *[
        (f"linux.resources.{path}", value, "/linux/resources/" + path.replace(".", "/"))
        for path, value in [
            ("memory.limit", 1),
            ("memory.reservation", -1),
            ("memory.swap", 1),
            ("memory.kernel", 1),
            ("memory.kernelTCP", 1),
            ("memory.swappiness", 0),
            ("memory.disableOOMKiller", True),
            ("cpu.shares", 2),
            ("cpu.quota", 1),
            ("cpu.burst", 1),
            ("cpu.realtimeRuntime", -1),
            ("cpu.realtimePeriod", 1),
            ("cpu.cpus", "0"),
            ("cpu.mems", "0"),
            ("cpu.idle", 1),
            ("blockIO.weight", 10),
            ("blockIO.leafWeight", 10),
            ("blockIO.weightDevice", [DEVICE]),
            ("blockIO.throttleReadBpsDevice", [DEVICE]),
            ("blockIO.throttleWriteBpsDevice", [DEVICE]),
            ("blockIO.throttleReadIOPSDevice", [DEVICE]),
            ("blockIO.throttleWriteIOPSDevice", [DEVICE]),
            ("network.classID", 1),
            ("network.priorities", [{"name": "lo", "priority": 1}]),
            ("hugepageLimits", [{"pageSize": "2MB", "limit": 0}]),
            ("rdma", {"mlx5": {}}),
            ("unified", {"memory.high": "1"}),
        ]
    ],
]
NOTHING = {
    "memory": {
        "limit": -1,
        "reservation": 0,
        "swap": -1,
        "kernel": -1,
        "kernelTCP": 0,
        "swappiness": None,
        "disableOOMKiller": False,
        "useHierarchy": True,
        "checkBeforeUpdate": True,
    },
    "cpu": {
        "shares": 1024,
        "quota": -1,
        "period": 100000,
        "burst": 0,
        "realtimeRuntime": 0,
        "realtimePeriod": 0,
        "cpus": "",
        "mems": "",
        "idle": 0,
    },
    "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": []},
    "network": {"classID": 0, "priorities": []},
    "hugepageLimits": [],
    "rdma": {},
    "unified": {},
    "pids": {"limit": 5},
    "devices": [{"allow": False, "access": "rwm"}],
}


@pytest.mark.parametrize(("path", "value", "pointer"), ONE)
def test_unsupported(path: str, value: Any, pointer: str) -> None:
    found = config.read(changed((path, value)))
    assert list(unsupported.unsupported(found)) == [pointer]
    with pytest.raises(UnsupportedError) as caught:
        unsupported.check(found)
    assert caught.value.pointer == pointer
    assert caught.value.message == f"{pointer[1:].replace('/', '.')} is not supported yet"
    assert caught.value.hint


def test_supported() -> None:
    affinity = ("process.execCPUAffinity", {"initial": "0"})
    seccomp = ("linux.seccomp", {"defaultAction": "SCMP_ACT_LOG"})
    for raw in (changed(), changed(affinity, seccomp), {}):
        unsupported.check(config.read(raw))


def test_values_that_change_nothing() -> None:
    unsupported.check(config.read(changed(("linux.resources", NOTHING))))


def test_default_configs_of_engines_are_supported() -> None:
    for name in ("docker-default", "podman-default", "containerd-ctr-default", "runc-spec", "crun-spec"):
        path = Path(__file__).parent / "corpus" / f"{name}.json"
        unsupported.check(config.read(json.loads(path.read_text())))
