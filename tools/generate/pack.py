"""Writes modules.pack and the file that starts: pack.py PACKAGE PACK START [GENERATED...]; see pyoci/pack.py.

PACKAGE is the directory of the sources, GENERATED are modules of pyoci/config/schema that the build made elsewhere.
Docstrings and annotations are left out: nothing reads them at run time, and making them is a tenth of importing.
"""

from __future__ import annotations

import ast
import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER, resolve_name
from types import CodeType

# Of no use to create, start, state, kill, delete, run, exec once they have begun; imported from their own files.
COLD = (
    *("__main__", "pack", "cli.features", "cli.help", "cli.plan", "cli.spec", "cli.validate"),
    "container.machine",
    *("config.report", "config.schema.documents"),
)


# Each is a module, the last in its line, and all that it imports but what those before it have: the commands that
# engines wait for, what comes before them, and what `run` needs late.
PIECES = {
    "trust": ("trust",),
    "main": ("trust", "cli.main"),
    **{
        name: ("trust", "cli.main", f"cli.{name}")
        for name in ("create", "run", "exec", "start", "state", "kill", "delete")
    },
    "supervise": ("trust", "cli.main", "cli.run", "container.supervise"),
}
# Needed after its own piece, besides modules of their own.
LATE_PIECES = {"run": ["supervise"]}
# Over before anybody notices that they have begun: reading everything that they may import would be most of their work.
QUICK = ("state", "list", "features", "help", "version")


class _Strip(ast.NodeTransformer):
    """Leave out docstrings, annotations and what stands under `if TYPE_CHECKING`."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign(targets=[node.target], value=self.visit(node.value)), node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or None
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "__future__" else node  # of annotations, which are gone

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if constant else self.generic_visit(node)


def strip(source: str, name: str) -> CodeType:
    """The code of a module without what only people and type checkers read; line numbers stay."""
    return _compiled(_Strip().visit(ast.parse(source, name)), name)


def _compiled(tree: ast.Module, name: str) -> CodeType:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.With, ast.If, ast.For, ast.While, ast.ExceptHandler)):
            node.body = node.body or [ast.Pass()]
    ast.fix_missing_locations(tree)
    return compile(tree, name, "exec", dont_inherit=True)


def imports(source: str, package: str, late: bool = False) -> list[str]:
    """What a module of `package` imports when it is imported itself, in order; some of the names may be no modules.

    `late`: and what it imports at any time afterwards."""
    found = []
    tree = _Strip().visit(ast.parse(source))
    for node in ast.walk(tree) if late else tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found


def order(root: str, needs: dict[str, list[str]]) -> list[str]:
    """The module `root` and all that it needs, in the order in which Python finishes them: a package comes behind those
    of its modules that it imports itself, and before the others."""
    done: list[str] = []
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name not in needs or name in begun:
            return
        visit(name.rpartition(".")[0])
        if name in begun:  # its package imports it
            return
        begun.add(name)
        for other in needs[name]:
            visit(other)
        done.append(name)

    visit(root)
    return done


def sources(package: str, generated: list[str]) -> dict[str, str]:
    """Place -> file of every module. A place is relative: nobody knows yet where the package will be."""
    files = {}
    for directory, names, leaves in os.walk(package):
        names[:] = [name for name in names if name != "__pycache__"]
        for leaf in leaves:
            if leaf.endswith(".py"):
                path = os.path.join(directory, leaf)
                files["pyoci/" + os.path.relpath(path, package)] = path
    for path in generated:
        files["pyoci/config/schema/" + os.path.basename(path)] = path
    return dict(sorted(files.items()))


class _WithoutPack(_Strip):
    """Leaves out the import of what stands before it in the same file."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module == "pyoci.pack" else super().visit_ImportFrom(node)


def start(package: str) -> bytes:
    """pack.py and behind it __main__.py as one .pyc: the magic number, no hash (0), neither time nor size of a source,
    the code."""
    body: list[ast.stmt] = []
    for name, visitor in (("pack.py", _Strip()), ("__main__.py", _WithoutPack())):
        with open(os.path.join(package, name), encoding="utf-8") as file:
            body += visitor.visit(ast.parse(file.read(), name)).body
    code = _compiled(ast.Module(body=body, type_ignores=[]), "pyoci/pack.py")
    return MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


Collected = tuple[dict[str, tuple[bool, CodeType]], dict[str, list[str]], dict[str, list[str]]]


def collect(package: str, generated: list[str]) -> Collected:
    """What pack.dump() takes: name -> whether it is a package, code; the modules of each piece; what comes late."""
    modules: dict[str, tuple[bool, CodeType]] = {}
    needs, ever = {}, {}
    for place, path in sources(package, generated).items():
        name = place.removesuffix(".py").replace("/", ".")
        if name.removeprefix("pyoci.") in COLD:
            continue
        with open(path, encoding="utf-8") as file:
            text = file.read()
        is_package = name.endswith(".__init__")
        name = name.removesuffix(".__init__")
        modules[name] = (is_package, strip(text, place))
        parent = name if is_package else name.rpartition(".")[0]
        needs[name] = imports(text, parent)
        ever[name] = imports(text, parent, late=True)
    pieces = {}
    for piece, line in PIECES.items():
        *before, last = (order(f"pyoci.{name}", needs) for name in line)
        pieces[piece] = [name for name in last if not any(name in names for names in before)]
    return modules, pieces, late(pieces, ever)


def late(pieces: dict[str, list[str]], ever: dict[str, list[str]]) -> dict[str, list[str]]:
    """By command: the pieces and modules that it may import once its own piece is there."""
    found: dict[str, list[str]] = {}
    for module in ever:
        command = module.removeprefix("pyoci.cli.")
        if command in QUICK:
            found[command] = []
        elif command != module:  # or what commands share: of no use and no harm
            later = LATE_PIECES.get(command, [])
            there = {name for piece in ("trust", "main", command, *later) for name in pieces.get(piece, ())}
            found[command] = [*later, *sorted({*order(module, ever)} - there)]
    return found


if __name__ == "__main__":
    package, output, first, *generated = sys.argv[1:]
    sys.path.insert(0, os.path.dirname(os.path.abspath(package)))
    from pyoci import pack

    with open(output, "wb") as file:
        file.write(pack.dump(*collect(package, generated)))
    with open(first, "wb") as file:
        file.write(start(package))
