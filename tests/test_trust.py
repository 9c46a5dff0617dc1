"""Modules that others may write are not imported, wherever they are found."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pyoci import trust
from pyoci.errors import Error
from tests.access_lists import BY_GROUP, CASES, USER, give, may_write

PROJECT = Path(__file__).parent.parent
TAG = sys.implementation.cache_tag
SCRIPT = """
import sys
sys.path.insert(0, {project!r})
from pyoci import trust
trust.install()
sys.path.insert(0, {place!r})
try:
    import package.module
    print("imported")
except Exception as error:
    print(error)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory for sys.path with package/module.py, compiled."""
    directory = tmp_path / "above" / "site-packages"
    (directory / "package").mkdir(parents=True)
    (directory / "package/__init__.py").touch()
    (directory / "package/module.py").write_text("x = 1\n")
    for path in directory.glob("package/*.py"):  # where $PYTHONPYCACHEPREFIX has no say
        py_compile.compile(str(path), str(path.parent / "__pycache__" / f"{path.stem}.{TAG}.pyc"), doraise=True)
    for path in directory.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return directory


def load(place: Path) -> str:
    """What an interpreter prints that imports the module: "imported", or what is refused."""
    script = SCRIPT.format(project=str(PROJECT), place=str(place))
    command = [sys.executable, "-I", "-S", "-B", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.rstrip("\n")


PARTS = (
    *("package/module.py", f"package/__pycache__/module.{TAG}.pyc", f"package/__pycache__/__init__.{TAG}.pyc"),
    *("package/__init__.py", "package/__pycache__", "package", "."),
)


@pytest.mark.root
@pytest.mark.parametrize(("mode", "words"), [(0o777, "everybody"), (0o772, "everybody"), (0o775, "a group")])
@pytest.mark.parametrize("part", [*PARTS, ".."])
def test_writable_by_others(place: Path, part: str, mode: int, words: str) -> None:
    assert load(place) == "imported"
    path = place.parent if part == ".." else place / part
    os.chown(path, 0, 1234)
    path.chmod(mode)
    assert load(place) == f"refusing to run: {path} is writable by {words}"


@pytest.mark.parametrize(("part", "accepted"), [("package", False), (".", False), ("..", True)])
def test_sticky_directories(place: Path, part: str, accepted: bool) -> None:
    """Anybody can add to one, so only those above sys.path's may be."""
    path = place.parent if part == ".." else place / part
    path.chmod(0o1777)
    assert load(place) == ("imported" if accepted else f"refusing to run: {path} is writable by everybody")


@pytest.mark.root
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("part", ["package/module.py", "package"])
def test_access_lists(place: Path, part: str, case: str) -> None:
    """The same judgement as the launcher's, which is the kernel's."""
    entries, options, said = CASES[case]
    path = place / part
    give(path, *entries, **options)
    assert (may_write(path, 1234, 1234) or may_write(path, 4321, 4321)) == bool(said)
    assert load(place) == (f"refusing to run: {path} {said}" if said else "imported")


@pytest.mark.root
def test_access_list_and_owning_group(place: Path) -> None:
    os.chown(place, 0, 1234)
    give(place, (USER, 7, 0))
    assert load(place) == "imported"
    give(place, (USER, 7, 0), group=7)
    assert load(place) == f"refusing to run: {place} {BY_GROUP}"


def test_links_are_followed(place: Path) -> None:
    """A module or a directory that is a link: the place that it leads to decides, and the link's own place."""
    elsewhere = place.parent / "elsewhere"
    elsewhere.mkdir()
    (place / "package/module.py").rename(elsewhere / "module.py")
    (place / "package/module.py").symlink_to(elsewhere / "module.py")
    assert load(place) == "imported"
    elsewhere.chmod(0o777)
    assert load(place) == f"refusing to run: {elsewhere} is writable by everybody"
    elsewhere.chmod(0o755)
    (place / "package").rename(elsewhere / "package")
    (place / "package").symlink_to("../elsewhere/package")
    assert load(place) == "imported"
    (elsewhere / "package").chmod(0o777)
    assert "elsewhere/package is writable by everybody" in load(place)


def test_archives(place: Path) -> None:
    archive = place.parent / "python.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(place / "package/__init__.py", "package/__init__.py")
        file.write(place / "package/module.py", "package/module.py")
    assert load(archive) == "imported"
    archive.chmod(0o666)
    assert load(archive) == f"refusing to run: {archive} is writable by everybody"


def test_a_directory_without_code_needs_no_check(place: Path) -> None:
    (place / "package/__init__.py").unlink()
    assert load(place) == "imported"


def test_what_was_imported_before(tmp_path: Path) -> None:
    """An interpreter whose standard library is not where its name says: the launcher has not looked at it."""
    script = f"""
import sys, os, stat
sys.path.insert(0, {str(PROJECT)!r})
from pyoci import trust
sys.orig_argv[0] = sys.argv[1]
trust.__spec__ = None  # as from modules.pack
posix = sys.modules["posix"]
real = trust.lstat
class Status:
    st_mode, st_gid = 0o100666, 0
trust.lstat = lambda path: Status() if path.endswith("encodings/aliases.py") else real(path)
try:
    trust.install()
    print("fine")
except Exception as error:
    print(error)
"""
    for argv0, refused in ((os.path.realpath(sys.executable), False), ("/nowhere/bin/python3", True)):
        command = [sys.executable, "-I", "-S", "-B", "-c", script, argv0]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ("encodings/aliases.py is writable by everybody" in done.stdout) == refused, (done.stdout, done.stderr)
        assert ("fine" in done.stdout) != refused


def test_directories_are_asked_about_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real: Callable[..., os.stat_result] = os.lstat
    monkeypatch.setattr(trust, "_seen", set())
    monkeypatch.setattr(trust, "lstat", lambda path: seen.append(path) or real(path))
    monkeypatch.setattr(sys, "path", [str(place)])
    trust.check_file(str(place / "package/__init__.py"))
    first = len(seen)
    trust.check_file(str(place / "package/module.py"))
    assert first == len(place.parts) + 2 and seen[first:] == [str(place / "package/module.py")]
    place.chmod(0o777)
    monkeypatch.setattr(trust, "_seen", set())
    with pytest.raises(Error, match="refusing to run"):
        trust.check_file(str(place / "package/module.py"))
