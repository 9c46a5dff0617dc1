"""The list of defences is about this code, and about tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.mutations import MUTATIONS, Mutation

PROJECT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_mutation_can_be_made(mutation: Mutation) -> None:
    assert (PROJECT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new
    for test in mutation.tests:
        assert (PROJECT / test.partition("::")[0]).exists(), test


def test_names_are_unique() -> None:
    names = [one.name for one in MUTATIONS]
    assert len(names) == len(set(names))
