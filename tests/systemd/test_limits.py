"""Limits with the systemd driver: properties of the scope, values in its cgroup, errors without a controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.systemd.conftest import Scopes, run

RESOURCES: dict[str, Any] = {
    "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 64 << 20},
    "cpu": {"shares": 512, "quota": 12345, "period": 100000, "cpus": "0"},
    "pids": {"limit": 77},
    "blockIO": {"weight": 500},
    "unified": {"memory.high": "50331648", "memory.oom.group": "1"},
}
SHOWN = {
    "MemoryMax": str(64 << 20),
    "MemoryLow": str(32 << 20),
    "MemoryHigh": str(48 << 20),
    "MemorySwapMax": "0",
    "CPUWeight": "59",
    "CPUQuotaPerSecUSec": "130ms",
    "CPUQuotaPeriodUSec": "100ms",
    "AllowedCPUs": "0",
    "TasksMax": "77",
    "IOWeight": "4950",
    "OOMPolicy": "kill",
}
WRITTEN = {
    "memory.max": str(64 << 20),
    "memory.low": str(32 << 20),
    "memory.high": str(48 << 20),
    "memory.swap.max": "0",
    "memory.oom.group": "1",
    "cpu.weight": "59",
    "cpu.max": "13000 100000",
    "cpuset.cpus": "0",
    "pids.max": "77",
}


def limited(resources: dict[str, Any]) -> Any:
    return lambda config: config["linux"].setdefault("resources", {}).update(resources)


def written(path: Path, names: Any) -> dict[str, str]:
    return {name: (path / name).read_text().strip() for name in names}


@pytest.mark.guest
def test_every_limit_that_systemd_knows(scopes: Scopes) -> None:
    """systemd has them as its own, so that they outlive its daemon-reload."""
    bundle = scopes.bundle("sleep", change=limited(RESOURCES))
    done = scopes("create", "-b", bundle, "a")
    assert (done.returncode, done.stderr) == (0, "")
    shown = scopes.show(scopes.unit(bundle))
    path = scopes.slice() / scopes.unit(bundle)
    assert {name: shown[name] for name in SHOWN} == SHOWN
    assert written(path, WRITTEN) == WRITTEN
    scopes.systemctl("daemon-reload")
    assert written(path, WRITTEN) == WRITTEN


@pytest.mark.guest
def test_limits_of_a_user(either: Scopes) -> None:
    """A user's systemd has memory and pids by default."""
    bundle = either.bundle("sleep", change=limited({"memory": {"limit": 64 << 20}, "pids": {"limit": 77}}))
    done = either("create", "-b", bundle, "a")
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"memory.max": str(64 << 20), "pids.max": "77"}
    assert written(either.slice() / either.unit(bundle), expected) == expected
    shown = either.show(either.unit(bundle))
    assert (shown["MemoryMax"], shown["TasksMax"]) == (str(64 << 20), "77")


@pytest.mark.booted
def test_a_controller_that_is_not_there(either: Scopes) -> None:
    """The error names the property, the controller and what to do; the scope is gone."""
    done = either("create", "-b", either.bundle("sleep", change=limited({"memory": {"limit": 64 << 20}})), "a")
    assert done.returncode == 1
    assert "cannot set linux.resources.memory.limit (memory controller)" in done.stderr
    assert "pointer: /linux/resources/memory/limit" in done.stderr
    assert "the memory controller is not available here" in done.stderr
    assert ("Delegate=cpu cpuset io memory pids" in done.stderr) is either.user
    assert either.units() == []


@pytest.mark.booted
def test_the_plan_shows_the_properties(scopes: Scopes) -> None:
    bundle = scopes.bundle("sleep", change=limited(RESOURCES))
    done = run([scopes.pyoci, "--systemd-cgroup", "plan", "-b", bundle, "a"])
    assert (done.returncode, done.stderr) == (0, "")
    [line] = [line for line in done.stdout.splitlines() if "let systemd start" in line]
    for text in ("MemoryMax=67108864", "CPUQuotaPerSecUSec=130000", "AllowedCPUs=01", "OOMPolicy=kill", "TasksMax=77"):
        assert text in line
    assert scopes.unit(bundle) in line
    assert "cpu.max=13000 100000" in done.stdout
