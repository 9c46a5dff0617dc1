from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.duration import parse
from pyoci.cli.options import DURATION, Flag, defaults, scan
from pyoci.errors import UsageError

UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
parts = st.lists(st.tuples(st.integers(0, 1000), st.sampled_from(sorted(UNITS))), min_size=1, max_size=5)


@given(parts, st.sampled_from(["", "+", "-"]))
def test_parts_are_added(given: list[tuple[int, str]], sign: str) -> None:
    text = sign + "".join(f"{amount}{unit}" for amount, unit in given)
    total = sum(amount * UNITS[unit] for amount, unit in given)
    assert parse(text) == (-total if sign == "-" else total)


@given(st.integers(0, 10**6), st.integers(0, 999), st.sampled_from(["us", "ms", "s", "m", "h"]))
def test_fractions(whole: int, thousandths: int, unit: str) -> None:
    assert parse(f"{whole}.{thousandths:03}{unit}") == (1000 * whole + thousandths) * UNITS[unit] // 1000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        (".5s", 5 * 10**8),
        ("5.s", 5 * 10**9),
        ("1h30m", 5400 * 10**9),
        ("9223372036854775807ns", 2**63 - 1),
    ],
)
def test_as_go_reads_them(text: str, value: int) -> None:
    assert parse(text) == value


@given(st.text(max_size=8))
def test_anything_else_is_a_value_error(text: str) -> None:
    try:
        parse(text)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "text", ["", "-", "5", "s", ".s", "1.2.3s", "5 s", "5sec", "1e3s", "٣s", "9223372036854775808ns", "9" * 5000 + "h"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse(text)
    with pytest.raises(UsageError) as caught:
        scan((FLAG,), ["--interval", text], {}, set(), interleaved=True)
    assert caught.value.message.endswith(" for flag -interval: parse error")


FLAG = Flag(names=("interval",), kind=DURATION, usage="", default=5 * 10**9)


def test_the_flag() -> None:
    values = defaults((FLAG,))
    scan((FLAG,), ["--interval=1m"], values, set(), interleaved=True)
    assert values == {"interval": 60 * 10**9}
