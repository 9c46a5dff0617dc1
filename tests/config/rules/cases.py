"""Shared by the tests of the rules: a valid config, how to change it, and what the rules say about the result."""

from __future__ import annotations

import copy
from typing import Any

from pyoci import config
from pyoci.config.rules import rules

Changes = list[tuple[str, Any]]  # see `changed`
Said = list[tuple[str, str]]  # pointer and message of every broken rule; see `spelled`

ALL_NAMESPACES = [{"type": type} for type in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")]
MAP = [{"containerID": 0, "hostID": 100000, "size": 65536}]
VALID: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "h",
    "domainname": "d",
    "process": {"cwd": "/", "args": ["sh"], "env": ["PATH=/bin", "EMPTY="], "user": {"uid": 0, "gid": 0}},
    "mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["ro", "tmpcopyup"]}],
    "linux": {
        "namespaces": ALL_NAMESPACES,
        "uidMappings": MAP,
        "gidMappings": MAP,
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
    },
}
WITHOUT = object()  # as the value in a change: the member is removed


def changed(*changes: tuple[str, Any]) -> dict[str, Any]:
    """VALID with some members set, each by a path with dots (numbers are indices)."""
    raw = copy.deepcopy(VALID)
    for path, value in changes:
        target: Any = raw
        *parents, last = path.split(".")
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
        if value is WITHOUT:
            del target[last]
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return raw


def found(*changes: tuple[str, Any]) -> Said:
    """Pointer and message of every rule that the changed config breaks."""
    return [(error.pointer, error.message) for error in rules.violations(config.read(changed(*changes)))]


def namespaces(*left_out: str, **paths: str) -> list[dict[str, str]]:
    """All namespaces but some, some of them by path."""
    every = [dict(entry) for entry in ALL_NAMESPACES if entry["type"] not in left_out]
    for entry in every:
        if entry["type"] in paths:
            entry["path"] = paths[entry["type"]]
    return every


def ids(container: int, host: int, size: int) -> dict[str, int]:
    return {"containerID": container, "hostID": host, "size": size}


def mount(*options: str, **members: Any) -> list[dict[str, Any]]:
    return [{"destination": "/m", "source": "/s", "options": list(options), **members}]


def no_user_namespace(*left_out: str) -> Changes:
    """The changes that take away the user namespace and what depends on it, and other namespaces."""
    return [
        ("linux.namespaces", namespaces("user", *left_out)),
        ("linux.uidMappings", WITHOUT),
        ("linux.gidMappings", WITHOUT),
    ]


def spelled(said: Said) -> Said:
    """`~ text` stands for `config.json#POINTER: text`, the form of rules for which runc has no words."""
    return [(pointer, text.replace("~ ", f"config.json#{pointer}: ", 1)) for pointer, text in said]
