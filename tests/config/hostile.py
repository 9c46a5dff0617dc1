"""Config files of any size: what somebody writes who wants a runtime to take minutes. Name -> function of a number."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from pyoci.cli import spec

MAPPINGS = [{"containerID": 0, "hostID": 1000, "size": 1}]
THROTTLED = ("throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice")
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
NATIVE = {"defaultAction": "SCMP_ACT_ERRNO"}


def _with(place: str, value: Any, **linux: Any) -> str:
    """The example with `value` at the pointer `place`; `linux`: more members of linux."""
    raw = copy.deepcopy(spec.example(v2=False))
    raw["linux"].update(linux)
    node: Any = raw
    *parents, last = place.split("/")[1:]
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
    return json.dumps(raw)


def _user(place: str, value: Any) -> str:
    """The same, with a user namespace."""
    namespaces = [{"type": name} for name in ("pid", "mount", "uts", "user")]
    mappings = dict.fromkeys(("uidMappings", "gidMappings"), MAPPINGS)
    return _with(place, value, **{**mappings, "namespaces": namespaces})


def _filter(syscalls: list[dict[str, Any]], **more: Any) -> str:
    return _with("/linux/seccomp", {**NATIVE, "syscalls": syscalls, **more})


def _range(number: int, make: Callable[[int], Any]) -> list[Any]:
    return [make(index) for index in range(number)]


def _names(number: int, prefix: str, value: Any) -> dict[str, Any]:
    return {f"{prefix}{index}": value for index in range(number)}


def _mapping(index: int) -> dict[str, int]:
    return {"containerID": index, "hostID": index, "size": 1}


def _device(index: int, **more: Any) -> dict[str, Any]:
    return {"major": 8, "minor": index, **more}


SHAPES: dict[str, Callable[[int], str]] = {
    "keys given twice": lambda n: "{" + ",".join(f'"k{i}":1,"k{i}":2' for i in range(n)) + "}",
    "a key given twice at the end": lambda n: "{" + ",".join(f'"k{i}":1' for i in range(n)) + ',"k0":1}',
    "nulls": lambda n: '{"a":[' + ",".join(['{"a":null}'] * n) + "]}",
    "escapes": lambda n: '{"a":[' + ",".join(['"\\u0041"'] * n) + "]}",
    "levels": lambda n: '{"a":[' + ",".join(["[" * 50 + "]" * 50] * n) + "]}",
    "mounts": lambda n: _with("/mounts", _range(n, lambda i: {"destination": f"/m{i}", "type": "tmpfs"})),
    "mounts of one place": lambda n: _with("/mounts", [{"destination": "/m", "type": "tmpfs"}] * n),
    "mounts without anything": lambda n: _with("/mounts", [{}] * n),
    "mounts without a place": lambda n: _with("/mounts", [{"destination": ""}] * n),
    "mount options": lambda n: _with(
        "/mounts", [{"destination": "/m", "type": "tmpfs", "options": ["sync", "rslave", "ro", "a=1"] * n}]
    ),
    "mappings of mounts": lambda n: _user(
        "/mounts",
        [
            {
                "destination": "/m", "source": "/s", "options": ["bind", "idmap"],
                "uidMappings": _range(n, _mapping), "gidMappings": MAPPINGS,
            }
        ],
    ),
    "annotations": lambda n: _with("/annotations", _names(n, "a", "x")),
    "annotations of another type": lambda n: _with("/annotations", _names(n, "a", 1)),
    "env": lambda n: _with("/process/env", _range(n, lambda i: f"A{i}=1")),
    "env without values": lambda n: _with("/process/env", _range(n, lambda i: f"A{i}")),
    "rlimits": lambda n: _with(
        "/process/rlimits", _range(n, lambda i: {"type": "RLIMIT_" + chr(65 + i % 26), "soft": 1, "hard": 1})
    ),
    "capabilities": lambda n: _with("/process/capabilities", {"bounding": _range(n, lambda i: f"CAP_{i}")}),
    "groups": lambda n: _user("/process/user", {"uid": 0, "gid": 0, "additionalGids": [0] * n}),
    "hooks": lambda n: _with("/hooks", {kind: [{"path": "/bin/true"}] * n for kind in HOOKS}),
    "namespaces and sysctls": lambda n: _with(
        "/linux/sysctl", _names(n, "net.a", "1"), namespaces=[{"type": "mount"}] * n
    ),
    "id mappings": lambda n: _user("/linux/uidMappings", _range(n, _mapping)),
    "devices": lambda n: _with("/linux/devices", _range(n, lambda i: {"path": f"/dev/x{i}", "type": "p"})),
    "device rules": lambda n: _with("/linux/resources/devices", _range(n, lambda i: {"allow": True, "access": "r"})),
    "masked paths": lambda n: _with("/linux/maskedPaths", _range(n, lambda i: f"/proc/x{i}")),
    "read-only paths": lambda n: _with("/linux/readonlyPaths", ["/proc/x"] * n),
    "network devices": lambda n: _with("/linux/netDevices", _names(n, "e", {}), namespaces=[{"type": "network"}]),
    "clocks": lambda n: _with("/linux/timeOffsets", _names(n, "c", {})),
    "unified": lambda n: _with("/linux/resources/unified", _names(n, "memory.x", "1")),
    "huge pages": lambda n: _with(
        "/linux/resources/hugepageLimits", _range(n, lambda i: {"pageSize": f"{i + 1}MB", "limit": 1})
    ),
    "rdma": lambda n: _with("/linux/resources/rdma", _names(n, "d", {"hcaHandles": 1})),
    "block devices": lambda n: _with(
        "/linux/resources/blockIO",
        {name: _range(n, lambda i: _device(i, rate=1)) for name in THROTTLED}
        | {"weightDevice": _range(n, lambda i: _device(i, weight=100))},
    ),
    "interfaces": lambda n: _with(
        "/linux/resources/network", {"priorities": _range(n, lambda i: {"name": f"e{i}", "priority": 1})}
    ),
    "nodes": lambda n: _with("/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": ",".join(["0-7"] * n)}),
    "CPUs": lambda n: _with("/process/execCPUAffinity", {"initial": ",".join(["0-7"] * n)}),
    "names of calls": lambda n: _filter([{"names": ["read", "nobody"] * n, "action": "SCMP_ACT_ALLOW"}]),
    "rules of calls": lambda n: _filter([{"names": ["read"], "action": "SCMP_ACT_ALLOW"}] * n),
    "architectures": lambda n: _filter([], architectures=["SCMP_ARCH_X86"] * n),
    "unknown architectures": lambda n: _filter([], architectures=["SCMP_ARCH_NO"] * n),
    "unknown keys": lambda n: _with("/process", {"cwd": "/", "args": ["a"], **_names(n, "arg", 1)}),
    "keys in another case": lambda n: _with("/mounts", [{"Destination": "/m", "TYPE": "tmpfs"}] * n),
}  # fmt: skip
