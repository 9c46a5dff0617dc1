"""The constants are those of the system's headers; each is used, and defined nowhere else."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from pyoci.kernel import constants

KERNEL = "mount fcntl openat2 sched prctl seccomp magic limits".split()
LIBC = "sys/mount.h sys/statvfs.h signal.h net/if.h".split()
ENUM = "FSCONFIG_"  # members of an enum, which #ifdef does not see


def compiled(names: list[str], headers: list[str], directory: Path) -> dict[str, int]:
    """The values that the C compiler gives to those of `names` that `headers` define."""
    lines = [
        "#define _GNU_SOURCE",
        "#include <stdio.h>",
        *(f"#include <{header}>" for header in headers),
        "int main() {",
    ]
    for name in names:
        show = f'printf("{name} %lld\\n", (long long)({name}));'
        lines += [show] if name.startswith(ENUM) else [f"#ifdef {name}", show, "#endif"]
    (directory / "c.c").write_text("\n".join([*lines, "}"]))
    subprocess.run(["cc", "-w", "-o", directory / "c", directory / "c.c"], check=True)
    text = subprocess.run([directory / "c"], capture_output=True, text=True, check=True).stdout
    return {name: int(value) % 2**64 for name, value in (line.split() for line in text.splitlines())}


def test_constants(tmp_path: Path) -> None:
    ours = {name: value % 2**64 for name, value in names().items()}
    theirs = compiled(list(ours), [*(f"linux/{name}.h" for name in KERNEL), "asm-generic/resource.h"], tmp_path)
    theirs |= compiled([name for name in ours if not name.startswith(ENUM)], LIBC, tmp_path)
    assert {name: ours[name] for name in theirs} == theirs
    assert set(ours) - set(theirs) <= {"ST_NOSYMFOLLOW", "INITIAL_USER_INODE"}  # those stand in no header for programs


PROJECT = Path(__file__).parent.parent.parent
OURS = PROJECT / "pyoci/kernel/constants.py"
DISTINCTIVE = 1 << 16  # a number above this that equals a constant stands for it; smaller ones are numbers like others
COINCIDENCES = {  # other constants of the kernel that have the same number
    "kernel/keyring.py": {"MS_SLAVE", "OPEN_TREE_CLOEXEC"},  # KEY_USR_SEARCH
    "kernel/process.py": {"CLONE_NEWNET"},  # __WALL
    "seccomp/bpf.py": {"CLONE_NEWPID"},  # __AUDIT_ARCH_CONVENTION_MIPS64_N32
}
READ_AS_A_TABLE = "RLIMIT_"  # config/process.py takes all of them by their prefix


def names() -> dict[str, int]:
    return {name: value for name, value in vars(constants).items() if name.isupper()}


def uses(text: str) -> set[str]:
    """The constants that a file imports by name or reads from the module."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "pyoci.kernel.constants":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "constants":
            found.add(node.attr)
    return found


def copies(text: str) -> set[str]:
    """The constants that a file defines again, under their own names, with "_" in front, or as a number."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found |= {node.id.lstrip("_")} & set(names())
        elif isinstance(node, ast.Constant) and isinstance(node.value, int) and node.value > DISTINCTIVE:
            found |= {name for name, value in names().items() if value == node.value}
    return found


def test_each_is_used() -> None:
    files = [path for path in (PROJECT / "pyoci").rglob("*.py") if path != OURS]
    used = set().union(*(uses(path.read_text()) for path in files))
    assert {name for name in names() if not name.startswith(READ_AS_A_TABLE)} <= used


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "pyoci").rglob("*.py")), ids=lambda path: str(path.relative_to(PROJECT))
)
def test_each_has_one_definition(path: Path) -> None:
    if path != OURS and path.name not in ("table.py", "documents.py"):
        assert copies(path.read_text()) <= COINCIDENCES.get(str(path.relative_to(PROJECT / "pyoci")), set())


def test_the_tests_see_uses_and_copies() -> None:
    text = "from pyoci.kernel.constants import SIGKILL as KILL\nfrom pyoci.kernel import constants\n"
    assert uses(text + "print(constants.MS_REC)") == {"SIGKILL", "MS_REC"}
    assert copies("_SIGKILL, SIGHUP = 9, 1") == {"SIGKILL", "SIGHUP"}
    assert copies("print(0x10000000)") == {"CLONE_NEWUSER"}
