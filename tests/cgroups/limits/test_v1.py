"""Limits of cgroup v1 on the real kernel: what its files say afterwards, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyoci.cgroups import manager, removal
from pyoci.errors import StepError
from pyoci.undo import Undo
from tests.cgroups.conftest import limit, limit_pids

pytestmark = [pytest.mark.root]

MB = 1 << 20


def disk() -> dict[str, int]:
    """Some disk of this machine. Nothing is done to it: limits are per cgroup."""
    for name in sorted(os.listdir("/sys/block")):
        if not name.startswith(("loop", "ram", "zram")):
            with open(f"/sys/block/{name}/dev") as file:
                major, minor = file.read().split(":")
            return {"major": int(major), "minor": int(minor)}
    pytest.skip("this machine has no disk")


DISK = disk()
NAME = f"{DISK['major']}:{DISK['minor']}"


@pytest.fixture
def made(v1: dict[str, str]) -> Iterator[dict[str, str]]:
    manager.create(v1, Undo())
    yield v1
    removal.remove(v1)


def content(cgroup: dict[str, str], file: str) -> str:
    with open(f"{cgroup[file.partition('.')[0]]}/{file}") as opened:
        return opened.read().strip()


# linux.resources -> what a file of the cgroup shows afterwards
SHOWN: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"pids": {"limit": 0}}, {"pids.max": "1"}),
    ({"pids": {"limit": 77}}, {"pids.max": "77"}),
    ({"pids": {"limit": -5}}, {"pids.max": "max"}),
    ({"memory": {"limit": 64 * MB}}, {"memory.limit_in_bytes": str(64 * MB)}),
    (
        {"memory": {"limit": 64 * MB, "swap": 65 * MB, "reservation": 32 * MB}},
        {
            "memory.limit_in_bytes": str(64 * MB),
            "memory.memsw.limit_in_bytes": str(65 * MB),
            "memory.soft_limit_in_bytes": str(32 * MB),
        },
    ),
    ({"memory": {"swappiness": 0}}, {"memory.swappiness": "0"}),
    ({"memory": {"disableOOMKiller": True}}, {"memory.oom_control": "oom_kill_disable 1"}),
    ({"memory": {"kernel": 64 * MB}}, {"memory.kmem.limit_in_bytes": str((1 << 63) - 4096)}),
    ({"cpu": {"shares": 512}}, {"cpu.shares": "512"}),
    (
        {"cpu": {"quota": 40000, "period": 50000, "burst": 30000}},
        {"cpu.cfs_quota_us": "40000", "cpu.cfs_period_us": "50000", "cpu.cfs_burst_us": "30000"},
    ),
    ({"cpu": {"idle": 1}}, {"cpu.idle": "1"}),
    (
        {"cpu": {"realtimeRuntime": 900, "realtimePeriod": 900000}},
        {"cpu.rt_runtime_us": "900", "cpu.rt_period_us": "900000"},
    ),
    ({"cpu": {"cpus": "1", "mems": "0"}}, {"cpuset.cpus": "1", "cpuset.mems": "0"}),
    ({"blockIO": {"weight": 500}}, {"blkio.bfq.weight": "500"}),
    (
        {
            "blockIO": {
                "throttleReadBpsDevice": [{**DISK, "rate": 1 << 40}],
                "throttleWriteBpsDevice": [{**DISK, "rate": 1 << 41}],
                "throttleReadIOPSDevice": [{**DISK, "rate": 100000}],
                "throttleWriteIOPSDevice": [{**DISK, "rate": 200000}],
            }
        },
        {
            "blkio.throttle.read_bps_device": f"{NAME} {1 << 40}",
            "blkio.throttle.write_bps_device": f"{NAME} {1 << 41}",
            "blkio.throttle.read_iops_device": f"{NAME} 100000",
            "blkio.throttle.write_iops_device": f"{NAME} 200000",
        },
    ),
]


@pytest.mark.parametrize(("resources", "shown"), SHOWN, ids=lambda value: " ".join(value))
def test_shown(made: dict[str, str], resources: dict[str, Any], shown: dict[str, str]) -> None:
    for file in shown:
        if not os.path.exists(f"{made.get(file.partition('.')[0])}/{file}"):
            pytest.skip(f"this kernel has no {file}")
    limit(made, resources)
    assert {file: content(made, file).partition("\n")[0] for file in shown} == shown


def test_any_limits_of_memory_after_any_others(made: dict[str, str]) -> None:
    """The kernel wants memory <= memory+swap at all times, so that the right order depends on what was there."""
    pairs = [(100, 200), (300, 400), (50, 60), (60, 300), (250, 260), (-1, -1), (40, 40), (70, -1), (-1, None), (1, 2)]
    for memory, swap in pairs:
        wanted = {"limit": memory * MB if memory > 0 else memory}
        if swap is not None:
            wanted["swap"] = swap * MB if swap > 0 else swap
        limit(made, {"memory": wanted})
        for file, value in (("limit", memory), ("memsw.limit", -1 if swap is None else swap)):
            shown = int(content(made, f"memory.{file}_in_bytes"))
            assert shown == value * MB if value > 0 else shown > 1 << 60


def test_any_bandwidth_after_any_other(made: dict[str, str]) -> None:
    """Below a parent with half a CPU: period and burst may fit only once the quota is written, or only before."""
    inner = {"cpu": f"{made['cpu']}/inner"}
    manager.create(inner, Undo())
    limit(made, {"cpu": {"quota": 50000, "period": 100000}})
    for quota, period, burst in [(50000, 100000, 0), (10000, 20000, 9000), (90000, 200000, 80000), (1000, 4000, 1)]:
        limit(inner, {"cpu": {"quota": quota, "period": period, "burst": burst}})
        shown = [content(inner, f"cpu.cfs_{name}_us") for name in ("quota", "period", "burst")]
        assert shown == [str(quota), str(period), str(burst)]
    with pytest.raises(StepError) as caught:
        limit(inner, {"cpu": {"quota": 90000, "period": 100000}})
    assert (caught.value.pointer, caught.value.errno) == ("/linux/resources/cpu/quota", 22)
    with pytest.raises(StepError) as caught:
        limit(inner, {"cpu": {"period": 1000}})  # what is left of the quota is too much for it
    assert (caught.value.pointer, caught.value.errno) == ("/linux/resources/cpu/period", 22)
    removal.remove(inner)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"cpu": {"shares": 1}}, "cpu/shares", "the minimum allowed cpu-shares is 2"),
    ({"cpu": {"shares": 1 << 20}}, "cpu/shares", "the maximum allowed cpu-shares is 262144"),
    ({"memory": {"limit": 64 * MB, "swap": 32 * MB}}, "memory/swap", "invalid argument"),
    ({"cpu": {"cpus": "4096"}}, "cpu/cpus", "(cpuset controller): "),
    ({"cpu": {"cpus": "x"}}, "cpu/cpus", "cpuset.cpus: invalid argument"),
    (
        {"blockIO": {"throttleReadBpsDevice": [DISK | {"rate": 1}, {"major": 4000, "minor": 0, "rate": 1}]}},
        "blockIO/throttleReadBpsDevice/1",
        "cannot set linux.resources.blockIO.throttleReadBpsDevice.1 (blkio controller): ",
    ),
    ({"network": {"classID": 1}}, "network/classID", "cannot set net_cls limit: container could not join or create"),
    (
        {"network": {"priorities": [{"name": "lo", "priority": 1}]}},
        "network/priorities/0",
        "cannot set net_prio limit: container could not join or create cgroup",
    ),
    ({"rdma": {"a": {"hcaHandles": 1}}}, "rdma/a", "cannot set rdma limit: container could not join or create"),
]


@pytest.mark.parametrize(("resources", "pointer", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused(made: dict[str, str], resources: dict[str, Any], pointer: str, words: str) -> None:
    [owner] = resources
    if owner in ("network", "rdma") and {"net_cls", "net_prio", "rdma"} & made.keys():
        pytest.skip("this machine has the controller")
    with pytest.raises(StepError) as caught:
        limit(made, resources)
    assert caught.value.pointer == f"/linux/resources/{pointer}"
    assert words in caught.value.message


def test_what_the_kernel_lacks_is_named(made: dict[str, str]) -> None:
    if os.path.exists(f"{made['blkio']}/blkio.leaf_weight"):
        pytest.skip("this kernel has CFQ, from before 5.0")
    with pytest.raises(StepError) as caught:
        limit(made, {"blockIO": {"leafWeight": 300}})
    assert caught.value.pointer == "/linux/resources/blockIO/leafWeight"
    assert "cannot set linux.resources.blockIO.leafWeight (blkio controller): " in caught.value.message
    assert caught.value.message.endswith("/blkio.leaf_weight: no such file or directory")
    assert caught.value.hint == "this kernel's blkio controller has no blkio.leaf_weight"
    assert caught.value.call.endswith('/blkio.leaf_weight", "300")')


def test_without_its_controller(made: dict[str, str]) -> None:
    """A limit that is none needs no controller."""
    without = {"freezer": made["freezer"]}
    limit(without, {"pids": {"limit": -1}, "memory": {"limit": -1, "swap": -1}, "cpu": {"shares": 1024, "quota": -1}})
    with pytest.raises(
        StepError, match=r"^cannot set pids limit: container could not join or create cgroup$"
    ) as caught:
        limit_pids(without, 3)
    assert caught.value.hint.startswith("the pids controller is not mounted here")


def test_a_limit_below_what_is_used(made: dict[str, str]) -> None:
    code = "b = b'x' * (24 << 20); print(flush=True); input()"
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    words = ["sh", "-c", script, made["memory"], sys.executable, "-S", "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None and user.stdout.readline() == b"\n"
        words_of_runc = rf"^unable to set memory limit to {8 * MB} \(current usage: \d+, peak usage: \d+\)$"
        with pytest.raises(StepError, match=words_of_runc) as caught:
            limit(made, {"memory": {"limit": 8 * MB}})
        assert caught.value.pointer == "/linux/resources/memory/limit"


def test_pids_limit_holds(made: dict[str, str]) -> None:
    limit_pids(made, 1)
    command = f"echo $$ > {made['pids']}/cgroup.procs; /bin/true & wait $!"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode != 0 and "fork" in done.stderr


def test_bandwidth_holds(made: dict[str, str]) -> None:
    """A hundredth of a CPU: 12 ms of work need about a second."""
    limit(made, {"cpu": {"quota": 1000, "period": 100000}})
    code = "import time\nwhile time.process_time() < 0.012: pass\nprint(time.process_time())"
    start = time.monotonic()
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    subprocess.run(["sh", "-c", script, made["cpu"], sys.executable, "-S", "-c", code], check=True, capture_output=True)
    assert time.monotonic() - start > 0.5
    throttled = dict(line.split() for line in content(made, "cpu.stat").splitlines())
    assert int(throttled["nr_throttled"]) > 1


def test_hugepages_of_v2(in_v2: Callable[[Callable[[dict[str, str]], None]], None]) -> None:
    """Also where v1 has the rest: the page sizes are the machine's."""

    def body(planned: dict[str, str]) -> None:
        manager.create(planned, Undo())
        with open(f"{planned['']}/cgroup.controllers") as file:
            available = "hugetlb" in file.read().split()
        wanted = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MB}]}
        if available:
            limit(planned, wanted)
            for file_name in ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"):
                with open(f"{planned['']}/{file_name}") as file:
                    assert file.read().strip() == str(4 * MB)
        with pytest.raises(StepError) as caught:
            limit(planned, {"hugepageLimits": [{"pageSize": "3MB", "limit": 4 * MB}]})
        assert caught.value.pointer == "/linux/resources/hugepageLimits/0"
        assert "hugetlb.3MB.max: no such file or directory" in caught.value.message
        removal.remove(planned)

    in_v2(body)
