"""Installations that a test may lose: the installed runtime with an interpreter and a standard library of its own."""

from __future__ import annotations

import itertools
import os
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.box import Box, boxes

NEEDED = (
    "pyoci",
    "prctl*",
    "_prctl*",
    "attr*",
    "jeepney*",
    "jsonschema*",
    "pyroute2*",
    "referencing*",
    "rpds*",
    "typing*",
)
SKIPPED = ("test", "tests", "idlelib", "ensurepip", "lib2to3", "config-*", "*-packages", "tkinter", "turtle*", "pydoc*")
_numbers = itertools.count()


class Installation:
    """PREFIX with bin/pyoci, bin/python3, and below lib/python3.N the standard library and every package needed."""

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        self.program = prefix / "bin/pyoci"
        [self.package] = prefix.glob("lib/python3.*/site-packages/pyoci")
        self.site = self.package.parent
        self.library = self.site.parent
        self.interpreter = (prefix / "bin/python3").resolve()

    def files(self) -> list[Path]:
        return [path for path in self.prefix.rglob("*") if path.is_file() and not path.is_symlink()]


def _make(pyoci: str, prefix: Path) -> None:
    own = Path(pyoci).resolve()
    [package] = {path.resolve() for path in own.parent.parent.glob("lib*/python3*/*-packages/pyoci")}
    interpreter = (own.parent / "python3").resolve()
    if not interpreter.exists():
        interpreter = Path("/usr/bin/python3").resolve()
    library = prefix / "lib" / interpreter.name
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(own, prefix / "bin/pyoci")
    shutil.copy2(interpreter, prefix / "bin" / interpreter.name)
    (prefix / "bin/python3").symlink_to(interpreter.name)
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=shutil.ignore_patterns(*SKIPPED), symlinks=False)
    (library / "site-packages").mkdir()
    for pattern in NEEDED:
        for path in package.parent.glob(pattern):
            copy = shutil.copytree if path.is_dir() else shutil.copy2
            copy(path, library / "site-packages" / path.name)


@pytest.fixture(scope="session")
def original(pyoci: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What installations of single tests are copies of."""
    prefix = tmp_path_factory.mktemp("original") / "prefix"
    _make(pyoci, prefix)
    return prefix


@pytest.fixture
def installation(original: Path, tmp_path: Path) -> Installation:
    """One that works, and belongs to the test."""
    shutil.copytree(original, tmp_path / "prefix", symlinks=True)
    return Installation(tmp_path / "prefix")


@pytest.fixture
def box(pyoci: str, tmp_path: Path, reporter: Path) -> Iterator[Box]:
    """Containers; its commands are the installed runtime's, unless a test says otherwise."""
    yield from boxes(pyoci, tmp_path, f"pyoci-installation-{os.getpid()}-{next(_numbers)}", reporter, "host")
