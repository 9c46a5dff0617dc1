"""pyoci's own os: the same as the standard one, as far as it goes."""

from __future__ import annotations

import ast
import os as standard
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import os
from tools.generate import pack as build_pack

PACKAGE = Path(os.__file__).parent
PIECES = build_pack.collect(str(PACKAGE), [])[1]


def uses_ours(path: Path) -> bool:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return any(alias.name == "os" for node in imports if node.module == "pyoci" for alias in node.names)


USERS = [path for path in sorted(PACKAGE.rglob("*.py")) if uses_ours(path)]


@pytest.mark.parametrize("path", USERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_it_has_every_name_that_is_used(path: Path) -> None:
    """mypy believes what typeshed says of posix; this is what posix has here."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert hasattr(os, node.attr), f"line {node.lineno}: os.{node.attr}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os.path":
            assert hasattr(os.path, node.attr), f"line {node.lineno}: os.path.{node.attr}"


def test_the_system_calls_are_the_standard_ones() -> None:
    own = {"fsencode", "fsdecode"}
    same = {name for name in vars(os).keys() - own if name[:2] != "__" and callable(getattr(standard, name, None))}
    assert len(same) > 100
    assert [name for name in same if getattr(os, name) is not getattr(standard, name)] == []


@given(st.binary())
def test_names(name: bytes) -> None:
    assert os.fsdecode(name) == standard.fsdecode(name) == os.fsdecode(standard.fsdecode(name))
    assert os.fsencode(os.fsdecode(name)) == name == os.fsencode(name)


def test_names_may_be_paths() -> None:
    assert (os.fsencode(Path("/ä")), os.fsdecode(Path("/ä"))) == ("/ä".encode(), "/ä")


@given(*[st.text("ab/.ä", max_size=4)] * 2)
def test_join(directory: str, name: str) -> None:
    assert os.path.join(directory, name) == standard.path.join(directory, name)


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    (tmp_path / "nowhere").symlink_to("nothing")
    (tmp_path / "somewhere").symlink_to("directory")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    names = [*sorted(path.name for path in tmp_path.iterdir()), "missing", "file/below", "nul\0", "x" * 300]
    for name in names:
        path = f"{tmp_path}/{name}"
        for function in ("exists", "lexists", "isdir", "isfile"):
            for kind in (str, standard.fsencode):
                expected = getattr(standard.path, function)(kind(path))
                assert getattr(os.path, function)(kind(path)) == expected, (function, name)
    statuses = [standard.lstat(tmp_path / name) for name in names[:6]]
    for one in statuses:
        assert [os.path.samestat(one, other) for other in statuses] == [one is other for other in statuses]


def test_the_standard_one_stays_out() -> None:
    """Not at all in what the everyday commands load, or in rare branches of what only ever runs before the container's
    process exists, or outside of it: later, importing could run the container's code."""
    may = {"pyoci.container.state", "pyoci.container.inputs"}
    for name in {name for names in PIECES.values() for name in names}:
        path = PACKAGE.parent / name.replace(".", "/")
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = build_pack._Strip().visit(ast.parse(file.read_text()))
        for node in ast.walk(tree):
            imported = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            imported |= {node.module or ""} if isinstance(node, ast.ImportFrom) and not node.level else set()
            if {one.partition(".")[0] for one in imported} & {"os", "posixpath"}:
                assert name in may, name
                assert node not in tree.body, f"{name}: {ast.unparse(node)}"
