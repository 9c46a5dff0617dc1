"""The kernel's files are read as bytes, in lines that end with b"\\n": pyoci/kernel/textfile.py says why.

Nothing in pyoci/ needs text mode for reading, splitlines() or a split of text that was bytes, so all of them are
forbidden everywhere: nobody has to decide what is the kernel's. The exceptions are no files of the kernel.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_layers import MODULES, PACKAGE, name_of

READING = {"read_text", "readline", "readlines", "splitlines"}
SPLITTING = {"split", "rsplit", "partition", "rpartition", "index", "find", "startswith", "replace"}
PROC = {"proc", "descriptors['proc']"}  # how a directory of procfs is called, for a name below it
# What is opened there and not read: to be joined, mapped, or opened again as another file.
NO_READING = ("O_PATH", "O_WRONLY", "/fd/", "/ns/")
DECODING = {"decode", "fsdecode"}
# Our own messages of a socket, made of texts without NUL and split at NUL.
EXCEPTIONS = {("pyoci.channel", "split of what was decoded")}


def faults(source: str) -> list[str]:
    """What a module does with files that it must not, as "LINE: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        if name in READING:
            found.append(f"{node.lineno}: {name}()")
        if name == "open" and isinstance(node.func, ast.Name) and not set("bwax") & set(mode(node)):
            found.append(f"{node.lineno}: open() in text mode")
        if name in SPLITTING and isinstance(node.func, ast.Attribute) and decodes(node.func.value):
            found.append(f"{node.lineno}: split of what was decoded")
        if (
            name == "open"
            and node.args
            and (is_below_proc(node) or literal(node.args[0]).startswith(("/proc/", "/sys/")))
            and not any(word in ast.unparse(node) for word in NO_READING)
        ):
            found.append(f"{node.lineno}: open() of a file of the kernel instead of textfile.read()")
    return found


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def mode(node: ast.Call) -> str:
    """The mode that a call of open() gives; "r" is the default."""
    given = [one.value for one in node.keywords if one.arg == "mode"] or node.args[1:2]
    return str(given[0].value) if given and isinstance(given[0], ast.Constant) else "r"


def decodes(node: ast.expr) -> bool:
    """Whether an expression ends in decode() or fsdecode(), with strip() and the like behind it or not."""
    while isinstance(node, ast.Call):
        if called(node) in DECODING:
            return True
        if not isinstance(node.func, ast.Attribute):
            return False
        node = node.func.value
    return False


def is_below_proc(node: ast.Call) -> bool:
    """Whether a call of open() has a name that is written there, and a directory that is procfs."""
    directories = [ast.unparse(one.value).rpartition(".")[2] for one in node.keywords if one.arg == "dir_fd"]
    return isinstance(node.args[0], ast.Constant | ast.JoinedStr) and not PROC.isdisjoint(directories)


def literal(node: ast.expr) -> str:
    """The text that a string, an f-string included, begins with."""
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_bytes_only(path: Path) -> None:
    found = [fault for fault in faults(path.read_text()) if (name_of(path), fault.split(": ")[1]) not in EXCEPTIONS]
    assert found == [], f"{path.relative_to(PACKAGE.parent)}: read it with pyoci/kernel/textfile.py"


@pytest.mark.parametrize(
    "source",
    [
        'open("/proc/1/status")',
        'open(f"/proc/{pid}/status", encoding="utf-8")',
        'open(descriptor, "r")',
        'open("/proc/1/status", "rb")',
        "os.open('/sys/kernel/x', os.O_RDONLY)",
        'os.open("filesystems", os.O_RDONLY, dir_fd=context.proc)',
        "Path(name).read_text()",
        "file.readlines()",
        "text.splitlines()",
        "data.splitlines(keepends=True)",
        'data.decode().split("\\n")',
        'os.fsdecode(textfile.read("/proc/1/stat")).strip().partition(" ")',
    ],
)
def test_what_is_found(source: str) -> None:
    assert faults(source) != []


@pytest.mark.parametrize(
    "source",
    [
        'open(name, "rb")',
        'open(descriptor, "w", encoding="utf-8")',
        "os.open('/proc/self/x', os.O_WRONLY)",
        "os.open('/proc', os.O_PATH)",
        'data.split(b"\\n")[0].decode()',
        "tree.open(path)",
    ],
)
def test_what_is_left_alone(source: str) -> None:
    assert faults(source) == []
