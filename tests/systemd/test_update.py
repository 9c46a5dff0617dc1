"""update, pause and ps of containers whose cgroup systemd has made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.conftest import Done, Scopes
from tests.systemd.test_limits import limited, written

MIB = 1 << 20


def update(scopes: Scopes, resources: dict[str, Any]) -> Done:
    file = scopes.directory / "resources.json"
    file.write_text(json.dumps(resources))
    return scopes("update", "--resources", str(file), "a")


def place(scopes: Scopes, bundle: str) -> Path:
    return scopes.slice() / scopes.unit(bundle)


def run(scopes: Scopes, resources: dict[str, Any]) -> str:
    bundle = scopes.bundle("sleep", change=limited(resources))
    assert scopes("run", "-d", "-b", bundle, "a").stderr == ""
    return bundle


@pytest.mark.booted
def test_pause_update_and_ps(either: Scopes) -> None:
    bundle = run(either, {})
    pid = either.state("a")["pid"]
    assert json.loads(either("ps", "-f", "json", "a").stdout) == [pid]
    assert either("pause", "a").stderr == ""
    assert either.state("a")["status"] == "paused"
    assert "frozen 1" in (place(either, bundle) / "cgroup.events").read_text()
    assert update(either, {"unified": {"cgroup.max.depth": "5"}}).stderr == ""
    assert (place(either, bundle) / "cgroup.max.depth").read_text() == "5\n"
    refused = update(either, {"unified": {"cgroup.max.depth": "7", "cgroup.max.descendants": "none"}})
    assert refused.returncode == 1 and "cgroup.max.descendants" in refused.stderr
    assert (place(either, bundle) / "cgroup.max.depth").read_text() == "5\n"
    assert either.state("a")["status"] == "paused"
    assert either("resume", "a").stderr == ""
    assert either.state("a")["status"] == "running"


@pytest.mark.booted
def test_devices_are_systemds(either: Scopes) -> None:
    run(either, {})
    done = update(either, {"devices": [{"allow": True, "access": "rwm"}]})
    assert done.returncode == 0
    assert "/devices: ignored: update cannot change it" in done.stderr


@pytest.mark.guest
def test_properties_and_files(either: Scopes) -> None:
    """systemd knows them: a daemon-reload writes the same again. A refused update leaves neither changed."""
    bundle = run(either, {"memory": {"limit": 64 * MIB}, "pids": {"limit": 77}})
    done = either("update", "--memory", "96m", "--memory-swap", "96m", "--pids-limit", "50", "a")
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"memory.max": str(96 * MIB), "memory.swap.max": "0", "pids.max": "50"}
    assert written(place(either, bundle), expected) == expected
    either.systemctl("daemon-reload")
    assert written(place(either, bundle), expected) == expected
    unified = {"memory.high": str(48 * MIB), "cgroup.max.descendants": "none"}
    refused = update(either, {"memory": {"limit": 128 * MIB, "swap": 256 * MIB}, "unified": unified})
    assert refused.returncode == 1 and "cgroup.max.descendants" in refused.stderr
    expected["memory.high"] = "max"
    assert written(place(either, bundle), expected) == expected
    either.systemctl("daemon-reload")
    assert written(place(either, bundle), expected) == expected
    assert either.show(either.unit(bundle))["MemoryMax"] == str(96 * MIB)
