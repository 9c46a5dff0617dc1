"""Laws of the conversions from v1's numbers to v2's, and the few values that a law cannot pin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.limits.conversions import bandwidth, cpu_weight, io_weight, limit, swap
from pyoci.errors import ConfigError

SHARES = st.integers(1, 2**64 - 1) | st.integers(1, 2**19)
WEIGHTS = st.integers(10, 1000)
BYTES = st.integers(1, 2**63 - 1)


@given(SHARES, SHARES)
def test_more_shares_never_weigh_less(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert 1 <= cpu_weight(low) <= cpu_weight(high) <= 10000


def test_ends_and_usual_shares() -> None:
    pairs = {0: 0, 1: 1, 2: 1, 3: 2, 512: 59, 1024: 100, 2048: 174, 4096: 303, 262143: 10000, 262144: 10000}
    assert {shares: cpu_weight(shares) for shares in pairs} == pairs


@given(WEIGHTS, WEIGHTS)
def test_io_weights_keep_their_order(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert 1 <= io_weight(low) <= io_weight(high) <= 10000
    assert (io_weight(low) == io_weight(high)) == (low == high)


def test_ends_and_middle_of_io_weights() -> None:
    assert [io_weight(n) for n in (0, 10, 500, 1000)] == [0, 1, 4950, 10000]


@given(BYTES, BYTES)
def test_swap_is_what_is_left_above_memory(memory: int, both: int) -> None:
    if both < memory:
        with pytest.raises(ConfigError, match=r"^memory\+swap limit should be >= memory limit$"):
            swap(memory, both)
    else:
        assert memory + (swap(memory, both) or 0) == both


@given(st.integers(-1, 2**63 - 1))
def test_swap_that_is_not_set_or_unlimited(memory: int) -> None:
    assert swap(memory, -1) == -1
    assert swap(memory, 0) == (-1 if memory == -1 else None)


@given(BYTES)
def test_swap_beside_unlimited_or_unknown_memory(both: int) -> None:
    assert swap(-1, both) == both
    with pytest.raises(ConfigError, match=r"^unable to set swap limit without memory limit$") as caught:
        swap(0, both, "/linux/resources/memory/swap")
    assert caught.value.pointer == "/linux/resources/memory/swap"
    with pytest.raises(ConfigError, match=r"^invalid memory value: -2$"):
        swap(-2, both)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**64 - 1))
def test_bandwidth(quota: int, period: int) -> None:
    first, second = bandwidth(quota, period).split(" ")
    assert first == ("max" if quota <= 0 else str(quota))
    assert second == str(period or 100000)


def test_limit() -> None:
    assert [limit(n) for n in (-1, 0, 5)] == ["max", "0", "5"]
