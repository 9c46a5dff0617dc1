"""What is undone, in which order, and what a failing action does."""

from __future__ import annotations

import os
from errno import ENOENT

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.log import log
from pyoci.undo import Undo


def test_nothing_is_undone_when_the_block_succeeds() -> None:
    done: list[int] = []
    with Undo() as undo:
        undo.add(done.append, 1)
    assert done == []


@given(st.lists(st.integers()))
def test_newest_first(numbers: list[int]) -> None:
    done: list[int] = []
    with pytest.raises(KeyError), Undo() as undo:
        for number in numbers:
            undo.add(done.append, number)
        raise KeyError
    assert done == numbers[::-1]


@given(st.lists(st.sampled_from([OSError, ChildProcessError, ValueError, None])))
def test_a_failing_action_stops_neither_the_others_nor_the_first_error(kinds: list[type[Exception] | None]) -> None:
    done: list[int] = []

    def action(number: int, kind: type[Exception] | None) -> None:
        done.append(number)
        if kind is not None:
            raise kind

    with pytest.raises(KeyError, match="first"), Undo() as undo:
        for number, kind in enumerate(kinds):
            undo.add(action, number, kind)
        raise KeyError("first")
    assert done == list(range(len(kinds)))[::-1]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_whatever_ends_the_block_undoes_it(kind: type[BaseException]) -> None:
    done: list[int] = []
    with pytest.raises(kind), Undo() as undo:
        undo.add(done.append, 1)
        raise kind
    assert done == [1]


def test_what_is_undone_is_forgotten() -> None:
    done: list[int] = []
    undo = Undo()
    undo.add(done.append, 1)
    undo.run()
    undo.run()
    assert done == [1]


def test_an_action_may_add_another() -> None:
    done: list[int] = []
    undo = Undo()
    undo.add(lambda: undo.add(done.append, 2))
    undo.run()
    assert done == [2]


def test_debug_shows_what_could_not_be_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "debug", said.append)

    def remove(name: str) -> None:
        raise OSError(ENOENT, os.strerror(ENOENT), name)

    with pytest.raises(KeyError), Undo() as undo:
        undo.add(remove, "/there")
        undo.add(int, "x")
        undo.add(said.append, "done")
        raise KeyError
    assert said[0] == "done"
    assert said[1].startswith("undo: int: ValueError: invalid literal")
    assert said[2].endswith("remove: FileNotFoundError: /there: no such file or directory")
