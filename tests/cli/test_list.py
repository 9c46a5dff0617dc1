from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cli.table import table

ROW = {
    "id": "a",
    "pid": 0,
    "status": "stopped",
    "bundle": "/b",
    "created": "2026-11-20T15:24:23.123456789Z",
    "owner": "root",
}


def test_the_header_alone() -> None:
    """Go's tabwriter with minwidth 12, tabwidth 1, padding 3, as `runc list` was seen to print it."""
    assert table([]) == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"


def test_columns_are_as_wide_as_their_widest_cell_and_three() -> None:
    assert table([ROW, ROW | {"id": "0123456789", "pid": 4194304, "bundle": "/a/longer/bundle", "owner": "#4242"}]) == (
        "ID           PID         STATUS      BUNDLE             CREATED                          OWNER\n"
        "a            0           stopped     /b                 2026-11-20T15:24:23.123456789Z   root\n"
        "0123456789   4194304     stopped     /a/longer/bundle   2026-11-20T15:24:23.123456789Z   #4242\n"
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), max_size=5))
def test_a_container_is_one_line_whatever_its_bundle_is_called(bundles: list[str]) -> None:
    lines = table([ROW | {"bundle": bundle} for bundle in bundles]).split("\n")
    assert len(lines) == len(bundles) + 2
    assert all(line.isprintable() for line in lines)


def test_widths_count_characters() -> None:
    first, second = table([ROW | {"id": "é" * 20}]).splitlines()
    assert first.index("PID") == second.index("0") == 23


@pytest.mark.parametrize("key", ["id", "pid", "status", "bundle", "created", "owner"])
def test_every_column_is_there(key: str) -> None:
    assert str(ROW[key]) in table([ROW])
