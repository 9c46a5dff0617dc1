"""linux.seccomp compiled: the program's verdicts are the profile's, on every architecture it lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyoci.config.schema.documents import DOCUMENTS
from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule
from pyoci.errors import ConfigError
from pyoci.kernel import libseccomp
from pyoci.seccomp.profile import ACTIONS as ACTIONS_OF_LIBSECCOMP
from pyoci.seccomp.profile import ARCHITECTURES as KNOWN
from pyoci.seccomp.profile import OPERATORS as OPERATORS_OF_LIBSECCOMP
from pyoci.seccomp.profile import compile
from tests.seccomp.model import (
    AARCH64,
    ALLOW,
    ENOSYS,
    ERRNO,
    KILL_THREAD,
    NAMES,
    NUMBERS,
    TRACE,
    TRAP,
    X86,
    X86_64,
    Call,
    default_profile,
    reference,
    run,
)

pytestmark = pytest.mark.skipif(
    libseccomp.native_architecture() != X86_64, reason="the tables of numbers are those of an x86-64 machine"
)

ACTIONS = ("KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "ERRNO", "TRACE", "LOG", "ALLOW", "NOTIFY")
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
ARCHITECTURES = tuple(NUMBERS)
READ, WRITE, SOCKET, PERSONALITY = 0, 1, 41, 135

values = st.one_of(
    st.integers(0, 8),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
actions = st.tuples(st.sampled_from(ACTIONS), st.one_of(st.none(), st.sampled_from([0, 1, 22, 38, 4094]))).map(
    lambda pair: ("SCMP_ACT_" + pair[0], pair[1] if pair[0] in ("ERRNO", "TRACE") else None)
)


@st.composite
def arguments(draw: st.DrawFn) -> SyscallArg:
    value, operator = draw(values), "SCMP_CMP_" + draw(st.sampled_from(OPERATORS))
    return SyscallArg(pointer="", index=draw(st.integers(0, 5)), value=value, value_two=draw(values), op=operator)


@st.composite
def profiles(draw: st.DrawFn) -> Seccomp:
    """Rules of one or several names, with and without conditions; several for one call, of which one has to win."""
    default, default_errno = draw(actions.filter(lambda action: action[0] != "SCMP_ACT_NOTIFY"))
    rules: list[SyscallRule] = []
    several = st.lists(st.sampled_from((*NAMES, "no_such_call")), min_size=1, max_size=3, unique=True)
    for names, (action, errno), args in draw(
        st.lists(st.tuples(several, actions, st.lists(arguments(), max_size=3)), max_size=8)
    ):
        if action == "SCMP_ACT_NOTIFY":
            names = [name for name in names if name != "write"] or ["read"]
        pointer = f"/linux/seccomp/syscalls/{len(rules)}"
        rules.append(SyscallRule(pointer=pointer, names=tuple(names), action=action, errno=errno, args=tuple(args)))
    architectures = draw(st.lists(st.sampled_from(ARCHITECTURES), unique=True))
    return Seccomp(
        default_action=default,
        default_errno=default_errno,
        architectures=tuple(architectures),
        syscalls=tuple(rules),
    )


@st.composite
def calls(draw: st.DrawFn, profile: Seccomp) -> Call:
    """Calls close to where the verdict changes."""
    numbers = [number for row in NUMBERS.values() for number in row]
    number = draw(st.one_of(st.sampled_from(numbers), st.integers(0, 2**32 - 1), st.sampled_from([436, 2**32 - 1])))
    near = [max(a.value + d, 0) % 2**64 for r in profile.syscalls for a in r.args for d in (-1, 0, 1, 2**32)]
    near += [a.value_two for r in profile.syscalls for a in r.args]
    value = st.one_of(values, st.sampled_from(near)) if near else values
    arch = draw(st.sampled_from([X86_64, X86_64, X86_64, X86, AARCH64, 0x80000016]))
    words = draw(st.tuples(*[value] * 6))
    return Call(number, arch, tuple(word & 0xFFFFFFFF for word in words) if arch == X86 else words)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_verdict_is_the_profiles(data: st.DataObject) -> None:
    profile = data.draw(profiles())
    bpf = compile(profile)
    for call in data.draw(st.lists(calls(profile), min_size=1, max_size=4)):
        assert hex(run(bpf, call)) == hex(reference(profile, call)), call


def rule(
    action: str, *args: tuple[int, str, int], names: tuple[str, ...] = ("read",), errno: int | None = None
) -> SyscallRule:
    made = [
        SyscallArg(pointer=f"/r/args/{at}", index=i, op=f"SCMP_CMP_{op}", value=v) for at, (i, op, v) in enumerate(args)
    ]
    return SyscallRule(pointer="/r", names=names, action=f"SCMP_ACT_{action}", errno=errno, args=tuple(made))


def verdicts(rules: list[SyscallRule], *first_arguments: int, default: str = "ERRNO", number: int = READ) -> list[int]:
    bpf = compile(Seccomp(default_action=f"SCMP_ACT_{default}", syscalls=tuple(rules)))
    return [run(bpf, Call(number, X86_64, (value, 0, 0, 0, 0, 0))) for value in first_arguments]


DENY = ERRNO | 1
NEVER_ENDS = [
    rule("ALLOW", (0, "NE", 2**31), (1, "NE", 2)),
    rule("ALLOW", (0, "NE", 2**31), (2, "MASKED_EQ", 5)),
]


@pytest.mark.parametrize(
    ("rules", "value", "verdict"),
    [
        ([rule("ALLOW", (0, "LT", 5)), rule("ALLOW", (0, "GE", 2**62))], 2**32 - 1, DENY),
        ([rule("ALLOW", (0, "LE", 1), (0, "LT", 2**32))], 2**31, ALLOW),
        ([rule("ALLOW", (1, "EQ", 0), (0, "LE", 2**62)), rule("ALLOW", (0, "GT", 1))], 2**32, ALLOW),
        (NEVER_ENDS, 7, ALLOW),
        (NEVER_ENDS, 2**31, DENY),
    ],
)
def test_where_libseccomp_is_wrong(rules: list[SyscallRule], value: int, verdict: int) -> None:
    assert verdicts(rules, value) == [verdict]


def test_every_argument_of_a_rule_must_match() -> None:
    assert verdicts([rule("ALLOW", (0, "EQ", 7), (1, "EQ", 0))], 7, 8) == [ALLOW, DENY]
    assert verdicts([rule("ALLOW", (0, "EQ", 7), (1, "EQ", 1))], 7, 8) == [DENY, DENY]


def test_conditions_on_one_argument_are_alternatives() -> None:
    assert verdicts([rule("ALLOW", (0, "EQ", 7), (0, "EQ", 9))], 7, 8, 9) == [ALLOW, DENY, ALLOW]
    assert verdicts([rule("ALLOW", (0, "EQ", 7), (0, "EQ", 9), (1, "EQ", 0))], 8) == [ALLOW], "then of all arguments"


def test_a_rule_without_conditions_wins() -> None:
    assert verdicts([rule("TRAP", (0, "EQ", 7)), rule("ALLOW")], 7, 8) == [ALLOW, ALLOW]
    assert verdicts([rule("ALLOW"), rule("TRAP", (0, "EQ", 7))], 7, 8) == [ALLOW, ALLOW]


def test_the_first_of_two_rules_wins() -> None:
    assert verdicts([rule("TRAP"), rule("ALLOW")], 7) == [TRAP]
    assert verdicts([rule("TRAP", (0, "EQ", 7)), rule("ALLOW", (0, "LT", 9))], 7, 8, 9) == [TRAP, ALLOW, DENY]


def test_a_rule_that_says_the_default_is_dropped() -> None:
    assert verdicts([rule("ERRNO", (0, "EQ", 7)), rule("ALLOW")], 7) == [ALLOW]
    assert verdicts([rule("ERRNO", (0, "EQ", 7), errno=2), rule("ALLOW", (0, "LT", 9))], 7) == [ERRNO | 2]


def test_errno() -> None:
    assert verdicts([rule("ERRNO"), rule("TRACE", names=("write",))], 0, default="ALLOW") == [ERRNO | 1]
    assert verdicts([rule("ERRNO", errno=0)], 0, default="ALLOW") == [ERRNO]
    assert verdicts([rule("TRACE", errno=65535)], 0, default="ALLOW") == [TRACE | 65535]
    bpf = compile(Seccomp(default_action="SCMP_ACT_ERRNO", default_errno=22))
    assert run(bpf, Call(READ, X86_64)) == ERRNO | 22


def test_unknown_calls_are_ignored() -> None:
    with_unknown = [rule("ALLOW", names=("no_such_call", "read"))]
    assert verdicts(with_unknown, 0) == [ALLOW]
    assert verdicts([rule("ALLOW", (0, "EQ", 1), names=("no_such_call",))], 0) == [DENY]


def test_other_architectures_are_killed() -> None:
    bpf = compile(Seccomp(default_action="SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_X86_64",)))
    assert run(bpf, Call(READ, X86)) == run(bpf, Call(READ | 1 << 30, X86_64)) == KILL_THREAD


def test_multiplexed_calls_are_filtered_by_the_sub_call() -> None:
    """i386 has socket(2) twice: as number 359, whose argument is seen, and in socketcall(2), where it is not."""
    profile = Seccomp(
        default_action="SCMP_ACT_ERRNO",
        architectures=("SCMP_ARCH_X86",),
        syscalls=(rule("ALLOW", (0, "EQ", 5), names=("socket",)),),
    )
    bpf = compile(profile)
    assert [run(bpf, Call(359, X86, (family, 0, 0, 0, 0, 0))) for family in (5, 6)] == [ALLOW, DENY]
    assert [run(bpf, Call(102, X86, (sub, 0, 0, 0, 0, 0))) for sub in (1, 2)] == [ALLOW, DENY]
    assert [run(bpf, Call(41, X86_64, (family, 0, 0, 0, 0, 0))) for family in (5, 6)] == [ALLOW, DENY]


def test_a_profile_like_dockers() -> None:
    profile = default_profile()
    bpf = compile(profile)
    assert len(bpf) // 8 < 2000, "libseccomp's tree, not one comparison per call and architecture"
    families = [run(bpf, Call(SOCKET, X86_64, (family, 0, 0, 0, 0, 0))) for family in (1, 37, 38, 39, 40, 41)]
    assert families == [ALLOW, ALLOW, DENY, ALLOW, DENY, ALLOW]
    personalities = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 0x40000)
    assert [run(bpf, Call(PERSONALITY, X86_64, (p, 0, 0, 0, 0, 0))) for p in personalities] == [ALLOW] * 5 + [DENY]
    assert run(bpf, Call(56, X86_64, (0x11, 0, 0, 0, 0, 0))) == ALLOW
    assert run(bpf, Call(56, X86_64, (0x10000000, 0, 0, 0, 0, 0))) == DENY, "clone with CLONE_NEWUSER"
    assert run(bpf, Call(435, X86_64)) == ENOSYS, "clone3"
    assert run(bpf, Call(165, X86_64)) == run(bpf, Call(21, X86)) == DENY, "mount"
    assert run(bpf, Call(10_000, X86_64)) == run(bpf, Call(10_000, X86)) == ENOSYS
    assert run(bpf, Call(READ, X86_64)) == run(bpf, Call(3, X86)) == run(bpf, Call(1 << 30, X86_64)) == ALLOW


def test_every_architecture_of_the_specification() -> None:
    """Known ones compile, alone; what this libseccomp does not know, or cannot mix with this machine, says so."""
    schema = json.loads((Path(__file__).parents[2] / "spec/defs-linux.json").read_text())
    names = schema["definitions"]["SeccompArch"]["enum"]
    assert set(names) - {f"SCMP_ARCH_{name}" for name in KNOWN} == set()
    for name in names:
        profile = Seccomp(default_action="SCMP_ACT_ERRNO", architectures=(name,), syscalls=(rule("ALLOW"),))
        try:
            bpf = compile(profile)
        except ConfigError as error:
            assert error.pointer == "/linux/seccomp/architectures/0"
            assert error.hint or "numerical argument out of domain" in error.message, error.message
        else:
            assert run(bpf, Call(READ, X86_64)) == ALLOW


@pytest.mark.parametrize(
    ("profile", "pointer", "message"),
    [
        (
            {"architectures": ("SCMP_ARCH_X86", "amd64")},
            "/linux/seccomp/architectures/1",
            "string amd64 is not a valid arch for seccomp",
        ),
        (
            {"architectures": ("SCMP_ARCH_",)},
            "/linux/seccomp/architectures/0",
            "string SCMP_ARCH_ is not a valid arch for seccomp",
        ),
        (
            {"architectures": ("SCMP_ARCH_X32", "SCMP_ARCH_S390X")},
            "/linux/seccomp/architectures/1",
            "unable to init seccomp: error adding architecture to seccomp filter: ",
        ),
    ],
)
def test_what_libseccomp_does_not_take(profile: dict[str, object], pointer: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile(Seccomp(**{"default_action": "SCMP_ACT_KILL", **profile}))  # type: ignore[arg-type]
    assert caught.value.pointer == pointer
    assert message in caught.value.message


def test_every_word_of_the_schema_is_known_here() -> None:
    """What no word of the schema is never comes here."""
    definitions = DOCUMENTS["defs-linux.json"]["definitions"]
    assert set(ACTIONS_OF_LIBSECCOMP) == set(definitions["SeccompAction"]["enum"])
    assert set(OPERATORS_OF_LIBSECCOMP) == set(definitions["SeccompOperators"]["enum"])
    assert {f"SCMP_ARCH_{name}" for name in KNOWN} == set(definitions["SeccompArch"]["enum"])
