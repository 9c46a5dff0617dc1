"""Conditions on arguments in BPF: the comparisons of 32-bit halves are those of the whole numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyoci.seccomp import conditions
from tests.seccomp.model import AARCH64, ALLOW, TRAP, X86, X86_64, Call, run

DENY = 0x50001
PASSED = 0x7FFF0001
PROGRAM = struct.pack("=HBBI", 0x06, 0, 0, PASSED)
words = st.one_of(st.integers(0, 3), st.sampled_from([2**31, 2**32 - 1, 2**32, 2**32 + 1]), st.integers(0, 2**64 - 1))

LAWS: dict[int, Callable[[int, int, int], bool]] = {
    conditions.NE: lambda given, value, _: given != value,
    conditions.LT: lambda given, value, _: given < value,
    conditions.LE: lambda given, value, _: given <= value,
    conditions.EQ: lambda given, value, _: given == value,
    conditions.GE: lambda given, value, _: given >= value,
    conditions.GT: lambda given, value, _: given > value,
    conditions.MASKED_EQ: lambda given, value, second: given & value == second & value,
}


@pytest.mark.parametrize("operator", LAWS)
@pytest.mark.parametrize(("arch", "mask"), [(X86_64, 2**64 - 1), (X86, 2**32 - 1)])
@given(words, words, words, st.integers(0, 5))
@example(2**32 + 1, 2**32, 0, 0)
@example(1, 2**32, 0, 5)
@example(2**32, 1, 0, 5)
@example(2**63, 2**63, 2**63, 2)
def test_operator(operator: int, arch: int, mask: int, value: int, argument: int, second: int, index: int) -> None:
    bpf = conditions.conditions({arch: {9: [(ALLOW, [(index, operator, value, second)])]}}, DENY) + PROGRAM
    arguments = [~argument & (2**64 - 1)] * 6
    arguments[index] = argument
    holds = LAWS[operator](argument & mask, value & mask, second & mask)
    assert run(bpf, Call(9, arch, tuple(arguments))) == (ALLOW if holds else DENY)


def test_rules_in_order_then_the_default() -> None:
    rules = [(TRAP, [(0, conditions.EQ, 1, 0), (1, conditions.EQ, 1, 0)]), (ALLOW, [(0, conditions.EQ, 1, 0)])]
    bpf = conditions.conditions({X86_64: {9: rules}}, DENY) + PROGRAM
    pairs = [(1, 1), (1, 2), (2, 1)]
    assert [run(bpf, Call(9, X86_64, (*pair, 0, 0, 0, 0))) for pair in pairs] == [TRAP, ALLOW, DENY]


def test_everything_else_reaches_the_program() -> None:
    rule = [(ALLOW, [(0, conditions.EQ, 1, 0)])]
    bpf = conditions.conditions({X86_64: {9: rule, 11: rule}, AARCH64: {8: rule}}, DENY) + PROGRAM
    for number, arch in ((10, X86_64), (8, X86_64), (9, AARCH64), (9, X86)):
        assert run(bpf, Call(number, arch, (1, 0, 0, 0, 0, 0))) == PASSED


def test_longest_rules_keep_their_jumps() -> None:
    everything = [(index, conditions.MASKED_EQ, 2**64 - 1, 7) for index in range(6)]
    rules = [(TRAP, everything)] * 40 + [(ALLOW, [(5, conditions.EQ, 8, 0)])]
    bpf = conditions.conditions({X86_64: {9: rules, 10: rules}}, DENY) + PROGRAM
    for number in (9, 10):
        assert run(bpf, Call(number, X86_64, (7,) * 6)) == TRAP
        assert run(bpf, Call(number, X86_64, (7, 7, 7, 7, 7, 8))) == ALLOW
    assert run(bpf, Call(11, X86_64, (7,) * 6)) == PASSED
