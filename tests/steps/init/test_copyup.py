"""tmpcopyup: what a tmpfs starts with."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from errno import EMFILE
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.copyup import MountCopy
from tests.isolation import top_mount
from tests.security.harness import helper
from tests.steps.scene import at_root, carry_out, mount

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A root with a directory of everything that an image may hold."""
    filled = tmp_path / "root/filled"
    (filled / "inner/deep").mkdir(parents=True)
    (filled / "file").write_bytes(os.urandom(3 << 20))
    (filled / "inner/secret").write_text("secret")
    (filled / "inner/secret").chmod(0o4711)
    os.chown(filled / "inner/secret", 3, 4)
    (filled / "inner/secret").chmod(0o4711)
    os.setxattr(filled / "inner/secret", "trusted.pyoci", b"value")
    os.symlink("/etc/shadow", filled / "link")
    os.symlink("nowhere", filled / "dangling")
    os.lchown(filled / "link", 5, 6)
    os.mkfifo(filled / "fifo", 0o640)
    os.mknod(filled / "null", 0o20600, os.makedev(1, 3))
    os.utime(filled / "file", ns=(1_000_000_001, 2_000_000_002))
    (filled / "inner").chmod(0o2751)
    filled.chmod(0o1750)
    os.chown(filled, 7, 8)
    os.utime(filled / "inner", ns=(3, 4))
    return tmp_path / "root"


def walk(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        status = path.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        attributes = (
            {} if stat.S_ISLNK(status.st_mode) else {name: os.getxattr(path, name) for name in os.listxattr(path)}
        )
        times = (
            None
            if stat.S_ISLNK(status.st_mode) or stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode)
            else status.st_mtime_ns
        )
        found[str(path.relative_to(top))] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            content,
            attributes,
            times,
        )
    return found


def test_everything_is_copied_as_it_is(rootfs: Path) -> None:
    before = walk(rootfs / "filled")

    def body(made: InitContext) -> tuple[dict[str, Any], dict[str, Any]]:
        carry_out(made, MountCopy(pointer="/mounts/0", mount=mount("/filled", "tmpfs", "t", "tmpcopyup")))
        return walk(rootfs / "filled"), top_mount(f"{rootfs}/filled")

    after, found = at_root(rootfs, body)
    assert found["type"] == "tmpfs"
    assert after == before
    assert walk(rootfs / "filled") == before


@pytest.mark.parametrize("files", [2000, 500])
def test_very_many_levels(tmp_path: Path, files: int) -> None:
    """An image chooses how many; the error says what limits them."""
    deepest = tmp_path / "root/filled" / "/".join("d" * 700)
    deepest.mkdir(parents=True)
    (deepest / "file").touch()

    def body(made: InitContext) -> bool:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        carry_out(made, MountCopy(pointer="/mounts/0", mount=mount("/filled", "tmpfs", "t", "tmpcopyup")))
        return (deepest / "file").exists()

    try:
        if files > 1400:
            assert at_root(tmp_path / "root", body)
            return
        with pytest.raises(StepError) as caught:
            at_root(tmp_path / "root", body)
        assert caught.value.errno == EMFILE and "RLIMIT_NOFILE" in caught.value.hint
    finally:
        subprocess.run(["rm", "-r", tmp_path / "root"], check=True)  # too deep for Python's


def test_links_are_not_followed(rootfs: Path, tmp_path: Path) -> None:
    """A link to a directory outside stays a link."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    os.symlink(tmp_path / "outside", rootfs / "filled/away")

    def body(made: InitContext) -> bool:
        carry_out(made, MountCopy(mount=mount("/filled", "tmpfs", "t", "tmpcopyup")))
        return (rootfs / "filled/away").is_symlink()

    assert at_root(rootfs, body)


def test_what_does_not_exist_is_copied_as_nothing(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[list[str], str]:
        carry_out(made, MountCopy(mount=mount("/new", "tmpfs", "t", "tmpcopyup")))
        return os.listdir(rootfs / "new"), top_mount(f"{rootfs}/new")["type"]

    assert at_root(rootfs, body) == ([], "tmpfs")


@pytest.mark.parametrize("size", ["1m", "2560k"])  # full between two blocks, and within the last one
def test_a_tmpfs_that_is_too_small(tmp_path: Path, size: str) -> None:
    """It fails; the rest of a file is not lost silently."""
    (tmp_path / "root/filled").mkdir(parents=True)
    (tmp_path / "root/filled/file").write_bytes(bytes(3 << 20))
    step = MountCopy(pointer="/mounts/0", mount=mount("/filled", "tmpfs", "t", f"tmpcopyup,size={size}"))
    with pytest.raises(StepError) as caught:
        at_root(tmp_path / "root", lambda made: carry_out(made, step))
    assert os.strerror(caught.value.errno) == "No space left on device"


def test_files_that_are_exchanged_meanwhile(tmp_path: Path) -> None:
    """With a device that never ends: what was looked at is what is copied."""
    filled = tmp_path / "root/filled"
    filled.mkdir(parents=True)
    (filled / "file").write_text("content")
    os.mknod(filled / "zero", 0o20666, os.makedev(1, 5))

    def body(made: InitContext) -> list[str]:
        found = []
        for _ in range(100):
            carry_out(made, MountCopy(mount=mount("/filled", "tmpfs", "t", "tmpcopyup,size=1m")))
            found += [kind_and_content(filled / name) for name in ("file", "zero")]
            subprocess.run(["umount", filled], check=True)
        return found

    swapper = subprocess.Popen([helper("swap"), filled / "file", filled / "zero"], stdout=subprocess.PIPE, text=True)
    assert swapper.stdout
    swapper.stdout.readline()
    try:
        found = at_root(tmp_path / "root", body)
    finally:
        swapper.terminate()
        exchanged = int(swapper.communicate(timeout=20)[0].split()[0])
    assert exchanged > 1000, "that was no race"
    assert set(found) == {"device", "content"}, "both have been caught, and nothing else"


def kind_and_content(path: Path) -> str:
    return path.read_text() if stat.S_ISREG(path.lstat().st_mode) else "device"


def test_no_descriptor_is_left_open(rootfs: Path) -> None:
    def body(made: InitContext) -> int:
        before = len(os.listdir(f"/proc/{os.getpid()}/fd"))
        carry_out(made, MountCopy(mount=mount("/filled", "tmpfs", "t", "tmpcopyup")))
        return len(os.listdir(f"/proc/{os.getpid()}/fd")) - before

    assert at_root(rootfs, body) == 0
