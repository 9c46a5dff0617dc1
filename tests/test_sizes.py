"""Files stay small, say what they are for, and do not evaluate annotations."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
LIMIT = 400  # lines
GENERATED = {"pyoci/config/schema/table.py", "pyoci/config/schema/documents.py"}
PLACES = ("pyoci", "native", "tests", "tools", "conformance")
FILES = sorted(
    path
    for place in PLACES
    for pattern in ("*.py", "*.c", "*.h")
    for path in (PROJECT / place).rglob(pattern)
    if str(path.relative_to(PROJECT)) not in GENERATED
)


def short(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", FILES, ids=short)
def test_no_long_files(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LIMIT


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to(PROJECT / "pyoci")], ids=short)
def test_annotations_are_not_evaluated(path: Path) -> None:
    """`from __future__ import annotations` wherever there is an annotation: typing is never imported at run time. Only
    what runs before there is a pack quotes them instead and saves importing __future__."""
    tree = ast.parse(path.read_text())
    annotated = any(
        isinstance(node, ast.AnnAssign | ast.arg | ast.FunctionDef)
        and (getattr(node, "annotation", None) or getattr(node, "returns", None))
        for node in ast.walk(tree)
    )
    has_future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    assert has_future == (path.name not in ("pack.py", "__main__.py")) or not annotated


@pytest.mark.parametrize("path", [path for path in FILES if path.is_relative_to(PROJECT / "pyoci")], ids=short)
def test_files_say_what_they_are_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or not tree.body
