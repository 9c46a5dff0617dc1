"""What `validate` warns of in a config that breaks no rule."""

from __future__ import annotations

from typing import Any

import pytest

from pyoci import config
from pyoci.config import advice
from tests.config.rules.cases import Changes, changed, mount

CAP = "process.capabilities"
ALL = ("bounding", "effective", "permitted", "inheritable", "ambient")


def given(*changes: tuple[str, Any]) -> list[tuple[str, str]]:
    """Pointer and reason of every warning about the changed config."""
    return [(found.pointer, found.reason) for found in advice.warnings(config.read(changed(*changes)))]


def memory(**members: int) -> Changes:
    return [("linux.resources.memory", members)]


def cpu(**members: int) -> Changes:
    return [("linux.resources.cpu", members)]


def device(path: str, **members: Any) -> dict[str, Any]:
    return {"path": path, "type": "c", "major": 1, "minor": 3, **members}


def at(key: str) -> str:
    return f"/linux/resources/{key}"


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ([], []),
        ([("ociVersion", "2.0.0")], [("/ociVersion", '"2.0.0" is no version 1.x of the specification')]),
        ([("ociVersion", "1.99.0-dev")], []),
        (
            [("mounts", mount("bind", destination="data"))],
            [("/mounts/0/destination", "a relative path is deprecated")],
        ),
        (
            [("mounts", mount("nosiud", "size=1m", type="tmpfs"))],
            [("/mounts/0/options/0", "'nosiud' is none of the runtime's options and is left to the file system")],
        ),
        ([("mounts", mount("inode64", "mode=755", "huge", type="tmpfs"))], []),
        ([("hooks.prestart", [{"path": "/h"}])], [("/hooks/prestart", "is deprecated")]),
        ([("hooks.createRuntime", [{"path": "/h"}])], []),
        (
            [(CAP, {"bounding": ["NET_ADMIN"]})],
            [
                (
                    "/process/capabilities",
                    "ignoring unknown capabilities: NET_ADMIN (did you mean CAP_NET_ADMIN?)",
                )
            ],
        ),
        ([(CAP, {name: ["CAP_KILL"] for name in ALL})], []),
        (
            [("process.consoleSize", {"height": 5, "width": 5})],
            [("/process/consoleSize", "is ignored without terminal")],
        ),
        ([("process.consoleSize", {"height": 5, "width": 5}), ("process.terminal", True)], []),
        (
            [("linux.devices", [device("/dev/a"), device("/dev/b"), device("/dev/c", minor=5)])],
            [("/linux/devices/1", "is the same device as /linux/devices/0")],
        ),
        (
            [("linux.resources.devices", [{"allow": True, "access": "rwa"}, {"allow": True, "access": "rwm"}])],
            [(at("devices/0/access"), "letters other than r, w and m are ignored")],
        ),
        (memory(kernel=5), [(at("memory/kernel"), "is not recommended, and is ignored")]),
        (memory(limit=9, swap=8), [(at("memory/swap"), "8 is less than limit, 9")]),
        (memory(limit=9, swap=9, reservation=9), []),
        (memory(limit=9, swap=-1), []),
        (memory(swap=8), [(at("memory/swap"), "is set without limit")]),
        (memory(limit=9, reservation=10), [(at("memory/reservation"), "10 is more than limit, 9")]),
        (memory(limit=-1, reservation=10), []),
        (cpu(quota=999), [(at("cpu/quota"), "999 is less than 1000")]),
        (cpu(quota=1000, period=1000, burst=1000), []),
        (cpu(quota=-1, period=1_000_000), []),
        (cpu(period=999), [(at("cpu/period"), "999 is not between 1000 and 1000000")]),
        (cpu(quota=5000, burst=5001), [(at("cpu/burst"), "5001 is more than quota, 5000")]),
        (cpu(burst=5), [(at("cpu/burst"), "is set without quota")]),
        (cpu(idle=1, shares=5), [(at("cpu/shares"), "have no effect beside idle")]),
        (
            cpu(realtimeRuntime=6, realtimePeriod=5),
            [(at("cpu/realtimeRuntime"), "6 is more than realtimePeriod, 5")],
        ),
        (
            [("linux.personality", {"domain": "LINUX", "flags": ["X"]})],
            [("/linux/personality/flags", "are ignored")],
        ),
    ],
)
def test_warnings(changes: Changes, warnings: list[tuple[str, str]]) -> None:
    assert given(*changes) == warnings
