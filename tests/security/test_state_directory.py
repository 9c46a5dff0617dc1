"""A name leads nowhere but to a directory below --root, and that directory is nobody else's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pyoci.container import state
from tests.container.box import alive
from tests.security.harness import Arena

pytestmark = pytest.mark.root

STRANGER = 1234
NAMES = ["", ".", "..", "../x", "../canary", "a/b", "/", "/etc", "a\nb", "a b", "ä", "@seccomp", "x" * 1025, "a\tb"]
COMMANDS = [("state",), ("start",), ("kill",), ("delete",), ("delete", "--force"), ("create",), ("run",)]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_are_none(arena: Arena, name: str) -> None:
    bundle = str(arena.bundle("true"))
    for command in COMMANDS:
        options = ("--bundle", bundle) if command[0] in ("create", "run") else ()
        done = arena(*command, *options, "--", name)
        assert arena.is_clean_failure(done), (command, done)
        assert ("container id cannot be empty" if not name else "invalid container ID format") in done.stderr
    assert os.listdir(arena.root) == []
    done = arena("run", "--bundle", bundle, "--", "a-name_that.is+1")
    assert (done.returncode, done.stderr) == (0, "")


def link(path: Path, canary: Path) -> None:
    path.symlink_to(canary)


def foreign(path: Path, canary: Path) -> None:
    path.mkdir()
    shutil.copy(path.parent / "other/state.json", path)
    os.chown(path, STRANGER, STRANGER)


def for_all(path: Path, canary: Path) -> None:
    path.mkdir()
    shutil.copy(path.parent / "other/state.json", path)
    path.chmod(0o777)


def file(path: Path, canary: Path) -> None:
    path.write_text("")


@pytest.mark.parametrize("trap", [link, foreign, for_all, file])
def test_the_name_is_taken_by_a_trap(arena: Arena, trap: object) -> None:
    """Whoever prepared it: nothing is read from it, nothing written into it, and other containers are not affected."""
    assert callable(trap)
    bundle = str(arena.bundle("true"))
    pid = arena.create(Path(bundle), "other")
    trap(arena.root / "c", arena.canary)
    known = os.listdir(arena.root / "c") if (arena.root / "c").is_dir() else []
    for command in (("create", "--bundle", bundle), ("run", "--bundle", bundle), ("state",), ("start",), ("kill",)):
        assert arena.is_clean_failure(arena(*command, "c")), command
    assert (os.listdir(arena.root / "c") if (arena.root / "c").is_dir() else []) == known
    listed = arena("list", "-q")
    assert (listed.returncode, listed.stdout) == (0, "other\n")
    assert alive(pid)
    done = arena("delete", "--force", "c")
    assert done.returncode == 0 or arena.is_clean_failure(done)
    path = arena.root / "c"
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)
    done = arena("run", "--bundle", str(arena.bundle("true")), "c")  # the control: the name is one
    assert (done.returncode, done.stderr) == (0, "")


def test_delete_does_not_follow_links(arena: Arena) -> None:
    """In the directory of a container that is being removed: the canary below them stays."""
    arena.create(arena.bundle("true"))
    (arena.root / "c/link").symlink_to(arena.canary)
    (arena.root / "c/notify").mkdir(exist_ok=True)
    (arena.root / "c/notify/link").symlink_to(arena.canary / "dir")
    assert arena("delete", "c").stderr == ""
    assert os.listdir(arena.root) == []


def test_no_link_is_removed_as_a_directory(arena: Arena, tmp_path: Path) -> None:
    """One that takes a directory's place after it was looked at: what it leads to stays as it is."""
    (tmp_path / "link").symlink_to(arena.canary)
    before = sorted(os.listdir(arena.canary))
    holder = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(NotADirectoryError):
            state.remove_directory(holder, "link")
    finally:
        os.close(holder)
    assert sorted(os.listdir(arena.canary)) == before != []


@pytest.mark.parametrize(
    ("owner", "mode", "accepted"),
    [
        pytest.param(0, 0o700, True, id="ours"),
        pytest.param(0, 0o1777, True, id="for all, sticky"),
        pytest.param(0, 0o777, False, id="for all"),
        pytest.param(STRANGER, 0o700, False, id="a stranger's"),
        pytest.param(STRANGER, 0o1777, False, id="a stranger's, sticky"),
    ],
)
def test_whose_root(arena: Arena, tmp_path: Path, owner: int, mode: int, accepted: bool) -> None:
    """Who may rename what lies in it can give a container another one's state."""
    root = tmp_path / "other-root"
    root.mkdir()
    root.chmod(mode)
    os.chown(root, owner, owner)
    done = arena("--root", str(root), "run", "--bundle", str(arena.bundle("echo here")), "c")
    if accepted:
        assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")
        return
    assert arena.is_clean_failure(done)
    assert "may be changed by others" in done.stderr.splitlines()[0]
    assert os.listdir(root) == []
    for command in ("state", "start", "kill", "delete"):
        assert "may be changed by others" in arena("--root", str(root), command, "c").stderr


def test_root_through_a_link(arena: Arena, tmp_path: Path) -> None:
    """As /var/run is: the link is the administrator's."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    done = arena("--root", str(tmp_path / "link"), "run", "--bundle", str(arena.bundle("echo here")), "c")
    assert (done.stdout, done.stderr) == ("here\n", "")
