"""The rules of linux.seccomp (rules/rules.py). Actions, operators, architectures and flags are the schema's business.

Whether libseccomp knows a name is found out when the filter is made.
"""

from __future__ import annotations

from pyoci.config.node import broken
from pyoci.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyoci.config.seccomp import Seccomp, SyscallRule

# The actions that take an errno, and the largest: libseccomp refuses what the kernel would cut, where runc cuts to 16
# bits, so that 65536 becomes success; a tracer gets a message of 16 bits.
LARGEST_ERRNO = {"SCMP_ACT_ERRNO": 4094, "SCMP_ACT_TRACE": 65535}


def violations(seccomp: Seccomp) -> Iterator[ConfigError]:
    """Every rule that the profile breaks."""
    pointer = seccomp.pointer
    yield from _errno(seccomp.default_action, seccomp.default_errno, f"{pointer}/defaultErrnoRet")
    if seccomp.default_action == "SCMP_ACT_NOTIFY":
        hint = "use it in a rule"
        message = "SCMP_ACT_NOTIFY cannot be used as default action"
        yield ConfigError(message, pointer=f"{pointer}/defaultAction", hint=hint)
    for rule in seccomp.syscalls:
        yield from _rule(rule)
    yield from _listener(seccomp)


def _errno(name: str, errno: int | None, pointer: str) -> Iterator[ConfigError]:
    if errno is None:
        return
    largest = LARGEST_ERRNO.get(name)
    if largest is None:
        message = f"seccomp: action {name} does not support an errno"
        yield ConfigError(message, pointer=pointer, hint="remove it, or use SCMP_ACT_ERRNO")
    elif errno > largest:
        message = f"seccomp: {errno} is larger than {largest}, the largest errno of {name}"
        yield ConfigError(message, pointer=pointer, hint="see errno(3) for the numbers")


def _rule(rule: SyscallRule) -> Iterator[ConfigError]:
    yield from _errno(rule.action, rule.errno, f"{rule.pointer}/errnoRet")
    if "" in rule.names:
        pointer = f"{rule.pointer}/names/{rule.names.index('')}"
        yield ConfigError("empty string is not a valid syscall", pointer=pointer, hint="remove it")
    if rule.action == "SCMP_ACT_NOTIFY" and "write" in rule.names:
        message = "SCMP_ACT_NOTIFY cannot be used for the write syscall"
        hint = "the listener's descriptor is handed over with write"
        yield ConfigError(message, pointer=f"{rule.pointer}/names/{rule.names.index('write')}", hint=hint)
    for index, argument in enumerate(rule.args):
        pointer = f"{rule.pointer}/args/{index}"
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
