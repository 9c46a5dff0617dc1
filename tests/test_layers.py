"""Imports go downward only. The order stands here; a new module must find its place in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pyoci"
LAYERS = (
    {"__main__"},
    {"cli"},
    {"container"},
    {"plan"},
    {"steps"},
    {"seccomp", "rdt"},
    {"cgroups"},
    {"undo"},
    {"config", "host", "channel", "jsonfile", "log"},
    {"kernel"},
    {"errors", "record", "pack", "near", "trust", "environment", "pathname"},
    {"os"},
    {"__init__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Packages whose __init__ is more than a name. Every other one imports nothing: each command would pay for it.
SPEAKING_PACKAGES = {"config"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """ "pyoci.config.mounts"; a package's __init__ is the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_of(module: str) -> str:
    """The part that has a place in LAYERS: "config" for "pyoci.config.mounts"."""
    return module.split(".")[1] if "." in module else "__init__"


def imports_of(path: Path) -> set[str]:
    """The modules of pyoci that a file imports: also inside functions, and for type checkers only."""
    names = {name_of(module) for module in MODULES}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.partition(".")[0] == "pyoci"}
        elif isinstance(node, ast.ImportFrom):
            module = absolute(path, node)
            if module.partition(".")[0] == "pyoci":
                inner = {f"{module}.{alias.name}" for alias in node.names} & names
                found |= inner or {module}
    return found


def absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that `from x import y`, `from .x import y` or `from .. import y` names."""
    if not node.level:
        return node.module or ""
    base = ".".join(path.parent.relative_to(PACKAGE.parent).parts[: None if node.level == 1 else 1 - node.level])
    return f"{base}.{node.module}" if node.module else base


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downward(path: Path) -> None:
    own = top_of(name_of(path)) if path != PACKAGE / "__main__.py" else "__main__"
    assert own in RANK, f"{own} has no layer: give it one in {__name__}"
    for imported in imports_of(path):
        assert top_of(imported) == own or RANK[top_of(imported)] >= RANK[own], (
            f"{name_of(path)} imports {imported}, above it"
        )


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The largest sets of modules each of which reaches, and is reached by, all the others."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        seen: set[str] = set()
        left = [module]
        while left:
            new = graph.get(left.pop(), set()) - seen
            seen |= new
            left += new
        reached[module] = seen
    found = [{other for other in reached[module] if module in reached.get(other, ())} for module in graph]
    return [one for at, one in enumerate(found) if one and one not in found[:at]]


def test_no_circles() -> None:
    """Between modules of one layer too, and counted with what is imported late or for type checkers: of two files that
    need each other neither can be understood, tested or changed alone."""
    found = circles({name_of(path): imports_of(path) for path in MODULES})
    assert [sorted(one) for one in found] == []


def test_the_test_sees_circles() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d", "missing"}, "f": {"a"}}
    assert circles(graph) == [{"a", "b", "c"}, {"d", "e"}]
    assert circles({"a": {"b"}, "b": set()}) == []


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("__init__.py")), ids=name_of)
def test_packages_import_nothing(path: Path) -> None:
    if path.parent.name in SPEAKING_PACKAGES:
        return
    tree = ast.parse(path.read_text())
    modules = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in modules)


def test_the_test_sees_a_violation(tmp_path: Path) -> None:
    """An upward import inside a function, and one for type checkers, count."""
    file = tmp_path / "x.py"
    file.write_text("def f():\n    from pyoci.cli import main\nif TYPE_CHECKING:\n    import pyoci.plan.create\n")
    assert imports_of(file) == {"pyoci.cli.main", "pyoci.plan.create"}


CITATION = re.compile(r"\bDESIGN\b|\bSEC-\d|\btraps? \d|\b(newest|security-and-demand)\.md")


@pytest.mark.parametrize(
    "path",
    [*MODULES, *sorted(Path(__file__).parent.rglob("*.py"))],
    ids=lambda path: str(path.relative_to(PACKAGE.parent)),
)
def test_what_is_cited_can_be_looked_up(path: Path) -> None:
    """Only what is in the repository, or public: no document that a reader cannot have."""
    if path != Path(__file__) and path.name != "test_documents.py":  # which have the pattern
        assert not CITATION.findall(path.read_text())
