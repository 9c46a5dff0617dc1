"""The one tree of exceptions: what each knows, and how a failed system call is told."""

from __future__ import annotations

import os

import pytest

from pyoci import errors
from pyoci.errors import Error, NotFoundError, StateError, StepError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_there_is_one_tree(kind: type[Exception]) -> None:
    assert issubclass(kind, Error)
    assert kind.__doc__
    assert kind.__name__ in (errors.__doc__ or "")


def test_what_engines_look_for() -> None:
    assert str(NotFoundError()) == NotFoundError().message == "container does not exist"
    assert isinstance(NotFoundError(), StateError)
    assert Error("x").status == 1


def test_the_explanation_has_what_is_known_in_its_order() -> None:
    assert Error("x").explanation() == []
    error = StepError("x", hint="h", call="c()", step="S", pointer="/p", errno=5)
    assert error.explanation() == [("pointer", "/p"), ("step", "S"), ("call", "c()"), ("hint", "h")]


def test_a_prefix_changes_the_first_line_only() -> None:
    error = StepError("x", pointer="/p", errno=5)
    assert error.prefixed("b").prefixed("a") is error
    assert (error.message, error.pointer, error.errno) == ("a: b: x", "/p", 5)


def test_the_call_is_the_first_note() -> None:
    error = OSError(2, "No such file or directory")
    assert errors.system_call(error) == ""
    error.add_note('open("/x")')
    error.add_note("something else")
    assert errors.system_call(error) == 'open("/x")'


@pytest.mark.parametrize("name", ["/x", b"/x", b"/\xff", "/\udcff", None])
def test_the_text_of_a_failed_call(name: str | bytes | None) -> None:
    """The file and the reason, never "[Errno 2]", and always something that can be written to a log."""
    text = errors.os_error_text(OSError(2, os.strerror(2), name))
    assert text.lower().endswith("no such file or directory")
    assert "Errno" not in text
    assert (name is None) == (":" not in text)
    assert errors.os_error_text(OSError("just words")) == "just words"
