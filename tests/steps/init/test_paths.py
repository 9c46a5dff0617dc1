"""Masked and read-only paths."""

from __future__ import annotations

import os
import resource
from errno import EROFS
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel.constants import MOUNT_ATTR_NOSUID
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.paths import CloseMask, MakePathReadOnly, MaskPath
from tests.isolation import CLONE_NEWNS, mountinfo, top_mount
from tests.steps.scene import at_root, carry_out, put

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    (root / "directory/inner").mkdir(parents=True)
    (root / "directory/file").write_text("secret")
    (root / "file").write_text("secret")
    os.symlink("/file", root / "to-file")
    os.symlink("directory", root / "to-directory")
    os.symlink("/nowhere", root / "dangling")
    return root


def mask(*names: str) -> list[Any]:
    return [
        *(MaskPath(pointer=f"/linux/maskedPaths/{number}", path=name) for number, name in enumerate(names)),
        CloseMask(),
    ]


def frozen(*names: str) -> list[MakePathReadOnly]:
    return [MakePathReadOnly(pointer=f"/linux/readonlyPaths/{number}", path=name) for number, name in enumerate(names)]


def test_a_file_becomes_the_null_device(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[str, int]:
        carry_out(made, *mask("/file"))
        return (rootfs / "file").read_text(), os.stat(rootfs / "file").st_rdev

    assert at_root(rootfs, body) == ("", os.makedev(1, 3))


def test_a_directory_becomes_empty_and_stays_so(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[list[str], set[str], int]:
        carry_out(made, *mask("/directory"))
        try:
            (rootfs / "directory/new").touch()
        except OSError as error:
            return os.listdir(rootfs / "directory"), top_mount(f"{rootfs}/directory")["options"], error.errno or 0
        return [], set(), 0

    names, options, errno = at_root(rootfs, body)
    assert (names, errno) == ([], EROFS)
    assert {"ro", "nosuid", "nodev", "noexec"} <= options


def test_links_are_followed_inside_the_root(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[str, list[str]]:
        carry_out(made, *mask("/to-file", "/to-directory"))
        return (rootfs / "file").read_text(), os.listdir(rootfs / "directory")

    assert at_root(rootfs, body) == ("", [])


@pytest.mark.parametrize("name", ["/missing", "/missing/too", "/file/below", "/dangling"])
def test_what_is_not_there_needs_no_mask(rootfs: Path, name: str) -> None:
    before = sorted(rootfs.rglob("*"))
    assert (
        at_root(rootfs, lambda made: (carry_out(made, *mask(name), *frozen(name)), len(mountinfo(str(rootfs))))[1]) == 1
    )
    assert sorted(rootfs.rglob("*")) == before


def test_all_directories_share_one_mask(rootfs: Path) -> None:
    (rootfs / "second").mkdir()

    def body(made: InitContext) -> tuple[set[int], bool]:
        carry_out(made, *mask("/directory", "/second"))
        return {os.stat(rootfs / name).st_dev for name in ("directory", "second")}, "mask" in made.descriptors

    devices, kept = at_root(rootfs, body)
    assert (len(devices), kept) == (1, False)


def test_two_hundred_masks_with_sixty_four_descriptors(rootfs: Path) -> None:
    """Nothing is held open for each path."""
    for number in range(100):
        (rootfs / f"directory-{number}").mkdir()
        (rootfs / f"directory-{number}/secret").touch()
        (rootfs / f"file-{number}").write_text("secret")

    def body(made: InitContext) -> bool:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        names = [f"/{kind}-{number}" for number in range(100) for kind in ("directory", "file")]
        carry_out(made, *mask(*names))
        carry_out(made, *frozen(*(f"/directory-{number}" for number in range(100))))
        contents = [(rootfs / f"file-{number}").read_text() for number in range(100)]
        names = [name for number in range(100) for name in os.listdir(rootfs / f"directory-{number}")]
        return not any(contents) and not names

    assert at_root(rootfs, body)


@pytest.mark.parametrize("kind", ["missing", "link", "file", "zero"])
def test_a_null_device_that_is_none(rootfs: Path, kind: str) -> None:
    """CVE-2025-31133: a link in its place would bind whatever it names over the file, writable."""
    (rootfs / "dev/null").unlink()
    if kind == "link":
        os.symlink("/directory/file", rootfs / "dev/null")
    elif kind == "file":
        (rootfs / "dev/null").write_text("not null")
    elif kind == "zero":
        os.mknod(rootfs / "dev/null", 0o20666, os.makedev(1, 5))
    with pytest.raises(StepError, match="unable to mask /file: /dev/null in the container") as caught:
        at_root(rootfs, lambda made: carry_out(made, *mask("/file")))
    assert caught.value.pointer == "/linux/maskedPaths/0"


def test_read_only_paths(rootfs: Path) -> None:
    def body(made: InitContext) -> list[object]:
        carry_out(made, *frozen("/directory", "/to-file"))
        found: list[object] = []
        for name in ("directory/file", "directory/new", "file"):
            try:
                (rootfs / name).write_text("changed")
                found.append("written")
            except OSError as error:
                found.append(error.errno)
        return [*found, (rootfs / "file").read_text()]

    assert at_root(rootfs, body) == [EROFS, EROFS, EROFS, "secret"]


def test_read_only_keeps_other_attributes_and_what_is_mounted_below(rootfs: Path) -> None:
    def body(made: InitContext) -> list[set[str]]:
        for name in ("directory", "directory/inner"):
            (rootfs / name).mkdir(exist_ok=True)
            target = os.open(rootfs / name, os.O_PATH)
            kernel.attach(kernel.new_filesystem("tmpfs", attributes=MOUNT_ATTR_NOSUID), target)
        carry_out(made, *frozen("/directory"))
        points = [f"{rootfs}/directory", f"{rootfs}/directory/inner"]
        return [top_mount(point)["options"] for point in points]

    top, below = at_root(rootfs, body, CLONE_NEWNS)
    assert {"ro", "nosuid"} <= top
    assert "rw" in below  # as runc: bind, then remount of the top alone


def test_a_mask_on_top_of_a_read_only_path(rootfs: Path) -> None:
    def body(made: InitContext) -> list[str]:
        carry_out(made, *frozen("/directory"), *mask("/directory/inner", "/directory/file"))
        return [*os.listdir(rootfs / "directory/inner"), (rootfs / "directory/file").read_text()]

    assert at_root(rootfs, body) == [""]


@pytest.mark.parametrize("name", ["/", "/.", "/directory/..", "/to-root"])
def test_the_root_itself(rootfs: Path, name: str) -> None:
    """A bind mount over it would be no more than a mount that nobody sees: it becomes read-only in its place."""
    os.symlink("/", rootfs / "to-root")

    def body(made: InitContext) -> tuple[int, int]:
        with pytest.raises(StepError, match=f"unable to mask {name}: it is the container's root"):
            carry_out(made, *mask(name))
        carry_out(made, *frozen(name))
        try:
            os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=made.root))
        except OSError as error:
            return error.errno or 0, len(mountinfo(str(rootfs)))
        return 0, 0

    assert at_root(rootfs, body) == (EROFS, 1)


def test_the_root_in_another_place_is_another_mount(rootfs: Path) -> None:
    def body(made: InitContext) -> set[str]:
        put(kernel.clone_tree(made.root), rootfs / "directory")
        carry_out(made, *frozen("/directory"), *mask("/directory"))
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=made.root))
        options: set[str] = top_mount(f"{rootfs}/directory")["options"]
        return options

    assert "ro" in at_root(rootfs, body)
