"""linux.seccomp compiled to BPF by libseccomp (config-linux.md, "Seccomp"). Errors name the property."""

from __future__ import annotations

import errno

from ..errors import ConfigError, UnsupportedError, system_call
from ..kernel import libseccomp
from . import seccomp_stub

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.seccomp import Seccomp, SyscallArg, SyscallRule

    Condition = tuple[int, int, int, int]

__all__ = ["ACTIONS", "ARCHITECTURES", "OPERATORS", "compile"]

# libseccomp's numbers are part of its ABI; the low 16 bits of ERRNO and TRACE hold the errno.
_KILL_THREAD, _ERRNO, _TRACE, _NOTIFY, _LOG, _ALLOW = 0, 0x00050000, 0x7FF00000, 0x7FC00000, 0x7FFC0000, 0x7FFF0000
ACTIONS = {
    "SCMP_ACT_KILL": _KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": _KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO,
    "SCMP_ACT_TRACE": _TRACE,
    "SCMP_ACT_NOTIFY": _NOTIFY,
    "SCMP_ACT_LOG": _LOG,
    "SCMP_ACT_ALLOW": _ALLOW,
}
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
ARCHITECTURES = (
    *("AARCH64", "ARM", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32"),
    *(
        "PARISC",
        "PARISC64",
        "PPC",
        "PPC64",
        "PPC64LE",
        "RISCV64",
        "S390",
        "S390X",
        "SH",
        "SHEB",
        "X32",
        "X86",
        "X86_64",
    ),
)
_MAX_ERRNO = 4094  # libseccomp refuses what the kernel would cut; runc cuts to 16 bits, so that 65536 becomes success
_MAX_TRACE = 0xFFFF  # a message for the tracer
_ARGUMENTS = 6
_MANY_RULES = 32  # from here on a binary tree is worth its instructions; it also needs at least one rule


def compile(profile: Seccomp) -> bytes:
    """The whole program: the -ENOSYS stub where the default action denies, then libseccomp's.

    ConfigError: a name or number that means nothing; UnsupportedError: SCMP_ACT_NOTIFY.
    """
    default = _default_action(profile)
    architectures = [
        _architecture(name, f"{profile.pointer}/architectures/{at}") for at, name in enumerate(profile.architectures)
    ]
    with libseccomp.Filter(default) as made:
        for at, arch in enumerate(architectures):
            try:
                made.add_architecture(arch)
            except OSError as error:
                raise _refused(
                    "error adding architecture to seccomp filter", f"{profile.pointer}/architectures/{at}", error
                ) from None
        rules = sum(_add(made, rule, default) for rule in profile.syscalls)
        if rules > _MANY_RULES:
            made.optimize()
        bpf = made.export()
    return _stub(profile, default, architectures) + bpf


def _default_action(profile: Seccomp) -> int:
    action = _action(profile.default_action, profile.default_errno, profile.pointer, "defaultAction", "defaultErrnoRet")
    if action == _NOTIFY:
        raise ConfigError(
            "SCMP_ACT_NOTIFY cannot be used as default action", pointer=f"{profile.pointer}/defaultAction"
        )
    return action


def _action(name: str, code: int | None, pointer: str, name_key: str, code_key: str) -> int:
    """SCMP_ACT_* of a name and an errno (None: EPERM where the action carries one)."""
    action = ACTIONS.get(name)
    if action is None:
        raise ConfigError(f"string {name} is not a valid action for seccomp", pointer=f"{pointer}/{name_key}")
    if action not in (_ERRNO, _TRACE):
        if code is not None:
            raise ConfigError(f"seccomp: action {name} does not support an errno", pointer=f"{pointer}/{code_key}")
        return action
    limit = _MAX_ERRNO if action == _ERRNO else _MAX_TRACE
    if code is not None and code > limit:
        raise ConfigError(
            f"seccomp: {code} is larger than {limit}, the largest errno of {name}", pointer=f"{pointer}/{code_key}"
        )
    return action | (errno.EPERM if code is None else code)


def _architecture(name: str, pointer: str) -> int:
    known = name.removeprefix("SCMP_ARCH_")
    if known == name or known not in ARCHITECTURES:
        raise ConfigError(f"string {name} is not a valid arch for seccomp", pointer=pointer)
    arch = libseccomp.architecture(known.lower())
    if not arch:
        raise ConfigError(
            f"string {name} is not a valid arch for seccomp",
            pointer=pointer,
            hint=f"libseccomp {libseccomp.version()}, the installed one, does not know it",
        )
    return arch


def _add(made: libseccomp.Filter, rule: SyscallRule, default: int) -> int:
    """Add what `rule` asks for; how many rules libseccomp got."""
    action = _action(rule.action, rule.errno, rule.pointer, "action", "errnoRet")
    if action == _NOTIFY:
        _refuse_notify(rule)
    alternatives = _alternatives(rule)
    added = 0
    for at, name in enumerate(rule.names):
        if not name:
            raise ConfigError("empty string is not a valid syscall", pointer=f"{rule.pointer}/names/{at}")
        call = libseccomp.number(name)
        if call is None or action == default:  # libseccomp refuses a rule that changes nothing
            continue
        for conditions in alternatives:
            try:
                made.add_rule(action, call, conditions)
            except OSError as error:
                raise _refused(
                    f"error adding seccomp filter rule for syscall {name}", f"{rule.pointer}/names/{at}", error
                ) from None
            added += 1
    return added


def _refuse_notify(rule: SyscallRule) -> None:
    pointer = f"{rule.pointer}/action"
    if "write" in rule.names:
        raise ConfigError("SCMP_ACT_NOTIFY cannot be used for the write syscall", pointer=pointer)
    raise UnsupportedError("seccomp: SCMP_ACT_NOTIFY is not supported yet", pointer=pointer)


def _alternatives(rule: SyscallRule) -> list[list[Condition]]:
    """Lists of conditions, one of which must hold in full.

    libseccomp takes one condition per argument. Two for the same one cannot both be meant to narrow the rule, so
    then each condition is a rule of its own, which is how profiles list several values of one argument.
    """
    conditions = [_condition(argument, f"{rule.pointer}/args/{at}") for at, argument in enumerate(rule.args)]
    if len({condition[0] for condition in conditions}) < len(conditions):
        return [[condition] for condition in conditions]
    return [conditions]


def _condition(argument: SyscallArg, pointer: str) -> Condition:
    operator = OPERATORS.get(argument.op)
    if operator is None:
        raise ConfigError(f"string {argument.op} is not a valid operator for seccomp", pointer=f"{pointer}/op")
    if argument.index >= _ARGUMENTS:
        raise ConfigError(
            f"seccomp: syscall argument {argument.index} does not exist, they are 0 to 5", pointer=f"{pointer}/index"
        )
    return (argument.index, operator, argument.value, argument.value_two)


def _stub(profile: Seccomp, default: int, architectures: list[int]) -> bytes:
    """-ENOSYS for calls the profile's author could not know, unless the default lets them pass or says so itself.

    A tracer is taken as able to answer for them.
    """
    if default in (_ALLOW, _LOG, _ERRNO | errno.ENOSYS) or default & 0x7FFF0000 == _TRACE:
        return b""
    names = [name for rule in profile.syscalls for name in rule.names]
    largest: dict[int, int] = {}
    for arch in {libseccomp.native_architecture(), *architectures}:
        numbers = [found for name in names if (found := libseccomp.number(name, arch)) is not None and found >= 0]
        if numbers:
            largest[arch] = max(numbers)
    return seccomp_stub.stub(largest)


def _refused(what: str, pointer: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"unable to init seccomp: {what}: {(error.strerror or '').lower()}",
        pointer=pointer,
        call=system_call(error),
        errno=error.errno or 0,
    )
