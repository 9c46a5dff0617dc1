"""Imports go downward only. The order stands here; a new module must find its place in it."""

from __future__ import annotations

import ast
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
# The file that starts everything is the lowest one, too.
UPWARD = {("pyoci.pack", "pyoci.cli.main")}
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


class OnLoading(ast.NodeTransformer):
    """Leaves what happens while a module is loaded: nothing for type checkers only, nothing inside functions."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        return node.orelse if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        return None


def imports_of(path: Path, *, on_loading: bool = False) -> set[str]:
    """The modules of pyoci that a file imports anywhere, or only those that it needs while it is loaded."""
    names = {name_of(module) for module in MODULES}
    found = set()
    tree: ast.AST = ast.parse(path.read_text())
    if on_loading:
        tree = OnLoading().visit(tree)
    for node in ast.walk(tree):
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
        if (name_of(path), imported) in UPWARD:
            continue
        assert top_of(imported) == own or RANK[top_of(imported)] >= RANK[own], (
            f"{name_of(path)} imports {imported}, above it"
        )


def test_no_cycles() -> None:
    """Between modules of one layer too: an import that works only in one order breaks at the next change."""
    graph = {name_of(path): imports_of(path, on_loading=True) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail[trail.index(module) :], module))
        if module not in done:
            for imported in sorted(graph.get(module, ())):
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


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
    assert imports_of(file, on_loading=True) == set()
