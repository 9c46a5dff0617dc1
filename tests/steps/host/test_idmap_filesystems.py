"""Id-mapped mounts of every filesystem type that this machine can make, and what those say which cannot be mapped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from errno import EINVAL
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.steps.host.idmap import OpenIdMapping
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from tests.isolation import in_namespace
from tests.steps.scene import at_root, carry_out, mount, put

pytestmark = pytest.mark.root

ROWS = [{"containerID": 0, "hostID": 2000, "size": 10}]
MEGABYTES = {"ext4": 16, "xfs": 320, "btrfs": 128}  # sparse files, of the least size that each takes


def new(kind: str, place: Path, *data: str) -> None:
    put(kernel.new_filesystem(kind, kind, data), place)


def image(kind: str, place: Path, program: str, *options: str) -> None:
    """Make a filesystem in a file and mount it through a loop device, which goes with the mount."""
    file = place.with_name("image")
    with file.open("wb") as opened:
        opened.truncate(MEGABYTES[kind] << 20)
    subprocess.run([program, *options, str(file)], check=True, capture_output=True)
    subprocess.run(["mount", "-t", kind, "-o", "loop", str(file), str(place)], check=True)


def packed(kind: str, place: Path, command: list[str]) -> None:
    """The same of a read-only filesystem, made of a directory with one file."""
    content = place.with_name("content")
    content.mkdir()
    write(content)
    file = place.with_name("image")
    words = {"CONTENT": str(content), "IMAGE": str(file)}
    subprocess.run([words.get(word, word) for word in command], check=True, capture_output=True)
    subprocess.run(["mount", "-t", kind, "-o", "loop,ro", str(file), str(place)], check=True)


def write(directory: Path) -> None:
    file = directory / "file"
    file.touch()
    os.chown(file, 5, 6)


MAKERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "tmpfs": ("", lambda place: new("tmpfs", place)),
    "hugetlbfs": ("", lambda place: new("hugetlbfs", place)),
    "ext4": ("mkfs.ext4", lambda place: image("ext4", place, "mkfs.ext4", "-q", "-F")),
    "xfs": ("mkfs.xfs", lambda place: image("xfs", place, "mkfs.xfs", "-q")),
    "btrfs": ("mkfs.btrfs", lambda place: image("btrfs", place, "mkfs.btrfs", "-q")),
    "squashfs": ("mksquashfs", lambda place: packed("squashfs", place, ["mksquashfs", "CONTENT", "IMAGE", "-quiet"])),
    "erofs": ("mkfs.erofs", lambda place: packed("erofs", place, ["mkfs.erofs", "IMAGE", "CONTENT"])),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_owners_are_mapped(kind: str, tmp_path: Path) -> None:
    """Uid 5 of the disk is 2005 in the container; the disk itself keeps its owners."""
    program, make = MAKERS[kind]
    if program and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if kind not in Path("/proc/filesystems").read_text().split():
        pytest.skip(f"this kernel has no {kind}")
    source, rootfs = tmp_path / "source", tmp_path / "rootfs"
    source.mkdir()
    rootfs.mkdir()

    def prepare() -> None:
        make(source)
        if not (source / "file").exists():
            write(source)

    def body(made: InitContext) -> tuple[list[int], list[int]]:
        bind(made, source)
        inside, outside = os.stat(rootfs / "data/file"), os.stat(source / "file")
        return [inside.st_uid, inside.st_gid], [outside.st_uid, outside.st_gid]

    assert at_root(rootfs, body, prepare=prepare) == ([2005, 2006], [5, 6])


def bind(made: InitContext, source: Path) -> None:
    options = {"uidMappings": ROWS, "gidMappings": ROWS}
    wanted = mount("/data", "none", str(source), "bind,idmap", **options)
    pointer = f"{wanted.pointer}/uidMappings"
    mapping = OpenIdMapping(pointer=pointer, uid_mappings=wanted.uid_mappings, gid_mappings=wanted.gid_mappings)
    carry_out(made, mapping, OpenSource(mount=wanted, source=str(source)), BindMount(mount=wanted))


@pytest.mark.parametrize("kind", ["proc", "sysfs", "mqueue", "devpts", "ramfs", "overlay"])
def test_types_that_cannot_be_mapped(kind: str, tmp_path: Path) -> None:
    """runc's words, with the place."""
    source, rootfs = tmp_path / "source", tmp_path / "rootfs"
    data = {"overlay": (f"lowerdir={tmp_path}/lower:{tmp_path}/other",)}.get(kind, ())
    for name in ("source", "rootfs", "lower", "other"):
        (tmp_path / name).mkdir()
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: bind(made, source), prepare=lambda: new(kind, source, *data))
    assert caught.value.message == (
        f"failed to set MOUNT_ATTR_IDMAP on {source}: invalid argument "
        "(maybe the filesystem used doesn't support idmap mounts on this kernel?)"
    )
    assert (caught.value.pointer, caught.value.errno) == ("/mounts/0", EINVAL)
    assert str(source) in caught.value.hint and caught.value.call.startswith("mount_setattr(")


def test_a_mapping_on_a_mapped_mount(tmp_path: Path) -> None:
    """The kernel refuses a second one, with another errno: nothing is guessed about the type."""

    def body() -> None:
        from tests.isolation import user_namespace
        from tests.steps.scene import context

        tree = kernel.new_filesystem("tmpfs")
        kernel.set_idmap(tree, user_namespace())
        put(tree, tmp_path)
        with pytest.raises(StepError, match=r"failed to set MOUNT_ATTR_IDMAP .*: operation not permitted$") as caught:
            bind(context(), tmp_path)
        assert caught.value.hint == ""

    in_namespace(body)
