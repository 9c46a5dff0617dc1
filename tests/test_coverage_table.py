"""docs/coverage.md: current, and without a property that nothing carries out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.generate import coverage as build_coverage
from tools.generate.coverage import ALL, ELSEWHERE, FILE, IGNORED, carried_out_by, leaves, rows, text

PROJECT = Path(__file__).parent.parent


def test_the_file_is_current() -> None:
    assert FILE.read_text() == text(), "run .venv/bin/python -m tools.generate.coverage"


def test_every_property_has_a_row() -> None:
    """Those with a value of their own; those that only hold them are in the names."""
    table = [name for name, _, _ in rows()]
    assert len(table) == len(set(table)) == len(leaves()) > 150
    assert {"process.scheduler.nice", "linux.netDevices.*.name", "hooks.poststop[].timeout"} <= set(table)
    holders = {build_coverage.dotted(pointer) for pointer, _, _ in ALL} - set(table)
    assert all(any(name.startswith(holder) for name in table) for holder in holders)


def test_every_row_has_tests() -> None:
    for name, _, tests in rows():
        assert tests, name
        for file in tests.split(", "):
            assert (PROJECT / file).is_file(), f"{name}: {file}"


@pytest.mark.parametrize("pointer", sorted(ELSEWHERE))
def test_what_is_carried_out_elsewhere_has_a_reason_to_be_there(pointer: str) -> None:
    """No step does it: else the table should name that step. Flags of a personality are in a step and change nothing;
    annotations reach hooks."""
    found = [carried_out_by(*row) for row in ALL if row[0] == pointer]
    assert found, "no such property"
    if pointer not in ("/annotations/x", "/linux/personality/flags"):
        assert found == [set()]


def test_a_property_that_nothing_carries_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(IGNORED, "/process/commandLine")
    with pytest.raises(ValueError, match="/process/commandLine: no step carries it out"):
        rows()
