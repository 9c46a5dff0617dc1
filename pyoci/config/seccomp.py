"""linux.seccomp: the system call filter (config-linux.md, "Seccomp")."""

from __future__ import annotations

from ..record import Record


class SyscallArg(Record):
    index: int  # 0..5
    value: int
    value_two: int = 0  # the value to compare with when `op` is SCMP_CMP_MASKED_EQ; `value` is the mask then
    op: str  # "SCMP_CMP_EQ", ...


class SyscallRule(Record):
    pointer: str
    names: tuple[str, ...]
    action: str
    errno: int | None = None
    args: tuple[SyscallArg, ...] = ()


class Seccomp(Record):
    pointer: str = "/linux/seccomp"
    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None  # None: absent, which asks for SPEC_ALLOW where the kernel has it
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SyscallRule, ...] = ()
