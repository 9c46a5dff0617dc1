"""The list of defences is about this code, and about tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.security.mutations import MUTATIONS, Mutation
from tools.check_defences import DOCUMENT, document

PROJECT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[one.name for one in MUTATIONS])
def test_a_mutation_can_be_made(mutation: Mutation) -> None:
    for change in mutation.changes:
        assert (PROJECT / change.file).read_text().count(change.old) == 1, change.file
        assert change.old != change.new
    for test in mutation.tests:
        file, _, name = test.partition("::")
        text = (PROJECT / file).read_text()
        assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), test


def test_the_document_is_the_list() -> None:
    assert DOCUMENT.read_text() == document(), "python -m tools.check_defences --document"


def test_names_are_unique() -> None:
    names = [one.name for one in MUTATIONS]
    assert len(names) == len(set(names))
