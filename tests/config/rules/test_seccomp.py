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
        {"defaultAction": "KILL"},
        [(f"{P}/defaultAction", "string KILL is not a valid action for seccomp")],
    ),
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
        {"architectures": ["SCMP_ARCH_X86", "X86_64"]},
        [(f"{P}/architectures/1", "string X86_64 is not a valid arch for seccomp")],
    ),
    (
        {"flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_NEW_LISTENER"]},
        [(f"{P}/flags/1", "seccomp flag SECCOMP_FILTER_FLAG_NEW_LISTENER is not known to runc")],
    ),
    ({"syscalls": call("ALLOW")}, [(f"{P}/syscalls/0/action", "string ALLOW is not a valid action for seccomp")]),
    (
        {"syscalls": call("SCMP_ACT_KILL", errnoRet=1)},
        [(f"{P}/syscalls/0/errnoRet", "seccomp: action SCMP_ACT_KILL does not support an errno")],
    ),
    (
        {"syscalls": call("SCMP_ACT_TRACE", errnoRet=65536)},
        [(f"{P}/syscalls/0/errnoRet", "seccomp: 65536 is larger than 65535, the largest errno of SCMP_ACT_TRACE")],
    ),
    ({"syscalls": call(names=[])}, [(f"{P}/syscalls/0/names", "~ must have at least 1 item")]),
    ({"syscalls": call(names=["read", ""])}, [(f"{P}/syscalls/0/names/1", "empty string is not a valid syscall")]),
    (
        {"syscalls": call(args=[{"index": 6, "value": 0, "op": "SCMP_CMP_XX"}])},
        [
            (f"{P}/syscalls/0/args/0/op", "string SCMP_CMP_XX is not a valid operator for seccomp"),
            (f"{P}/syscalls/0/args/0/index", "seccomp: syscall argument 6 does not exist, they are 0 to 5"),
        ],
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


@pytest.mark.parametrize("action", seccomp.ACTIONS)
@pytest.mark.parametrize("operator", seccomp.OPERATORS)
def test_every_action_and_operator(action: str, operator: str) -> None:
    rules = call(action, args=[{"index": 0, "value": 1, "op": operator}])
    assert found(syscalls=rules, listenerPath="/s") == []


def test_the_names_are_the_schemas() -> None:
    from pyoci.config.schema.documents import DOCUMENTS

    definitions = DOCUMENTS["defs-linux.json"]["definitions"]
    assert set(seccomp.ACTIONS) == set(definitions["SeccompAction"]["enum"])
    assert set(seccomp.OPERATORS) == set(definitions["SeccompOperators"]["enum"])
    assert set(seccomp.ARCHITECTURES) == set(definitions["SeccompArch"]["enum"])
    assert set(seccomp.FLAGS) == set(definitions["SeccompFlag"]["enum"])
