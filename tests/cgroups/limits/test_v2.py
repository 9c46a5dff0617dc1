"""Limits of cgroup v2 with its real controllers: what the files say afterwards, and what is refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import hierarchies, manager, paths, removal
from pyoci.errors import StepError
from pyoci.undo import Undo
from tests.cgroups.conftest import limit
from tests.cgroups.limits.test_v1 import DISK, MB, NAME

pytestmark = [pytest.mark.root, pytest.mark.guest]


@pytest.fixture
def made(planned: dict[str, str]) -> Iterator[dict[str, str]]:
    assert planned.keys() == {""}, "this lane shall have cgroup version 2 alone"
    manager.create(planned, Undo())
    yield planned
    removal.remove(planned)


def shown(cgroup: dict[str, str], file: str) -> str:
    return Path(cgroup[""], file).read_text().strip()


def test_what_the_files_show(made: dict[str, str]) -> None:
    """One after the other in one cgroup, as update would: each is what it is, whatever was there before."""
    steps: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"pids": {"limit": 0}}, {"pids.max": "1"}),
        ({"pids": {"limit": 77}}, {"pids.max": "77"}),
        ({"pids": {"limit": -5}}, {"pids.max": "max"}),
        (
            {"memory": {"limit": 64 * MB, "swap": 96 * MB, "reservation": 32 * MB, "checkBeforeUpdate": True}},
            {"memory.max": str(64 * MB), "memory.swap.max": str(32 * MB), "memory.low": str(32 * MB)},
        ),
        ({"memory": {"limit": 32 * MB, "swap": 32 * MB}}, {"memory.max": str(32 * MB), "memory.swap.max": "0"}),
        ({"memory": {"limit": -1}}, {"memory.max": "max", "memory.swap.max": "max"}),
        ({"cpu": {"shares": 2048}}, {"cpu.weight": "174"}),
        (
            {"cpu": {"quota": 40000, "period": 50000, "burst": 30000}},
            {"cpu.max": "40000 50000", "cpu.max.burst": "30000"},
        ),
        ({"cpu": {"quota": 90000, "burst": 80000}}, {"cpu.max": "90000 100000", "cpu.max.burst": "80000"}),
        ({"cpu": {"quota": -1, "burst": 0}}, {"cpu.max": "max 100000", "cpu.max.burst": "0"}),
        ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
        ({"cpu": {"idle": 0, "shares": 1024}}, {"cpu.idle": "0", "cpu.weight": "100"}),
        ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.mems": "0"}),
        (
            {
                "blockIO": {
                    "throttleReadBpsDevice": [{**DISK, "rate": 1 << 40}],
                    "throttleWriteBpsDevice": [{**DISK, "rate": 1 << 41}],
                    "throttleReadIOPSDevice": [{**DISK, "rate": 100000}],
                    "throttleWriteIOPSDevice": [{**DISK, "rate": 200000}],
                }
            },
            {"io.max": f"{NAME} rbps={1 << 40} wbps={1 << 41} riops=100000 wiops=200000"},
        ),
        (
            {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MB}]},
            {"hugetlb.2MB.max": str(4 * MB), "hugetlb.2MB.rsvd.max": str(4 * MB)},
        ),
        (
            {
                "unified": {
                    "memory.high": str(48 * MB),
                    "cpu.weight": "77",
                    "io.max": f"{NAME} rbps=max\n{NAME} wiops=5",
                }
            },
            {
                "memory.high": str(48 * MB),
                "cpu.weight": "77",
                "io.max": f"{NAME} rbps=max wbps={1 << 41} riops=100000 wiops=5",
            },
        ),
        ({"unified": {"cgroup.max.depth": "3"}}, {"cgroup.max.depth": "3"}),
    ]
    for resources, files in steps:
        limit(made, resources)
        assert {file: shown(made, file) for file in files} == files, resources


def test_weights(made: dict[str, str]) -> None:
    """BFQ's where it is loaded, otherwise io.cost's, whose devices have to be told; until then a device is skipped."""
    before = os.path.exists(f"{made['']}/io.bfq.weight")
    weight = {"weight": 500, "weightDevice": [{**DISK, "weight": 1000}]}
    if not before:
        limit(made, {"blockIO": weight})
        assert shown(made, "io.weight") == "default 4950"
        Path("/sys/fs/cgroup/io.cost.qos").write_text(f"{NAME} enable=1")
        limit(made, {"blockIO": weight})
        assert shown(made, "io.weight") == f"default 4950\n{NAME} 10000"
        Path("/sys/fs/cgroup/io.cost.qos").write_text(f"{NAME} enable=0")
    if subprocess.run(["modprobe", "bfq"], check=False).returncode != 0:
        pytest.skip("this kernel has no BFQ")
    limit(made, {"blockIO": {"weight": 500}})
    assert shown(made, "io.bfq.weight").partition("\n")[0] in ("500", "default 500")


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"memory": {"limit": 4096, "checkBeforeUpdate": True}},
        "memory/checkBeforeUpdate",
        "rejecting memory limit 4096 <= ",
    ),
    ({"cpu": {"cpus": "4096"}}, "cpu/cpus", "cannot set linux.resources.cpu.cpus (cpuset controller): "),
    ({"cpu": {"quota": 1}}, "cpu/quota", "cannot set linux.resources.cpu.quota (cpu controller): "),
    ({"cpu": {"idle": 1, "shares": 5}}, "cpu/shares", "cannot set linux.resources.cpu.shares (cpu controller): "),
    (
        {"blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 0, "rate": 1}]}},
        "blockIO/throttleReadBpsDevice/0",
        "cannot set linux.resources.blockIO.throttleReadBpsDevice.0 (io controller): ",
    ),
    ({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}, "hugepageLimits/0", "hugetlb.3MB.max: no such file"),
    (
        {"unified": {"memory.nothing": "1"}},
        "unified/memory.nothing",
        'unable to set unified resource "memory.nothing": ',
    ),
    (
        {"unified": {"nothing.max": "1"}},
        "unified/nothing.max",
        'unified resource "nothing.max" can\'t be set: controller "nothing" not available',
    ),
    ({"unified": {"memory.max": "x"}}, "unified/memory.max", 'unable to set unified resource "memory.max": '),
]


def test_refused(made: dict[str, str]) -> None:
    words = ["sh", "-c", 'echo $$ > "$0/cgroup.procs"; echo; exec sleep 100', made[""]]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as sleeper:  # so that some memory is used
        assert sleeper.stdout is not None and sleeper.stdout.readline()
        for resources, pointer, text in REFUSED:
            with pytest.raises(StepError) as caught:
                limit(made, resources)
            assert caught.value.pointer == f"/linux/resources/{pointer}"
            assert text in caught.value.message
        sleeper.kill()
    assert removal.wait_empty(made, 10)


def test_a_controller_that_was_not_passed_on(name: str) -> None:
    """It is named, and what needs none is fine."""
    found = hierarchies.detect()
    parent = Path(paths.plan(found, f"/{name}", "id")[""])
    inner = {"": str(parent / "inner")}
    os.makedirs(inner[""])
    limit(inner, {"pids": {"limit": -1}, "memory": {"limit": -1}, "cpu": {"shares": 1024, "quota": -1}})
    with pytest.raises(StepError) as caught:
        limit(inner, {"memory": {"limit": 5}})
    text = f"the memory controller is not available here: {parent} has it and does not pass it on; write +memory to"
    above = text.replace(str(parent), str(parent.parent))
    assert caught.value.hint in (f"{text} its cgroup.subtree_control", f"{above} its cgroup.subtree_control")
    os.rmdir(inner[""])
    os.rmdir(parent)


def test_net_cls_and_net_prio(name: str, made: dict[str, str]) -> None:
    """Of v1 only, and no lane mounts them: here they may be mounted beside the v2 hierarchy."""
    mounted = []
    try:
        for controller in ("net_cls", "net_prio"):
            directory = Path(f"/run/pyoci-{controller}")
            directory.mkdir()
            done = subprocess.run(["mount", "-t", "cgroup", "-o", controller, "none", directory], check=False)
            if done.returncode != 0:
                directory.rmdir()
                pytest.skip(f"this kernel has no {controller} controller")
            mounted.append(directory)
        cgroup = {"net_cls": f"/run/pyoci-net_cls/{name}", "net_prio": f"/run/pyoci-net_prio/{name}"}
        for path in cgroup.values():
            os.mkdir(path)
        limit(cgroup, {"network": {"classID": 0x100001, "priorities": [{"name": "lo", "priority": 7}]}})
        assert Path(cgroup["net_cls"], "net_cls.classid").read_text().strip() == str(0x100001)
        assert "lo 7" in Path(cgroup["net_prio"], "net_prio.ifpriomap").read_text().splitlines()
        for path in cgroup.values():
            os.rmdir(path)
    finally:
        for directory in mounted:
            subprocess.run(["umount", directory], check=True)
            directory.rmdir()
