"""update of real containers: what the kernel's files hold afterwards, and that a refused value puts all back."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pyoci import jsonfile
from pyoci.container.update import update as change
from pyoci.errors import Error
from tests.container import tracer
from tests.container.box import Box, Done
from tests.container.test_life_cycle import MISSING, in_state, refused
from tests.container.test_pause import cgroups, kernel_says
from tests.isolation import in_namespace

pytestmark = pytest.mark.root

MIB = 1 << 20
V1 = pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="this machine has no cgroup v1")


def value(box: Box, controller: str, file: str) -> str:
    return (cgroups(box)[controller] / file).read_text().strip()


def limited(box: Box, resources: dict[str, Any]) -> None:
    """Run the container "a" with these limits."""

    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"].update(resources)

    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "a").stderr == ""


def update(box: Box, resources: dict[str, Any] | str) -> Done:
    """With --resources FILE."""
    file = box.directory / "resources.json"
    file.write_text(resources if isinstance(resources, str) else json.dumps(resources))
    return box("update", "--resources", str(file), "a")


def done(result: Done) -> None:
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@V1
def test_flags(box: Box) -> None:
    limited(box, {})
    done(
        box(
            *(
                "update",
                "--memory",
                "64m",
                "--memory-swap",
                "128m",
                "--memory-reservation",
                "32m",
                "--pids-limit",
                "20",
            ),
            *("--cpu-share", "512", "--cpu-quota", "5000", "--cpu-period", "10000", "--cpuset-cpus", "0", "a"),
            *("--cpuset-mems", "0"),
        )
    )
    assert value(box, "memory", "memory.limit_in_bytes") == str(64 * MIB)
    assert value(box, "memory", "memory.memsw.limit_in_bytes") == str(128 * MIB)
    assert value(box, "memory", "memory.soft_limit_in_bytes") == str(32 * MIB)
    assert value(box, "pids", "pids.max") == "20"
    assert value(box, "cpu", "cpu.shares") == "512"
    assert (value(box, "cpu", "cpu.cfs_quota_us"), value(box, "cpu", "cpu.cfs_period_us")) == ("5000", "10000")
    assert (value(box, "cpuset", "cpuset.cpus"), value(box, "cpuset", "cpuset.mems")) == ("0", "0")


@V1
def test_from_a_file_and_from_stdin(box: Box) -> None:
    limited(box, {})
    done(update(box, {"memory": {"limit": 64 * MIB}, "pids": {"limit": 9}}))
    assert (value(box, "memory", "memory.limit_in_bytes"), value(box, "pids", "pids.max")) == (str(64 * MIB), "9")
    file = box.directory / "stdin"
    file.write_text('{"pids": {"limit": 11}}\n')
    prefix, box.prefix = box.prefix, ("sh", "-c", f'exec "$@" < {file}', "sh")
    done(box("update", "--pids-limit", "5", "-r", "-", "a"))
    box.prefix = prefix
    assert value(box, "pids", "pids.max") == "11", "the flags do not count then"


@V1
@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_statuses(box: Box, status: str) -> None:
    in_state(box, status)
    done(box("update", "--pids-limit", "20", "a"))
    assert value(box, "pids", "pids.max") == "20"
    assert box.status("a") == status
    assert (kernel_says(box) == "FROZEN") == (status == "paused")


def test_refused_statuses(either_box: Box) -> None:
    box = either_box
    refused(box("update", "--pids-limit", "20", "a"), MISSING)
    refused(box("update", "--pids-limit", "20", "--memory", "nonsense", "a"), MISSING)
    in_state(box, "stopped")
    refused(box("update", "--pids-limit", "20", "a"), "container not running")


@V1
def test_memory_and_swap_in_either_direction(box: Box) -> None:
    """The kernel keeps memory <= memory+swap all the time, so raising and lowering go in different order."""
    limited(box, {"memory": {"limit": 32 * MIB, "swap": 64 * MIB}})
    for limit, swap in ((128, 256), (16, 32), (32, 32), (300, 400), (64, 64)):
        done(box("update", "--memory", f"{limit}m", "--memory-swap", f"{swap}m", "a"))
        assert value(box, "memory", "memory.limit_in_bytes") == str(limit * MIB)
        assert value(box, "memory", "memory.memsw.limit_in_bytes") == str(swap * MIB)
    done(box("update", "--memory", "-1", "a"))
    assert int(value(box, "memory", "memory.limit_in_bytes")) > 1 << 60
    assert int(value(box, "memory", "memory.memsw.limit_in_bytes")) > 1 << 60


@V1
def test_quota_and_period_in_either_direction(box: Box) -> None:
    limited(box, {"cpu": {"quota": 50000, "period": 100000}})
    for quota, period in ((5000, 10000), (200000, 1000000), (1000, 5000), (-1, 100000)):
        done(box("update", "--cpu-quota", str(quota), "--cpu-period", str(period), "a"))
        assert value(box, "cpu", "cpu.cfs_quota_us") == str(quota)
        assert value(box, "cpu", "cpu.cfs_period_us") == str(period)


@V1
def test_one_of_quota_and_period_keeps_the_other(box: Box) -> None:
    limited(box, {"cpu": {"quota": 50000, "period": 100000}})
    done(box("update", "--cpu-period", "200000", "a"))
    done(box("update", "--cpu-quota", "60000", "a"))
    assert (value(box, "cpu", "cpu.cfs_quota_us"), value(box, "cpu", "cpu.cfs_period_us")) == ("60000", "200000")


@V1
def test_a_second_update_starts_from_the_first(box: Box) -> None:
    """Memory without swap is refused below the swap that an update before has set: that is known from then on."""
    limited(box, {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}})
    done(box("update", "--memory", "64m", "--memory-swap", "64m", "a"))
    done(box("update", "--memory-reservation", "16m", "a"))
    kept = json.loads((box.root / "a/saved-config.json").read_text())["resources"]
    assert kept["memory"] == {"limit": 64 * MIB, "swap": 64 * MIB, "reservation": 16 * MIB}
    refused(box("update", "--memory", "128m", "a"), "cannot set linux.resources.memory.limit")
    assert json.loads((box.root / "a/saved-config.json").read_text())["resources"] == kept
    assert value(box, "memory", "memory.limit_in_bytes") == str(64 * MIB)


@V1
def test_a_refused_value_puts_all_back(box: Box) -> None:
    """Also what had no limit before: the old plan alone would not say what to write there."""
    limited(box, {"pids": {"limit": 50}})
    before = {
        (controller, file): value(box, controller, file)
        for controller, file in (
            ("memory", "memory.limit_in_bytes"),
            ("memory", "memory.memsw.limit_in_bytes"),
            ("memory", "memory.soft_limit_in_bytes"),
            ("cpu", "cpu.cfs_quota_us"),
            ("cpu", "cpu.shares"),
            ("cpuset", "cpuset.cpus"),
            ("pids", "pids.max"),
        )
    }
    kept = (box.root / "a/saved-config.json").read_text()
    resources = {
        "memory": {"limit": 64 * MIB, "swap": 64 * MIB, "reservation": 32 * MIB},
        "cpu": {"quota": 5000, "shares": 3, "cpus": "0"},
        "pids": {"limit": 2**62},
    }
    done_ = update(box, resources)
    refused(done_, "pids")
    assert f"pointer: {box.directory}/resources.json#/pids/limit" in done_.stderr
    assert {key: value(box, *key) for key in before} == before
    assert (box.root / "a/saved-config.json").read_text() == kept


V2_WANTED = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 5000, "period": 10000, "burst": 1000, "cpus": "0"},
    "pids": {"limit": 20},
    "blockIO": {"weight": 500},
    "unified": {"memory.high": str(48 * MIB)},
}
V2_WRITTEN = {
    "memory.max": str(64 * MIB),
    "memory.swap.max": str(32 * MIB),
    "memory.low": str(32 * MIB),
    "memory.high": str(48 * MIB),
    "cpu.max": "5000 10000",
    "cpu.max.burst": "1000",
    "cpuset.cpus": "0",
    "cpu.weight": "59",
    "pids.max": "20",
}


@pytest.mark.guest
def test_v2(box: Box) -> None:
    """Every controller; nothing changes when the last value is refused, or when memory is used already.

    A cpuset with processes in it cannot be emptied again: it then names all the CPUs that it had."""
    limited(box, {"memory": {"limit": 32 * MIB}})
    before = {file: value(box, "", file) for file in V2_WRITTEN}
    before["cpuset.cpus"] = before["cpuset.cpus"] or value(box, "", "cpuset.cpus.effective")
    wrong = {**V2_WANTED, "unified": {"memory.high": str(48 * MIB), "cgroup.max.descendants": "none"}}
    refused(update(box, wrong), "cgroup.max.descendants")
    assert {file: value(box, "", file) for file in V2_WRITTEN} == before
    done(update(box, V2_WANTED))
    assert {file: value(box, "", file) for file in V2_WRITTEN} == V2_WRITTEN
    done(box("update", "--cpu-period", "20000", "a"))
    assert value(box, "", "cpu.max") == "5000 20000"
    refused(update(box, {"memory": {"limit": 4096, "checkBeforeUpdate": True}}), "rejecting memory limit 4096 <= usage")
    done(box("update", "--memory", "-1", "a"))
    assert (value(box, "", "memory.max"), value(box, "", "memory.swap.max")) == ("max", "max")
    done(box("update", "--cpu-idle", "1", "a"))
    assert value(box, "", "cpu.idle") == "1"


@V1
@pytest.mark.skipif(not tracer.SUPPORTED, reason="the tracer knows x86_64 only")
@pytest.mark.parametrize("what", ["errno", "signal"])
def test_all_or_nothing_whatever_fails(box: Box, what: str) -> None:
    """Each write of update fails once, or is followed by SIGTERM: what is kept is what is in force, old or new."""
    limited(box, {"pids": {"limit": 50}})
    files = {"memory": "memory.limit_in_bytes", "cpu": "cpu.cfs_quota_us", "pids": "pids.max"}
    old = {file: value(box, controller, file) for controller, file in files.items()}
    new = {"memory.limit_in_bytes": str(64 * MIB), "cpu.cfs_quota_us": "5000", "pids.max": "20"}
    command = ("update", "--memory", "64m", "--cpu-quota", "5000", "--pids-limit", "20", "a")
    kept = (box.root / "a/saved-config.json").read_text()
    request = {"calls": ["write", "rename", "renameat"], "begin": ["openat2"]}
    results = []
    for index in range(20):
        action = {what: errno.EIO if what == "errno" else signal.SIGTERM}
        ended, answer = box.trace(*command, **request, at=index, **action)
        if not answer["acted"]:
            break
        results.append(ended.returncode)
        found = {file: value(box, controller, file) for controller, file in files.items()}
        assert found == (new if ended.returncode == 0 else old), (index, ended)
        assert ((box.root / "a/saved-config.json").read_text() == kept) == (ended.returncode != 0), (index, ended)
        if ended.returncode == 0:
            break
    assert len(results) >= 4 and results[0] == (1 if what == "errno" else -signal.SIGTERM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "resources.json"),
        ("[]", "must be an object"),
        ('{"memory": 5}', "resources.json#/memory: "),
        ('{"pids": {"limit": "5"}}', "resources.json#/pids/limit: "),
        ('{"memory": {"limit": -7}}', "resources.json#/memory/limit: "),
        ('{"cpu": {"idle": 7}}', "resources.json#/cpu/idle: "),
        ('{"pids": {"limit": 5}} x', "resources.json"),
    ],
)
def test_garbage(box: Box, text: str, message: str) -> None:
    limited(box, {})
    result = update(box, text)
    assert (result.returncode, result.stdout) == (1, "")
    assert message in result.stderr


@V1
def test_what_is_ignored_is_said(box: Box) -> None:
    limited(box, {})
    result = box("update", "--kernel-memory", "5", "a")
    assert result.returncode == 0
    assert "Kernel memory settings are ignored and will be removed" in result.stderr
    result = update(box, {"network": {"classID": 5}, "memory": {"swappiness": 3}})
    assert result.returncode == 0
    assert result.stderr.count("update cannot change it") == 2


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--l3-cache-schema", "Intel RDT/CAT: l3 cache schema is not enabled"),
        ("--mem-bw-schema", "Intel RDT/MBA: memory bandwidth schema is not enabled"),
    ],
)
def test_intel_rdt(box: Box, flag: str, text: str) -> None:
    limited(box, {})
    refused(box("update", flag, "L3:0=f", "a"), text)


def test_schemata_of_resctrl(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine of ours has the hardware: a file stands for the group's. What is written is put back on an error."""
    limited(box, {})
    with pytest.raises(Error, match=r"^updating a non-existent Intel RDT configuration is not supported$"):
        change(str(box.root), "a", {}, ("L3:0=f",))
    group = box.directory / "group"
    group.mkdir()
    (group / "schemata").write_text("L3:0=ff\n")
    file = box.root / "a/state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intel_rdt_path": str(group)}))
    in_namespace(lambda: change(str(box.root), "a", {}, ("L3:0=f", "MB:0=20")), 0)
    assert (group / "schemata").read_text() == "L3:0=f\nMB:0=20\n"
    monkeypatch.setattr(jsonfile, "write", failing)
    with pytest.raises(OSError, match="full"):
        in_namespace(lambda: change(str(box.root), "a", {}, ("L3:0=1",)), 0)
    assert (group / "schemata").read_text() == "L3:0=f\nMB:0=20\n"


def failing(*_: object) -> None:
    raise OSError(28, "full")


def test_unified_is_for_v2(box: Box) -> None:
    limited(box, {})
    if "memory" in cgroups(box):
        refused(update(box, {"unified": {"memory.high": "max"}}), "cannot use unified on cgroup v1")


@V1
def test_throttles_by_device(box: Box) -> None:
    """One device's rate changes, the other's stays; a refused update takes a new device out again."""
    disks = [line.split()[:2] for line in Path("/proc/partitions").read_text().splitlines()[2:]]
    if not disks:
        pytest.skip("no block device to throttle")
    [major, minor] = map(int, disks[0])
    limited(box, {})
    file = "blkio.throttle.read_bps_device"

    def throttle(rate: int, *others: dict[str, int]) -> Done:
        device = {"major": major, "minor": minor, "rate": rate}
        return update(box, {"blockIO": {"throttleReadBpsDevice": [device, *others]}})

    refused(throttle(1000000, {"major": 4095, "minor": 0, "rate": 1}), "no such device")
    assert value(box, "blkio", file) == ""
    done(throttle(1000000))
    assert value(box, "blkio", file) == f"{major}:{minor} 1000000"
    refused(throttle(3000000, {"major": 4095, "minor": 0, "rate": 1}), "no such device")
    done(throttle(2000000))
    assert value(box, "blkio", file) == f"{major}:{minor} 2000000"


@V1
def test_updates_at_once(box: Box) -> None:
    """One after the other: what is kept is what one of them has written."""
    limited(box, {})
    running = [
        box.begin("update", "--memory", f"{number}m", "--memory-swap", f"{number}m", "a")
        for number in (32, 64, 96, 128)
    ]
    assert [one.end().returncode for one in running] == [0] * 4
    kept = json.loads((box.root / "a/saved-config.json").read_text())["resources"]["memory"]
    assert value(box, "memory", "memory.limit_in_bytes") == str(kept["limit"])
    assert value(box, "memory", "memory.memsw.limit_in_bytes") == str(kept["swap"])
