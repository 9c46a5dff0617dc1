"""Files that others may write are not run (SEC-29, the launcher's part)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.conftest import PYTHON, Installation

PLACES: dict[str, Callable[[Installation], Path]] = {
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


@pytest.mark.root
@pytest.mark.parametrize("mode, words", [(0o777, "everybody"), (0o772, "everybody"), (0o775, "a group")])
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


@pytest.mark.parametrize("place, accepted", [("prefix", True), ("site-packages", False), ("package", False)])
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
