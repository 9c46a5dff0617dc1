"""What a filter allows, told from the profile alone. Pure.

A filter without noNewPrivileges is loaded with CAP_SYS_ADMIN. If it allows the few calls between stage 1 and execve(2),
stage 1 loads it, and the process that the container sees never has that capability (plan/exec.py).
"""

from __future__ import annotations

from pyoci.kernel.constants import CLONE_PARENT, CLONE_PIDFD
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule

_ALLOW = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")

# What Python and the steps of plan/exec.py call from the filter on: the tests load a filter of these and no others.
# Two names stand for one thing where C libraries differ: fstat(3) is newfstatat(2) in glibc 2.36 and fstat(2) in 2.41.
NEEDED = (
    *("brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "futex", "rt_sigaction", "rt_sigprocmask"),
    *("rt_sigreturn", "gettid", "getpid", "getrandom", "sched_yield", "exit", "exit_group", "close", "close_range"),
    *("capget", "capset", "prctl", "prlimit64", "setsid", "umask", "ioctl", "read", "write", "sendmsg", "recvmsg"),
    *("chdir", "getcwd", "newfstatat", "fstat", "faccessat", "faccessat2", "openat", "statfs", "execve"),
)
EXECVE = "execve"  # makes the process the program
CLONE_FLAGS = CLONE_PARENT | CLONE_PIDFD  # of clone(2), as stage 1 calls it


class Refusal(Record):
    """How a filter keeps a call from being made. pointer: of the rule's action, or the default one."""

    action: str
    errno: int | None
    pointer: str


def refusal(seccomp: Seccomp, name: str) -> Refusal | None:
    """What happens to every call of that name, whatever its arguments; None if it is made, or in doubt.

    As the filter is compiled (seccomp/profile.py): the first rule without conditions counts that says
    anything else than the default action.
    """
    rules = _rules(seccomp, name)
    if rules and all(rule.args for rule in rules):
        return None
    default = (seccomp.default_action, seccomp.default_errno)
    action, errno, pointer = *default, f"{seccomp.pointer}/defaultAction"
    for rule in rules:
        if not rule.args and (rule.action, rule.errno) != default:
            action, errno, pointer = rule.action, rule.errno, f"{rule.pointer}/action"
            break
    if action in (*_ALLOW, "SCMP_ACT_NOTIFY"):
        return None
    return Refusal(action=action, errno=errno, pointer=pointer)


def allows_exec(seccomp: Seccomp) -> bool:
    """Whether every needed call is allowed whatever its arguments, and clone(2) with ours. In doubt it is not."""
    return all(_always(seccomp, name) for name in NEEDED) and _clone(seccomp)


def _rules(seccomp: Seccomp, name: str) -> list[SyscallRule]:
    return [rule for rule in seccomp.syscalls if name in rule.names]


def _always(seccomp: Seccomp, name: str) -> bool:
    rules = _rules(seccomp, name)
    if any(rule.action not in _ALLOW for rule in rules):
        return False
    return seccomp.default_action in _ALLOW or any(not rule.args for rule in rules)


def _clone(seccomp: Seccomp) -> bool:
    """One rule that matches decides only if no other does that says something else."""
    matching = []
    for rule in _rules(seccomp, "clone"):
        if any(argument.index for argument in rule.args):
            return False
        if all(_holds(argument, CLONE_FLAGS) for argument in rule.args):
            matching.append(rule.action in _ALLOW)
    return all(matching) if matching else seccomp.default_action in _ALLOW


def _holds(argument: SyscallArg, value: int) -> bool:
    wanted = argument.value
    if argument.op == "SCMP_CMP_MASKED_EQ":
        return value & wanted == argument.value_two
    return {
        "SCMP_CMP_NE": value != wanted,
        "SCMP_CMP_LT": value < wanted,
        "SCMP_CMP_LE": value <= wanted,
        "SCMP_CMP_EQ": value == wanted,
        "SCMP_CMP_GE": value >= wanted,
        "SCMP_CMP_GT": value > wanted,
    }[argument.op]
