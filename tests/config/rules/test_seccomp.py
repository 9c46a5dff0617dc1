"""The rules of linux.seccomp; each profile is ALLOW for everything but for the members of the case."""

from __future__ import annotations

from typing import Any

import pytest

from pyoci.config.node import Node
from pyoci.config.rules import seccomp
from pyoci.config.seccomp import read_seccomp
from tests.config.rules.cases import Said, spelled

P = "/linux/seccomp"
WAIT = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"


def found(**members: Any) -> Said:
    profile = read_seccomp(Node({"defaultAction": "SCMP_ACT_ALLOW", **members}, P))
    assert profile is not None
    return [(error.pointer, error.message) for error in seccomp.violations(profile)]


def call(action: str = "SCMP_ACT_LOG", **members: Any) -> list[dict[str, Any]]:
    return [{"names": ["read"], "action": action, **members}]


BROKEN: list[tuple[dict[str, Any], Said]] = [
    (
        {"defaultAction": "SCMP_ACT_NOTIFY"},
        [(f"{P}/defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action")],
    ),
    (
        {"defaultErrnoRet": 1},
        [(f"{P}/defaultErrnoRet", "seccomp: action SCMP_ACT_ALLOW does not support an errno")],
    ),
    (
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095},
        [(f"{P}/defaultErrnoRet", "seccomp: 4095 is larger than 4094, the largest errno of SCMP_ACT_ERRNO")],
    ),
    (
        {"syscalls": call("SCMP_ACT_KILL", errnoRet=1)},
        [(f"{P}/syscalls/0/errnoRet", "seccomp: action SCMP_ACT_KILL does not support an errno")],
    ),
    (
        {"syscalls": call("SCMP_ACT_TRACE", errnoRet=65536)},
        [(f"{P}/syscalls/0/errnoRet", "seccomp: 65536 is larger than 65535, the largest errno of SCMP_ACT_TRACE")],
    ),
    ({"syscalls": call(names=["read", ""])}, [(f"{P}/syscalls/0/names/1", "empty string is not a valid syscall")]),
    (
        {"syscalls": call(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}])},
        [(f"{P}/syscalls/0/args/0/index", "seccomp: syscall argument 6 does not exist, they are 0 to 5")],
    ),
    ({"syscalls": call("SCMP_ACT_NOTIFY")}, [(P, "seccomp listenerPath is not set")]),
    (
        {"syscalls": call("SCMP_ACT_NOTIFY", names=["read", "write"]), "listenerPath": "/s"},
        [(f"{P}/syscalls/0/names/1", "SCMP_ACT_NOTIFY cannot be used for the write syscall")],
    ),
    ({"listenerMetadata": "m"}, [(f"{P}/listenerMetadata", "~ must not be set without listenerPath")]),
]
ACCEPTED: list[dict[str, Any]] = [
    {},
    {"flags": []},
    {"flags": [WAIT]},
    {"listenerPath": "/s"},
    {"flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]},
    {"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65535},
    {"syscalls": call("SCMP_ACT_ERRNO", errnoRet=0)},
    {"syscalls": call("SCMP_ACT_NOTIFY"), "listenerPath": "/s", "listenerMetadata": "m", "flags": [WAIT]},
    {"syscalls": call(names=["no_such_call"])},
    {"syscalls": call(args=[{"index": 5, "value": 2**64 - 1, "op": "SCMP_CMP_MASKED_EQ"}])},
]


@pytest.mark.parametrize(("members", "said"), BROKEN)
def test_broken_rule(members: dict[str, Any], said: Said) -> None:
    assert found(**members) == spelled(said)


@pytest.mark.parametrize("members", ACCEPTED)
def test_accepted(members: dict[str, Any]) -> None:
    assert found(**members) == []
