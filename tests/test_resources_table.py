"""docs/resources.md: current, and right where it can be told by hand."""

from __future__ import annotations

import pytest

from tools.generate.resources import FILE, REMARKS, SAMPLES, text

ROWS = [
    "| `memory.swap` | `memory.memsw.limit_in_bytes` | `memory.swap.max` | - | `MemorySwapMax` |",
    "| `memory.swappiness` | `memory.swappiness` | **warned of** | - | - |",
    "| `blockIO.weight` | `blkio.weight`, else `blkio.bfq.weight` | `io.bfq.weight`, else `io.weight` |",
    "| `network.classID` | `net_cls.classid` | **warned of** |",
]


def test_the_file_is_current() -> None:
    assert FILE.read_text() == text(), "run .venv/bin/python -m tools.generate.resources"


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    assert f"\n{row}" in text()


def test_every_property_is_written_and_tested() -> None:
    for line in text().splitlines():
        if line.startswith("| `"):
            cells = line.split(" | ")
            assert not cells[1] == cells[2] == "-", line
            assert "`test_limits.py`" in cells[5], line


def test_tests_and_remarks_are_about_something() -> None:
    names = {line.split("`")[1] for line in text().splitlines() if line.startswith("| `")}
    assert {pointer[1:].replace("/", ".") for pointer in (*SAMPLES, *REMARKS)} <= names
