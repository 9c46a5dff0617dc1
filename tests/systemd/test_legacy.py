"""The systemd driver where systemd runs on cgroup v1 or hybrid: `tests/lanes/guest --cgroups v1 pytest -m legacy`.

The kernel of the guest has neither memory nor cpuset in version 1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import hierarchies
from tests.systemd.conftest import CGROUPS, Done, Scopes, until
from tests.systemd.test_limits import limited
from tests.systemd.test_update import update

pytestmark = pytest.mark.legacy

ALLOWED = [
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"},
    {"allow": True, "type": "b", "major": 7, "access": "rw"},
    {"allow": True, "type": "c", "minor": 229, "access": "rw"},  # systemd has no words for it
]
NOT_ONE = {"allow": False, "type": "b", "major": 7, "minor": 0, "access": "rwm"}
ERRORS = ["EPERM", "0"]
LIMITS: dict[str, Any] = {
    "cpu": {"shares": 512, "quota": 12345, "period": 100000},
    "pids": {"limit": 77},
    "network": {"classID": 5},
    "devices": ALLOWED,
}
SHOWN = {
    "CPUShares": "512",
    "CPUQuotaPerSecUSec": "130ms",
    "CPUQuotaPeriodUSec": "100ms",
    "TasksMax": "77",
    "DevicePolicy": "strict",
    "Delegate": "yes",
}
WRITTEN = {
    "cpu/cpu.shares": "512",
    "cpu/cpu.cfs_quota_us": "13000",
    "cpu/cpu.cfs_period_us": "100000",
    "pids/pids.max": "77",
    "net_cls/net_cls.classid": "5",
}


class Places:
    """A container's cgroups in the hierarchies, as the kernel names them."""

    def __init__(self, scopes: Scopes, bundle: str) -> None:
        self.path = f"/system.slice/{scopes.unit(bundle)}"

    def __truediv__(self, file: str) -> Path:
        """places / "cpu/cpu.shares"."""
        hierarchy, _, name = file.partition("/")
        return CGROUPS / f"{hierarchy}{self.path}" / name

    def read(self, file: str) -> str:
        return (self / file).read_text().strip()

    def values(self, files: Any) -> dict[str, str]:
        return {file: self.read(file) for file in files}

    def devices(self) -> set[str]:
        return set(self.read("devices/devices.list").splitlines())


def groups(pid: int) -> dict[str, str]:
    """controllers -> the process's cgroup, of every hierarchy that is mounted."""
    unified = hierarchies.detect().version == "hybrid"
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return {controllers: path for _, controllers, path in lines if controllers or unified}


def created(scopes: Scopes, *args: str, **resources: Any) -> tuple[Places, str]:
    """A container "a" that was created; its cgroups, its unit."""
    bundle = scopes.bundle(*(args or ("sleep",)), change=limited(resources))
    done = scopes("create", "-b", bundle, "a")
    assert (done.returncode, done.stderr) == (0, "")
    return Places(scopes, bundle), scopes.unit(bundle)


def good(done: Done) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_in_every_hierarchy(scopes: Scopes) -> None:
    """create, exec and events; with its last process the scope ends, and delete removes what systemd leaves."""
    places, unit = created(scopes, "spawn", "2", ",", "sleep")
    state = scopes.state("a")
    found = groups(state["pid"])
    assert len(found) >= 10
    assert set(found.values()) == {places.path}
    assert scopes.saved("a")["cgroup_paths"].keys() == hierarchies.detect().mounts.keys()
    assert scopes.show(unit)["ActiveState"] == "active"
    good(scopes("start", "a"))
    pidfile = scopes.directory / "pid"
    good(scopes("exec", "-d", "--pid-file", str(pidfile), "a", "/reporter", "sleep"))
    assert groups(int(pidfile.read_text())) == found
    until(lambda: len(places.read("pids/cgroup.procs").splitlines()) == 4, "all have been started")
    assert json.loads(good(scopes("events", "--stats", "a")))["data"]["pids"]["current"] == 4
    good(scopes("kill", "a", "KILL"))
    until(lambda: scopes.units() == [], "the scope has ended")
    good(scopes("delete", "a"))


def test_run(scopes: Scopes) -> None:
    """The process sees the scope as the root of its cgroup namespace, in every hierarchy."""
    lines = good(scopes("run", "-b", scopes.bundle("read", "/proc/self/cgroup"), "a"))
    assert set(re.findall(r"\d+:[a-z=_,]*:(/[^\\\s\"]*)", lines)) == {"/"}, lines


def test_limits(scopes: Scopes) -> None:
    """As properties and in the files, also after systemd has written its own once more."""
    places, unit = created(scopes, **LIMITS)
    shown = scopes.show(unit)
    assert {name: shown[name] for name in SHOWN} == SHOWN
    assert places.values(WRITTEN) == WRITTEN
    devices = places.devices()
    assert {"c 1:11 r", "b 7:* rw", "c *:229 rw"} <= devices
    scopes.systemctl("daemon-reload")
    assert places.values(WRITTEN) == WRITTEN
    assert places.devices() == devices


def test_update(scopes: Scopes) -> None:
    """Frozen while systemd changes properties; the device rules are what they were; a refused one changes nothing."""
    places, unit = created(scopes, **LIMITS)
    before = places.devices()
    log = scopes.directory / "calls"
    scopes.prefix = ("strace", "-q", "-e", "trace=write,sendto", "-s", "300", "-o", str(log))
    good(update(scopes, {"cpu": {"shares": 256, "quota": 20000, "period": 100000}, "pids": {"limit": 50}}))
    scopes.prefix = ()
    order = re.findall(r'"FROZEN"|SetUnitProperties|"THAWED"', log.read_text())
    assert list(dict.fromkeys(order)) == ['"FROZEN"', "SetUnitProperties", '"THAWED"']
    assert places.read("freezer/freezer.state") == "THAWED"
    expected = {**WRITTEN, "cpu/cpu.shares": "256", "cpu/cpu.cfs_quota_us": "20000", "pids/pids.max": "50"}
    assert places.values(WRITTEN) == expected
    assert places.devices() == before
    scopes.systemctl("daemon-reload")
    assert places.values(WRITTEN) == expected
    assert places.devices() == before
    refused = update(scopes, {"cpu": {"shares": 128}, "pids": {"limit": 40}, "memory": {"limit": 1 << 26}})
    assert refused.returncode == 1 and "cannot set memory limit" in refused.stderr
    assert places.values(WRITTEN) == expected
    shown = scopes.show(unit)
    assert (shown["CPUShares"], shown["TasksMax"]) == ("256", "50")


def test_pause(scopes: Scopes) -> None:
    """An update does not thaw; delete --force ends what is frozen."""
    places, _ = created(scopes, "spawn", "2", ",", "sleep")
    good(scopes("start", "a"))
    good(scopes("pause", "a"))
    assert scopes.state("a")["status"] == "paused"
    assert places.read("freezer/freezer.state") == "FROZEN"
    good(update(scopes, {"pids": {"limit": 50}}))
    assert (places.read("pids/pids.max"), scopes.state("a")["status"]) == ("50", "paused")
    good(scopes("resume", "a"))
    assert scopes.state("a")["status"] == "running"
    good(scopes("pause", "a"))
    good(scopes("delete", "-f", "a"))
    assert scopes.units() == []


def test_devices(scopes: Scopes) -> None:
    """Device rules are those of the other driver; what is allowed but for one stays so in an update."""
    places, _ = created(scopes)
    path = f"/{scopes.mark}-files"
    bundle = scopes.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=path))
    good(scopes("create", "-b", bundle, "b", systemd=False))
    assert places.devices() == set((CGROUPS / f"devices{path}/devices.list").read_text().splitlines())
    for name in ("a", "b"):
        good(scopes("delete", "-f", name))
    created(scopes, devices=[{"allow": True, "access": "rwm"}, NOT_ONE])
    good(scopes("start", "a"))
    assert made(scopes, "before") == ERRORS
    good(update(scopes, {"pids": {"limit": 50}}))
    assert made(scopes, "after") == ERRORS


def made(scopes: Scopes, name: str) -> list[str]:
    """The errors of making two devices in the container."""
    words = [word for minor in "01" for word in ("try", "mknod", f"/{name}-{minor}", "b", "7", minor, ",")]
    said = good(scopes("exec", "--cap", "CAP_MKNOD", "a", "/reporter", *words[:-1]))
    return [json.loads(line)["error"] for line in said.splitlines()]


def test_a_failed_create(scopes: Scopes) -> None:
    """Nothing is left where a limit is refused: the fixture looks in every hierarchy."""
    bundle = scopes.bundle("sleep", change=limited({"memory": {"limit": 64 << 20}}))
    done = scopes("create", "-b", bundle, "a")
    assert done.returncode == 1
    assert "cannot set memory limit: container could not join or create cgroup" in done.stderr
    assert "pointer: /linux/resources/memory/limit" in done.stderr
    assert scopes.units() == []
    assert not [path for path in CGROUPS.rglob(scopes.unit(bundle)) if path.is_dir()]
