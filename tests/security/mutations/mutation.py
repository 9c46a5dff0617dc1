"""What a mutation is, and how the lists beside this file write them down."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """old occurs once in the file of the project; new stands there instead."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """name: what is defended. changes: what takes the defence away. tests: ids of pytest; one of them has to fail then.

    Several changes: the same is defended twice, so that nobody can miss one of the two alone (README of the table in
    docs/defences.md), or one defence stands in two places.
    """

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]


def at(file: str, *rows: tuple[str, str, str, str]) -> tuple[Mutation, ...]:
    """Rows of name, old, new and the tests, with blanks between them, below tests/."""
    return tuple(Mutation(name, (Change(file, old, new),), _tests(tests)) for name, old, new, tests in rows)


def together(name: str, tests: str, *changes: tuple[str, str, str]) -> Mutation:
    """One mutation of several changes: file, old, new."""
    return Mutation(name, tuple(Change(*one) for one in changes), _tests(tests))


def _tests(tests: str) -> tuple[str, ...]:
    return tuple(f"tests/{test}" for test in tests.split())
