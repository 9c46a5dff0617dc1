"""Node reads members with their type checked and their pointer known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.node import UINT32, Node
from pyoci.errors import ConfigError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
WRONG = [
    ("string", (), 5, "must be a string, not 5"),
    ("string", (), "a\0b", "must not contain a NUL byte"),
    ("string", (), "a\ud800", "must not contain a lone surrogate"),
    ("required_string", (), None, "'key' is missing"),
    ("boolean", (), 1, "must be true or false, not 1"),
    ("boolean", (), "true", "must be true or false, not 'true'"),
    ("integer", (UINT32,), True, "must be an integer, not true"),
    ("integer", (UINT32,), 1.0, "must be an integer, not 1.0"),
    ("integer", (UINT32,), 1e3, "must be an integer, not 1000.0"),
    ("integer", (UINT32,), "1", "must be an integer, not '1'"),
    ("integer", (UINT32,), -1, "must be between 0 and 4294967295, not -1"),
    ("integer", (UINT32,), 2**32, "must be between 0 and 4294967295, not 4294967296"),
    ("required_integer", (UINT32,), None, "'key' is missing"),
    ("strings", (), "abc", "must be an array, not 'abc'"),
    ("child", (), [], "must be an object, not an array"),
    ("children", (), {}, "must be an array, not an object"),
    ("table", (), [], "must be an object, not an array"),
]


@pytest.mark.parametrize(("method", "arguments", "value", "reason"), WRONG)
def test_wrong_value(method: str, arguments: tuple[Any, ...], value: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        getattr(Node({"key": value}, "/outer"), method)("key", *arguments)
    pointer = "/outer" if "missing" in reason else "/outer/key"
    assert caught.value.pointer == pointer
    assert caught.value.message == f"config.json#{pointer}: {reason}"


def test_numbers_that_python_refuses_to_print() -> None:
    for method, arguments in (("integer", (UINT32,)), ("string", ()), ("child", ())):
        with pytest.raises(ConfigError):
            getattr(Node({"key": 10**5000}, ""), method)("key", *arguments)


@pytest.mark.parametrize("value", ["a", ["a", 5], ["a", None], ["a", "b\0"], ["a", "\udfff"]])
def test_strings_names_the_wrong_one(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Node({"key": value}, "").strings("key")
    assert caught.value.pointer == ("/key" if value == "a" else "/key/1")


def test_children_and_members_name_the_wrong_one() -> None:
    with pytest.raises(ConfigError) as caught:
        Node({"key": [{}, 1]}, "").children("key")
    assert caught.value.pointer == "/key/1"
    with pytest.raises(ConfigError) as caught:
        Node({"key": {"a/b~c": 1}}, "").members("key")
    assert caught.value.pointer == "/key/a~1b~0c"
    with pytest.raises(ConfigError) as caught:
        Node({"key": {"a/b": 1}}, "").table("key")
    assert caught.value.pointer == "/key/a~1b"


def test_absent_and_null_are_the_same() -> None:
    for value in ({}, {"key": None}):
        node = Node(value, "")
        assert node.string("key") == ""
        assert node.optional_string("key") is None
        assert node.boolean("key") is False
        assert node.integer("key", UINT32, 7) == 7
        assert node.optional_integer("key", UINT32) is None
        assert node.strings("key") == ()
        assert node.optional_strings("key") is None
        assert node.integers("key", UINT32) == ()
        assert node.child("key") is None
        assert node.children("key") == []
        assert node.members("key") == []
        assert node.table("key") == {}


def test_empty_is_not_absent() -> None:
    assert Node({"key": ""}, "").optional_string("key") == ""
    assert Node({"key": []}, "").optional_strings("key") == ()


@given(JSON)
def test_only_config_errors(value: Any) -> None:
    methods = ["string", "optional_string", "required_string", "boolean", "strings", "child", "children", "members"]
    for method in [*methods, "table", "optional_strings"]:
        try:
            getattr(Node({"key": value}, ""), method)("key")
        except ConfigError as error:
            assert error.pointer.startswith("/key") or "missing" in error.message


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
def test_strings_come_back(values: list[str]) -> None:
    assert Node({"key": values}, "").strings("key") == tuple(values)
