"""Lists of CPUs and nodes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config import id_list


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("0", [0]),
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("7, 0-1 ,", [0, 1, 7]),
        (",,5", [5]),
        ("3-3,3", [3]),
        ("65535", [65535]),
        ("007", [7]),
    ],
)
def test_numbers(text: str, numbers: list[int]) -> None:
    assert id_list.numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",", 'no members found in set ","'),
        ("3-1", "invalid range: 3-1"),
        ("65536", "values larger than 65535 are not supported"),
        ("0-99999999999999999999", "values larger than 65535 are not supported"),
        ("a", 'strconv.ParseUint: parsing "a": invalid syntax'),
        ("1-", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("-1", 'strconv.ParseUint: parsing "": invalid syntax'),
        ("1_0", 'strconv.ParseUint: parsing "1_0": invalid syntax'),
        ("1 - 2", 'strconv.ParseUint: parsing "1 ": invalid syntax'),
        ("\u0661", 'strconv.ParseUint: parsing "\u0661": invalid syntax'),
        ("\u00b2", 'strconv.ParseUint: parsing "\u00b2": invalid syntax'),
    ],
)
def test_errors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        id_list.ranges(text)
    assert str(caught.value) == message


@given(st.sets(st.integers(0, 65535), min_size=1, max_size=20))
def test_written_numbers_come_back(numbers: set[int]) -> None:
    assert id_list.numbers(",".join(map(str, numbers))) == sorted(numbers)


@given(st.text())
def test_only_value_errors(text: str) -> None:
    try:
        id_list.ranges(text)
    except ValueError as error:
        assert not isinstance(error, UnicodeError)
