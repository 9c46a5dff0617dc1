from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyoci.cli import root
from pyoci.errors import Error
from tests.cli.conftest import AS_USER

CODE = "from pyoci.cli.root import default_root; print(default_root())"
# A child makes the namespace and waits, its parent writes the maps, and the child goes on in it.
IN_NAMESPACE = """
import ctypes, os, sys
size = sys.argv[1]
made, go = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    assert ctypes.CDLL(None).unshare(0x10000000) == 0  # CLONE_NEWUSER
    os.write(made[1], b"x")
    os.read(go[0], 1)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
os.read(made[0], 1)
for kind in ("uid", "gid"):
    with open(f"/proc/{pid}/{kind}_map", "w") as file:
        file.write(f"0 0 {size}")
os.write(go[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
PACKAGE = Path(root.__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes user namespaces and changes the user")


def default(prefix: list[str], **env: str) -> str:
    return output([*prefix, sys.executable, "-c", CODE], **env)


def output(command: list[str], **env: str) -> str:
    return subprocess.run(command, env=env, cwd=PACKAGE, capture_output=True, text=True, check=True).stdout.strip()


def test_of_root() -> None:
    """XDG_RUNTIME_DIR is set for root too, after `su` for example; containers must be found all the same."""
    if os.geteuid() == 0:
        assert default([], XDG_RUNTIME_DIR="/run/user/0") == "/run/pyoci"
    assert default([]) == "/run/pyoci"


@pytest.mark.root
@needs_root
def test_of_a_user() -> None:
    assert default(AS_USER, XDG_RUNTIME_DIR="/run/user/1000") == "/run/user/1000/pyoci"
    assert default(AS_USER, XDG_RUNTIME_DIR="") == "/run/pyoci"


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("size", [1, 4294967295])
def test_of_a_root_within_a_user_namespace(size: int) -> None:
    """A map of all ids looks like the initial namespace and is none: its inode tells."""
    command = [sys.executable, "-c", IN_NAMESPACE, str(size), CODE]
    assert output(command, XDG_RUNTIME_DIR="/run/user/7", USER="foo") == "/run/user/7/pyoci"
    assert output(command, XDG_RUNTIME_DIR="/run/user/7") == "/run/user/7/pyoci"
    assert output(command, XDG_RUNTIME_DIR="/run/user/7", USER="root") == "/run/pyoci"


@pytest.mark.parametrize("path", ["", "/", "//", "///", "/.", "/a/..", "/../.."])
def test_the_file_system_s_root_is_refused(path: str) -> None:
    with pytest.raises(Error, match="Option --root argument should not be set to /"):
        root.absolute(path)


def test_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert root.absolute("a/../b/") == f"{tmp_path}/b"


def test_the_default_is_made_private_and_sticky(tmp_path: Path) -> None:
    made = tmp_path / "user" / "pyoci"
    root.make_default_root(str(made))
    assert stat.S_IMODE(made.stat().st_mode) == 0o1700
    root.make_default_root(str(made))


def test_a_default_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Error) as caught:
        root.make_default_root(str(tmp_path / "file" / "pyoci"))
    assert "XDG_RUNTIME_DIR" in caught.value.hint
