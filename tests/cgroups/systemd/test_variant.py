"""Values of annotations: D-Bus types as runc's reader gives them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.systemd.variant import parse

RANGES = {
    "byte": ("y", 0, 2**8), "int16": ("n", -(2**15), 2**15), "uint16": ("q", 0, 2**16), "int32": ("i", -(2**31), 2**31),
    "uint32": ("u", 0, 2**32), "int64": ("x", -(2**63), 2**63), "uint64": ("t", 0, 2**64),
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", ("b", True)),
        ("false", ("b", False)),
        ("boolean true", ("b", True)),
        ("5", ("i", 5)),
        ("-5", ("i", -5)),
        ("0x1f", ("i", 31)),
        ("010", ("i", 8)),
        ("0", ("i", 0)),
        ("1.5", ("d", 1.5)),
        ("1e3", ("d", 1000.0)),
        ("double 2", ("d", 2.0)),
        ("'it'", ("s", "it")),
        ('"it\'s"', ("s", "it's")),
        (r"'a\'b\\\n\u00e4'", ("s", "a'b\\\nä")),
        ("objectpath '/a'", ("o", "/a")),
        ("signature 'as'", ("g", "as")),
        ("b'hi'", ("ay", b"hi\0")),
        ("['a', \"b\"]", ("as", ["a", "b"])),
        ("[1, 2]", ("ai", [1, 2])),
        ("[1, uint32 2]", ("au", [1, 2])),
        ("@at [1, 2]", ("at", [1, 2])),
        ("@as []", ("as", [])),
        ("[[], ['a']]", ("aas", [[], ["a"]])),
        ("  uint64   7 ", ("t", 7)),
    ],
)
def test_values(text: str, expected: tuple[str, Any]) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "tru", "'a", "[1", "[1,", "[1 2]", "1 2", "[]", "[1, 'a']", "byte 'a'", "uint16 int16 1", "@a{sv} {}",
     "(1, 2)", "<1>", "{'a': 1}", "--1", "0x", "08", "1_0", "'\\u12'", "'\\ud800'", "'\\u0000'", "@", "string 1",
     "[" * 100],
)  # fmt: skip
def test_what_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


@given(st.sampled_from(sorted(RANGES)), st.integers(-(2**65), 2**65))
def test_numbers_fit_their_type_or_are_refused(name: str, number: int) -> None:
    signature, low, high = RANGES[name]
    if low <= number < high:
        assert parse(f"{name} {number}") == (signature, number)
    else:
        with pytest.raises(ValueError, match="range"):
            parse(f"{name} {number}")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_text_can_be_written(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    assert parse(f"'{escaped}'") == ("s", text)


@given(st.text())
def test_any_text_is_a_value_or_an_error(text: str) -> None:
    try:
        signature, _ = parse(text)
    except ValueError:
        return
    assert signature
