"""The -ENOSYS stub, run: numbers above the largest one answer ENOSYS, all others reach the program behind it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from pyoci.seccomp.enosys import stub
from tests.seccomp.model import AARCH64, ENOSYS, S390X, X32_BIT, X86, X86_64, Call, run

X32 = 0x4000003E  # libseccomp's number for it
PASSED = 0x7FFF0001
PROGRAM = struct.pack("=HBBI", 0x06, 0, 0, PASSED)
ARCHITECTURES = (X86_64, X32, X86, AARCH64, S390X, 0x16, *range(0x80000100, 0x8000010C))

numbers = st.integers(0, 2**32 - 1)


def verdict(largest: dict[int, int], number: int, arch: int) -> int:
    return run(stub(largest) + PROGRAM, Call(number, arch))


@given(st.data())
def test_only_above_the_largest(data: st.DataObject) -> None:
    small = st.integers(0, 500)
    chosen = data.draw(st.dictionaries(st.sampled_from(ARCHITECTURES), small, min_size=1))
    largest = {arch: number | X32_BIT if arch == X32 else number for arch, number in chosen.items()}
    near = st.sampled_from([number + step for number in largest.values() for step in (-1, 0, 1) if number + step >= 0])
    number = data.draw(st.one_of(near, numbers))
    arch = data.draw(st.sampled_from([*(X86_64 if arch == X32 else arch for arch in largest), X86_64, 0x28]))
    kind = X32 if arch == X86_64 and number & X32_BIT else arch
    newer = kind in largest and number > largest[kind]
    multiplexed = kind in largest and kind in (S390X, 0x16) and number == 0
    assert verdict(largest, number, arch) == (ENOSYS if newer or multiplexed else PASSED)


def test_nothing_named_makes_no_stub() -> None:
    assert stub({}) == b""


def test_x32_has_a_largest_number_of_its_own() -> None:
    both = {X86_64: 300, X32: X32_BIT | 500}
    assert [verdict(both, number, X86_64) for number in (300, 301)] == [PASSED, ENOSYS]
    assert [verdict(both, X32_BIT | number, X86_64) for number in (500, 501)] == [PASSED, ENOSYS]


def test_without_x32_its_numbers_are_the_programs_affair() -> None:
    assert verdict({X86_64: 300}, X32_BIT | 301, X86_64) == PASSED
    assert verdict({X32: X32_BIT | 300}, 301, X86_64) == PASSED


def test_setup_on_s390x_is_what_the_kernel_leaves_of_an_unknown_call() -> None:
    assert [verdict({S390X: 300}, number, S390X) for number in (0, 1, 300, 301)] == [ENOSYS, PASSED, PASSED, ENOSYS]
    assert verdict({AARCH64: 300}, 0, AARCH64) == PASSED
