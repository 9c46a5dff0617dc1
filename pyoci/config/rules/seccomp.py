"""The rules of linux.seccomp (rules.py). Whether libseccomp knows a name is found out when the filter is made."""

from __future__ import annotations

from pyoci.config.rules.rule import broken, shown
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.seccomp import Seccomp, SyscallRule

ACTIONS = (
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
)
# The actions that take an errno, and the largest: libseccomp refuses what the kernel would cut, where runc cuts to 16
# bits, so that 65536 becomes success; a tracer gets a message of 16 bits.
LARGEST_ERRNO = {"SCMP_ACT_ERRNO": 4094, "SCMP_ACT_TRACE": 65535}
OPERATORS = (
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)
ARCHITECTURES = tuple(
    f"SCMP_ARCH_{name}"
    for name in (
        "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 "
        "PPC PPC64 PPC64LE S390 S390X SH SHEB PARISC PARISC64 RISCV64"
    ).split()
)
FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",  # accepted, does nothing: there is one thread
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",  # about the listener: without one it does nothing
)


def violations(seccomp: Seccomp) -> Iterator[ConfigError]:
    """Every rule that the profile breaks."""
    pointer = seccomp.pointer
    for index, flag in enumerate(seccomp.flags or ()):
        if flag not in FLAGS:
            message, hint = f"seccomp flag {shown(flag)} is not known to runc", "use one of " + ", ".join(FLAGS)
            yield ConfigError(message, pointer=f"{pointer}/flags/{index}", hint=hint)
    for index, name in enumerate(seccomp.architectures):
        if name not in ARCHITECTURES:
            message, hint = (
                f"string {shown(name)} is not a valid arch for seccomp",
                "use one of " + ", ".join(ARCHITECTURES),
            )
            yield ConfigError(message, pointer=f"{pointer}/architectures/{index}", hint=hint)
    yield from _action(seccomp.default_action, seccomp.default_errno, pointer, "defaultAction", "defaultErrnoRet")
    if seccomp.default_action == "SCMP_ACT_NOTIFY":
        hint = "use it in a rule"
        message = "SCMP_ACT_NOTIFY cannot be used as default action"
        yield ConfigError(message, pointer=f"{pointer}/defaultAction", hint=hint)
    for rule in seccomp.syscalls:
        yield from _rule(rule)
    yield from _listener(seccomp)


def _action(name: str, errno: int | None, pointer: str, name_key: str, errno_key: str) -> Iterator[ConfigError]:
    if name not in ACTIONS:
        message, hint = f"string {shown(name)} is not a valid action for seccomp", "use one of " + ", ".join(ACTIONS)
        yield ConfigError(message, pointer=f"{pointer}/{name_key}", hint=hint)
        return
    if errno is None:
        return
    largest = LARGEST_ERRNO.get(name)
    if largest is None:
        message = f"seccomp: action {name} does not support an errno"
        yield ConfigError(message, pointer=f"{pointer}/{errno_key}", hint="remove it, or use SCMP_ACT_ERRNO")
    elif errno > largest:
        message = f"seccomp: {errno} is larger than {largest}, the largest errno of {name}"
        yield ConfigError(message, pointer=f"{pointer}/{errno_key}", hint="see errno(3) for the numbers")


def _rule(rule: SyscallRule) -> Iterator[ConfigError]:
    yield from _action(rule.action, rule.errno, rule.pointer, "action", "errnoRet")
    if not rule.names:
        yield broken(f"{rule.pointer}/names", "must have at least 1 item", "remove the rule")
    if "" in rule.names:
        pointer = f"{rule.pointer}/names/{rule.names.index('')}"
        yield ConfigError("empty string is not a valid syscall", pointer=pointer, hint="remove it")
    if rule.action == "SCMP_ACT_NOTIFY" and "write" in rule.names:
        message = "SCMP_ACT_NOTIFY cannot be used for the write syscall"
        hint = "the listener's descriptor is handed over with write"
        yield ConfigError(message, pointer=f"{rule.pointer}/names/{rule.names.index('write')}", hint=hint)
    for index, argument in enumerate(rule.args):
        pointer = f"{rule.pointer}/args/{index}"
        if argument.op not in OPERATORS:
            message = f"string {shown(argument.op)} is not a valid operator for seccomp"
            yield ConfigError(message, pointer=f"{pointer}/op", hint="use one of " + ", ".join(OPERATORS))
        if argument.index > 5:
            message = f"seccomp: syscall argument {argument.index} does not exist, they are 0 to 5"
            yield ConfigError(message, pointer=f"{pointer}/index")


def _listener(seccomp: Seccomp) -> Iterator[ConfigError]:
    pointer = seccomp.pointer
    if seccomp.notifies() and not seccomp.listener_path:
        hint = "SCMP_ACT_NOTIFY needs an agent's socket: set listenerPath"
        yield ConfigError("seccomp listenerPath is not set", pointer=pointer, hint=hint)
    if seccomp.listener_metadata and not seccomp.listener_path:
        yield broken(f"{pointer}/listenerMetadata", "must not be set without listenerPath", "remove it")
