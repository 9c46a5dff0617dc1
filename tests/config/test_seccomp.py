"""linux.seccomp, read."""

from __future__ import annotations

from pyoci.config.node import Node
from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule, read_seccomp


def test_absent() -> None:
    assert read_seccomp(None) is None


def test_everything() -> None:
    argument = {"index": 1, "value": 2**64 - 1, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}
    value = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "listenerPath": "/l",
        "listenerMetadata": "m",
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [argument]},
        ],
    }
    pointer = "/linux/seccomp/syscalls"
    assert read_seccomp(Node(value, "/linux/seccomp")) == Seccomp(
        pointer="/linux/seccomp",
        default_action="SCMP_ACT_ERRNO",
        default_errno=38,
        architectures=("SCMP_ARCH_X86_64",),
        flags=("SECCOMP_FILTER_FLAG_LOG",),
        listener_path="/l",
        listener_metadata="m",
        syscalls=(
            SyscallRule(pointer=f"{pointer}/0", names=("read", "write"), action="SCMP_ACT_ALLOW", errno=None, args=()),
            SyscallRule(
                pointer=f"{pointer}/1",
                names=("clone",),
                action="SCMP_ACT_ERRNO",
                errno=0,
                args=(
                    SyscallArg(
                        pointer=f"{pointer}/1/args/0", index=1, value=2**64 - 1, value_two=3, op="SCMP_CMP_MASKED_EQ"
                    ),
                ),
            ),
        ),
    )


def test_absent_flags_differ_from_none() -> None:
    for flags, expected in (({}, None), ({"flags": None}, None), ({"flags": []}, ())):
        found = read_seccomp(Node({"defaultAction": "SCMP_ACT_ALLOW", **flags}, ""))
        assert found is not None
        assert found.flags == expected
