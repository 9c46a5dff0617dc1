"""Files that others may write are not run (the launcher's part)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.access_lists import BY_GROUP, CASES, GROUP, USER, give, may_write
from tests.native.launcher.conftest import PYTHON, Installation


def library(installation: Installation, name: str) -> Path:
    """A file of the standard library beside an interpreter of the prefix's own."""
    interpreter = installation.prefix / "bin" / PYTHON.name
    installation.own_interpreter().rename(interpreter)
    (installation.prefix / "bin/python3").symlink_to(PYTHON.name)
    path = installation.prefix / "lib" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if "." in path.name and path.name != PYTHON.name else path.mkdir()
        path.chmod(0o755)
    return path


def beside_the_interpreter(installation: Installation, place: str) -> Path:
    installation.own_interpreter()
    path = installation.prefix / place
    path.write_text(f"home = {PYTHON.parent}\n")
    return path


def behind_links(installation: Installation) -> Path:
    """bin/python3 leads to a link elsewhere, which leads to the interpreter."""
    elsewhere = installation.prefix / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "python").symlink_to(PYTHON)
    (installation.prefix / "bin/python3").symlink_to(elsewhere / "python")
    return elsewhere


def behind_a_linked_package(installation: Installation) -> Path:
    elsewhere = installation.prefix / "elsewhere"
    elsewhere.mkdir()
    installation.package.rename(elsewhere / "pyoci")
    installation.package.symlink_to(elsewhere / "pyoci")
    return elsewhere


TAG = sys.implementation.cache_tag
LIBRARY = f"{PYTHON.name}/encodings"
PLACES: dict[str, Callable[[Installation], Path]] = {
    "launcher": lambda i: i.program,
    "launcher's directory": lambda i: i.program.parent,
    "links to the interpreter": behind_links,
    "link to the package": behind_a_linked_package,
    "pyvenv.cfg": lambda i: beside_the_interpreter(i, "pyvenv.cfg"),
    "pyvenv.cfg in bin": lambda i: beside_the_interpreter(i, "bin/pyvenv.cfg"),
    "library's zip": lambda i: library(i, f"python{TAG.removeprefix('cpython-')}.zip"),
    "libpython": lambda i: library(i, f"lib{PYTHON.name}.so.1.0"),
    "encodings": lambda i: library(i, LIBRARY),
    "compiled encodings": lambda i: library(i, f"{LIBRARY}/__pycache__"),
    **{
        f"{name} {kind}": lambda i, name=name, kind=kind: library(i, f"{LIBRARY}/{kind.format(name)}")  # type: ignore[misc]
        for name in ("__init__", "aliases", "utf_8")
        for kind in ("{}.py", f"__pycache__/{{}}.{TAG}.pyc")
    },
    "first modules": lambda i: made(i.package / "pack.py"),
    "first modules beside start": lambda i: [i.start_file(), made(i.package / "trust.py")][1],
    "errors beside start and pack": lambda i: [i.start_file(), i.pack(), made(i.package / "errors.py")][2],
    "compiled first modules": lambda i: made(i.package / "__pycache__" / f"trust.{TAG}.pyc"),
    "package": lambda i: i.package,
    "main": lambda i: i.package / "__main__.py",
    "pack": lambda i: i.pack(),
    "start": lambda i: i.start_file(),
    "site-packages": lambda i: i.package.parent,
    "lib": lambda i: i.package.parent.parent,
    "prefix": lambda i: i.prefix,
    "interpreter": lambda i: i.own_interpreter(),
    "bin": lambda i: i.own_interpreter().parent,
}


def made(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


@pytest.mark.root
@pytest.mark.parametrize("place", PLACES)
def test_the_places_are_fine_as_they_are(installation: Installation, place: str) -> None:
    """Control for what follows."""
    PLACES[place](installation)
    done = installation.start("state")
    assert b"refusing" not in done.stderr


@pytest.mark.root
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("place", ["package", "main", "interpreter"])
def test_access_lists(installation: Installation, place: str, case: str) -> None:
    """What is refused is what another user could write, by the kernel's own judgement."""
    entries, options, said = CASES[case]
    path = PLACES[place](installation)
    give(path, *entries, **options)
    assert (may_write(path, 1234, 1234) or may_write(path, 4321, 4321)) == bool(said)
    if said:
        assert installation.refused("state") == f"pyoci: refusing to run: {path} {said}\n"
    else:
        assert installation.start("state").returncode == 0


@pytest.mark.root
def test_access_list_and_owning_group(installation: Installation) -> None:
    """The group bits of the mode say nothing about the owning group then."""
    os.chown(installation.package, 0, 1234)
    give(installation.package, (USER, 7, 0))
    assert installation.package.stat().st_mode & 0o020
    assert not may_write(installation.package, 1234, 1234)
    installation.run("state")
    give(installation.package, (USER, 7, 0), group=7)
    assert may_write(installation.package, 1234, 1234)
    assert installation.refused("state") == f"pyoci: refusing to run: {installation.package} {BY_GROUP}\n"


@pytest.mark.root
def test_access_list_of_an_ordinary_user(installation: Installation) -> None:
    """Its own id and group may write, as root's may for root."""
    give(installation.package, (USER, 7, 1234), (GROUP, 7, 1234))
    installation.run("state", user=1234, group=1234, extra_groups=[])
    assert "access control list" in installation.refused("state", user=1235, group=1235, extra_groups=[])


@pytest.mark.root
def test_access_list_too_long_to_read(installation: Installation) -> None:
    give(installation.package, *((USER, 5, 2000 + number) for number in range(490)))
    installation.run("state")
    give(installation.package, *((USER, 5, 2000 + number) for number in range(490)), (USER, 7, 1999))
    assert "access control list" in installation.refused("state")


@pytest.mark.root
def test_a_relative_link(installation: Installation) -> None:
    elsewhere = behind_links(installation)
    (installation.prefix / "bin/python3").unlink()
    (installation.prefix / "bin/python3").symlink_to("../elsewhere/python")
    installation.run("state")
    elsewhere.chmod(0o777)
    assert "bin/../elsewhere is writable by everybody" in installation.refused("state")


@pytest.mark.root
def test_links_in_a_circle(installation: Installation) -> None:
    elsewhere = behind_links(installation)
    (elsewhere / "python").unlink()
    (elsewhere / "python").symlink_to("python")
    installation.run("state")  # there is no such interpreter, so the configured one is taken


@pytest.mark.root
@pytest.mark.parametrize(("mode", "words"), [(0o777, "everybody"), (0o772, "everybody"), (0o775, "a group")])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["state", "create"])
def test_writable_by_others(installation: Installation, place: str, mode: int, words: str, command: str) -> None:
    path = PLACES[place](installation)
    os.chown(path, 0, 1234)
    path.chmod(mode)
    assert installation.refused(command) == f"pyoci: refusing to run: {path} is writable by {words}\n"


@pytest.mark.root
def test_group_root_may_write(installation: Installation) -> None:
    installation.package.chmod(0o775)
    installation.run("create")


@pytest.mark.parametrize(("place", "accepted"), [("prefix", True), ("site-packages", False), ("package", False)])
def test_sticky_directories(installation: Installation, place: str, accepted: bool) -> None:
    """In a sticky directory nobody replaces what is there, but anybody adds: fine above, not where Python looks."""
    PLACES[place](installation).chmod(0o1777)
    if accepted:
        installation.run("create")
    else:
        assert "is writable by everybody" in installation.refused("create")


@pytest.mark.root
def test_standard_library(installation: Installation) -> None:
    installation.own_interpreter().rename(installation.prefix / "bin" / PYTHON.name)
    (installation.prefix / "bin/python3").symlink_to(PYTHON.name)
    installation.run("state")
    library = installation.prefix / "lib" / PYTHON.name
    library.chmod(0o1777)
    assert f"{library} is writable" in installation.refused("state")
    library.chmod(0o755)
    library.parent.chmod(0o1777)
    assert f"{library.parent} is writable" in installation.refused("state")


@pytest.mark.root
def test_foreign_owner_is_a_warning_where_a_container_is_made(installation: Installation) -> None:
    main = installation.package / "__main__.py"
    os.chown(main, 1234, 0)
    done = installation.start("create")
    assert done.returncode == 0
    assert done.stderr.decode() == f"pyoci: warning: {main} belongs to neither root nor the caller\n"
    installation.run("state")


@pytest.mark.root
def test_owner_root_is_no_foreigner_for_a_user(installation: Installation) -> None:
    installation.run("create", user=1234, group=1234, extra_groups=[])
