"""linux.seccomp compiled to BPF, most of it by libseccomp (config-linux.md, "Seccomp"). Errors name the property."""

from __future__ import annotations

import errno

from pyoci.errors import ConfigError, system_call
from pyoci.kernel import libseccomp
from pyoci.kernel.seccomp import MAX_INSTRUCTIONS
from pyoci.record import Record
from pyoci.seccomp import conditions as conditions_of
from pyoci.seccomp import enosys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule
    from pyoci.seccomp.conditions import Condition, Rule

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
    "SCMP_CMP_NE": conditions_of.NE,
    "SCMP_CMP_LT": conditions_of.LT,
    "SCMP_CMP_LE": conditions_of.LE,
    "SCMP_CMP_EQ": conditions_of.EQ,
    "SCMP_CMP_GE": conditions_of.GE,
    "SCMP_CMP_GT": conditions_of.GT,
    "SCMP_CMP_MASKED_EQ": conditions_of.MASKED_EQ,
}
ARCHITECTURES = (
    *("AARCH64", "ARM", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32"),
    *("PARISC", "PARISC64", "PPC", "PPC64", "PPC64LE", "RISCV64", "S390", "S390X", "SH", "SHEB"),
    *("X32", "X86", "X86_64"),
)
_MULTIPLEXED = range(-299, -99)  # libseccomp's numbers for calls that socketcall (-1xx) and ipc (-2xx) can make
_MANY_RULES = 32  # from here on a binary tree is worth its instructions; it also needs at least one rule


class _Call(Record):
    """One name of one rule, ready for either compiler."""

    pointer: str
    name: str
    action: int
    alternatives: list[list[Condition]]  # one of the lists must hold in full; an empty one always does


def compile(profile: Seccomp) -> bytes:
    """The whole program: the -ENOSYS stub where the default action denies, calls with conditions, all others.

    A rule without conditions wins over those with conditions for the same call, and the first one over later ones.
    `profile` has passed the schema and the rules: what stands where it may not is found there. ConfigError: an
    architecture that libseccomp does not know, or a rule that it does not take.
    """
    default = _action(profile.default_action, profile.default_errno)
    named = [
        _architecture(name, f"{profile.pointer}/architectures/{at}") for at, name in enumerate(profile.architectures)
    ]
    architectures = list(dict.fromkeys((libseccomp.native_architecture(), *named)))
    calls = [call for rule in profile.syscalls for call in _calls(rule, default)]
    always: dict[str, _Call] = {}  # once each: libseccomp goes through all rules that it has to add another one
    for call in calls:
        if [] in call.alternatives:
            always.setdefault(call.name, call)
    conditional = [call for call in calls if call.name not in always]
    _check_size(conditional, profile.pointer)
    others = list(always.values())
    others += [call for call in conditional if _multiplexed(call.name, architectures)]
    return (
        _stub(profile, default, architectures)
        + conditions_of.conditions(_by_number(conditional, architectures), default)
        + _by_libseccomp(profile, default, named, others)
    )


def _check_size(conditional: list[_Call], pointer: str) -> None:
    """Refuse at once what cannot fit: each list of conditions takes more than one instruction."""
    count = sum(len(call.alternatives) for call in conditional)
    if count > MAX_INSTRUCTIONS:
        raise ConfigError(
            "unable to init seccomp: error loading seccomp filter into kernel: invalid argument",
            pointer=pointer,
            errno=errno.EINVAL,
            hint=f"the profile has {count} lists of conditions, the kernel takes {MAX_INSTRUCTIONS} instructions",
        )


def _by_number(calls: list[_Call], architectures: list[int]) -> dict[int, dict[int, list[Rule]]]:
    found: dict[int, dict[int, list[Rule]]] = {}
    for arch in architectures:
        for call in calls:
            number = libseccomp.number(call.name, arch)
            if number is not None and number >= 0:
                rules = found.setdefault(arch, {}).setdefault(number, [])
                rules += [(call.action, conditions) for conditions in call.alternatives]
    return found


def _multiplexed(name: str, architectures: list[int]) -> bool:
    """Whether somewhere the call may be one of socketcall(2) or ipc(2): libseccomp filters those by the sub-call."""
    return any(libseccomp.number(name, arch) in _MULTIPLEXED for arch in architectures)


def _by_libseccomp(profile: Seccomp, default: int, architectures: list[int], calls: list[_Call]) -> bytes:
    what, pointer = "error creating filter", profile.pointer
    try:
        with libseccomp.Filter(default) as made:
            what = "error adding architecture to seccomp filter"
            for at, arch in enumerate(architectures):
                pointer = f"{profile.pointer}/architectures/{at}"
                made.add_architecture(arch)
            for call in calls:
                what, pointer = f"error adding seccomp filter rule for syscall {call.name}", call.pointer
                for conditions in call.alternatives:
                    made.add_rule(call.action, libseccomp.number(call.name) or 0, conditions)
            what, pointer = "error exporting BPF", profile.pointer
            if sum(len(call.alternatives) for call in calls) > _MANY_RULES:
                made.optimize()
            return made.export()
    except OSError as error:
        raise ConfigError(
            f"unable to init seccomp: {what}: {(error.strerror or str(error)).lower()}",
            pointer=pointer,
            call=system_call(error),
            errno=error.errno or 0,
        ) from None


def _action(name: str, code: int | None) -> int:
    """SCMP_ACT_* of a name and an errno (None: EPERM where the action carries one)."""
    action = ACTIONS[name]
    return action | (errno.EPERM if code is None else code) if action in (_ERRNO, _TRACE) else action


def _architecture(name: str, pointer: str) -> int:
    arch = libseccomp.architecture(name.removeprefix("SCMP_ARCH_").lower())
    if not arch:
        raise ConfigError(
            f"string {name} is not a valid arch for seccomp",
            pointer=pointer,
            hint=f"libseccomp {libseccomp.version()}, the installed one, does not know it",
        )
    return arch


def _calls(rule: SyscallRule, default: int) -> list[_Call]:
    """What `rule` asks for, without names that libseccomp does not know and without what changes nothing."""
    action = _action(rule.action, rule.errno)
    alternatives = _alternatives(rule)
    if action == default:
        return []
    return [
        _Call(pointer=f"{rule.pointer}/names/{at}", name=name, action=action, alternatives=alternatives)
        for at, name in enumerate(rule.names)
        if libseccomp.number(name) is not None
    ]


def _alternatives(rule: SyscallRule) -> list[list[Condition]]:
    """Lists of conditions, one of which must hold in full.

    libseccomp takes one condition per argument. Two for the same one cannot both be meant to narrow the rule, so
    then each condition is a rule of its own, which is how profiles list several values of one argument.
    """
    conditions = [_condition(argument) for argument in rule.args]
    if len({condition[0] for condition in conditions}) < len(conditions):
        return [[condition] for condition in conditions]
    return [conditions]


def _condition(argument: SyscallArg) -> Condition:
    return (argument.index, OPERATORS[argument.op], argument.value, argument.value_two)


def _stub(profile: Seccomp, default: int, architectures: list[int]) -> bytes:
    """-ENOSYS for calls the profile's author could not know, unless the default lets them pass or says so itself.

    A tracer is taken as able to answer for them.
    """
    if default in (_ALLOW, _LOG, _ERRNO | errno.ENOSYS) or default & 0x7FFF0000 == _TRACE:
        return b""
    names = [name for rule in profile.syscalls for name in rule.names]
    largest: dict[int, int] = {}
    for arch in architectures:
        numbers = [found for name in names if (found := libseccomp.number(name, arch)) is not None and found >= 0]
        if numbers:
            largest[arch] = max(numbers)
    return enosys.stub(largest)
