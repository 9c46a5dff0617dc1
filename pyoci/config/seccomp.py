"""linux.seccomp: the system call filter (config-linux.md, "Seccomp")."""

from __future__ import annotations

from pyoci.config.node import UINT32, UINT64
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.node import Node


class SyscallArg(Record):
    """A condition on one argument of a system call."""

    pointer: str = ""
    index: int  # 0..5
    value: int
    value_two: int = 0  # the value to compare with when `op` is SCMP_CMP_MASKED_EQ; `value` is the mask then
    op: str  # "SCMP_CMP_EQ", ...


class SyscallRule(Record):
    """What happens to the calls in `names` when all of `args` hold."""

    pointer: str
    names: tuple[str, ...]
    action: str
    errno: int | None = None
    args: tuple[SyscallArg, ...] = ()


class Seccomp(Record):
    """The whole filter; `default_action` for every call that no rule names."""

    pointer: str = "/linux/seccomp"
    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] | None = None  # None: absent, which asks for SPEC_ALLOW where the kernel has it
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SyscallRule, ...] = ()

    def notifies(self) -> bool:
        """Whether an agent answers some of the calls."""
        return any(rule.action == "SCMP_ACT_NOTIFY" for rule in self.syscalls)


def read_seccomp(node: Node | None) -> Seccomp | None:
    """`linux.seccomp` (config-linux.md, "Seccomp"), None if there is none."""
    if node is None:
        return None
    return Seccomp(
        pointer=node.pointer,
        default_action=node.required_string("defaultAction"),
        default_errno=node.optional_integer("defaultErrnoRet", UINT32),
        architectures=node.strings("architectures"),
        flags=node.optional_strings("flags"),
        listener_path=node.string("listenerPath"),
        listener_metadata=node.string("listenerMetadata"),
        syscalls=tuple([_syscall(rule) for rule in node.children("syscalls")]),
    )


def _syscall(node: Node) -> SyscallRule:
    return SyscallRule(
        pointer=node.pointer,
        names=node.strings("names"),
        action=node.required_string("action"),
        errno=node.optional_integer("errnoRet", UINT32),
        args=tuple([_argument(argument) for argument in node.children("args")]),
    )


def _argument(node: Node) -> SyscallArg:
    return SyscallArg(
        pointer=node.pointer,
        index=node.required_integer("index", UINT32),
        value=node.required_integer("value", UINT64),
        value_two=node.integer("valueTwo", UINT64),
        op=node.required_string("op"),
    )
