"""Files stay small, lie in folders, say what they are for, and do not evaluate annotations."""

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


def missing_folders(paths: list[Path]) -> dict[str, list[str]]:
    """Folder and prefix -> the files, where three or more in one folder begin alike up to the first underscore, "test_"
    apart: that is the name of a folder of their own."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        prefix = path.stem.removeprefix("test_").partition("_")[0]
        if prefix:
            groups.setdefault(f"{path.parent}/{prefix}", []).append(path.name)
    return {place: sorted(names) for place, names in groups.items() if len(names) > 2}


@pytest.mark.parametrize("place", PLACES)
def test_a_prefix_of_three_files_is_a_folder(place: str) -> None:
    paths = [path.relative_to(PROJECT) for path in FILES if path.is_relative_to(PROJECT / place)]
    assert missing_folders(paths) == {}


def test_the_test_sees_a_missing_folder() -> None:
    names = ["a/__init__.py", "a/__main__.py", "a/x.py", "a/test_x_y.py", "b/x_z.py", "a/y.py", "a/xz.py"]
    assert missing_folders([Path(name) for name in names]) == {}
    names += ["a/x_z.c"]
    assert missing_folders([Path(name) for name in names]) == {"a/x": ["test_x_y.py", "x.py", "x_z.c"]}
