"""The mount API on the real kernel."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import EINVAL, ENODEV
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import system_call
from pyoci.kernel import mount
from pyoci.kernel.constants import (
    AT_FDCWD,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)
from tests.isolation import CLONE_NEWNS, in_namespace, mountinfo, top_mount, user_namespace

pytestmark = pytest.mark.root


@pytest.fixture
def point(tmp_path: Path) -> Path:
    (tmp_path / "point").mkdir()
    return tmp_path / "point"


def put(tree: int, place: Path) -> None:
    target = os.open(place, os.O_PATH)
    mount.attach(tree, target)
    os.close(target)


def mounted(place: Path, make: Callable[[], int]) -> dict[str, Any]:
    """What mountinfo says about the mount that `make` returns, attached to `place`."""

    def body() -> dict[str, Any]:
        put(make(), place)
        return top_mount(str(place))

    return in_namespace(body)


def test_a_new_filesystem(point: Path) -> None:
    found = mounted(
        point,
        lambda: mount.new_filesystem(
            "tmpfs", "name", ("size=64k", "mode=700"), ("sync",), MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME
        ),
    )
    assert (found["type"], found["source"]) == ("tmpfs", "name")
    assert found["options"] == {"rw", "nodev", "noatime"}
    assert {"size=64k", "mode=700", "sync"} <= found["super"]


def test_a_superblock_that_is_read_only(point: Path) -> None:
    found = mounted(point, lambda: mount.new_filesystem("tmpfs", "t", (), ("ro",)))
    assert "ro" in found["super"]


def test_data_with_an_equals_sign_in_its_value(point: Path) -> None:
    lower = point / "a=b"
    lower.mkdir()
    (point / "c").mkdir()
    found = mounted(point, lambda: mount.new_filesystem("overlay", "o", (f"lowerdir={lower}:{point}/c",)))
    assert f"lowerdir={lower}:{point}/c" in found["super"]


def test_what_the_filesystem_says_is_a_note() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Invalid argument") as caught:
        mount.new_filesystem("tmpfs", "t", ("size=many",))
    assert caught.value.errno == EINVAL
    assert caught.value.__notes__[0].startswith("fsconfig(")
    assert "size" in caught.value.__notes__[1]
    assert os.listdir("/proc/self/fd") == before


def test_an_unknown_filesystem() -> None:
    with pytest.raises(OSError, match="No such device") as caught:
        mount.new_filesystem("nonesuchfs")
    assert (caught.value.errno, caught.value.filename) == (ENODEV, "nonesuchfs")
    assert system_call(caught.value) == 'fsopen("nonesuchfs", 1)'


def test_a_clone_with_and_without_what_is_mounted_below(point: Path) -> None:
    (point / "source/below").mkdir(parents=True)
    (point / "one").mkdir()
    (point / "all").mkdir()

    def body() -> list[str]:
        put(mount.new_filesystem("tmpfs"), point / "source/below")
        (point / "source/below/file").write_text("")
        put(mount.clone_tree(AT_FDCWD, os.fsencode(point / "source")), point / "one")
        put(mount.clone_tree(AT_FDCWD, os.fsencode(point / "source"), recursive=True), point / "all")
        return [",".join(os.listdir(point / name / "below")) for name in ("one", "all")]

    assert in_namespace(body) == ["", "file"]


def test_attributes_of_one_mount_and_of_a_tree(point: Path) -> None:
    def body() -> list[set[str]]:
        put(mount.new_filesystem("tmpfs", attributes=MOUNT_ATTR_NOSUID), point)
        (point / "below").mkdir()
        put(mount.new_filesystem("tmpfs"), point / "below")
        top = os.open(point, os.O_PATH)
        found = []
        mount.set_attributes(top, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID)
        found += [one["options"] for one in mountinfo(str(point))]
        mount.set_attributes(top, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME, recursive=True)
        found += [one["options"] for one in mountinfo(str(point))]
        return found

    assert in_namespace(body) == [
        {"ro", "relatime"},
        {"rw", "relatime"},
        {"ro", "noexec", "noatime"},
        {"rw", "noexec", "noatime"},
    ]


@pytest.mark.parametrize(
    ("kind", "tags"),
    [(MS_PRIVATE, []), (MS_SHARED, ["shared"]), (MS_SLAVE, ["master"]), (MS_UNBINDABLE, ["unbindable"])],
)
def test_propagation(point: Path, kind: int, tags: list[str]) -> None:
    def body() -> list[str]:
        put(mount.new_filesystem("tmpfs"), point)
        top = os.open(point, os.O_PATH)
        mount.set_attributes(top, propagation=MS_SHARED)
        (point / "peer").mkdir()
        put(mount.clone_tree(AT_FDCWD, os.fsencode(point)), point / "peer")
        mount.set_attributes(top, propagation=kind)
        return [tag.partition(":")[0] for tag in mountinfo(str(point))[0]["propagation"]]

    assert in_namespace(body) == tags


def test_owners_through_an_id_map(point: Path) -> None:
    (point / "file").write_text("")
    os.chown(point / "file", 3, 4)

    def body() -> tuple[int, int, int]:
        user = user_namespace("0 1000 10\n")
        tree = mount.clone_tree(AT_FDCWD, os.fsencode(point))
        mount.set_idmap(tree, user)
        put(tree, point)
        status = (point / "file").stat()
        return status.st_uid, status.st_gid, len(top_mount(str(point))["options"] & {"idmapped"})

    assert in_namespace(body) == (1003, 1004, 1)


def test_reconfigure_changes_what_is_named(point: Path) -> None:
    def body() -> set[str]:
        put(mount.new_filesystem("tmpfs", "t", ("size=64k", "nr_inodes=50")), point)
        top = os.open(point, os.O_PATH)
        mount.reconfigure(top, ("size=128k",), ("sync",))
        found: set[str] = top_mount(str(point))["super"]
        return found

    assert {"rw", "size=128k", "nr_inodes=50", "sync"} <= in_namespace(body)


def test_reconfigure_with_nonsense(point: Path) -> None:
    def body() -> None:
        put(mount.new_filesystem("tmpfs"), point)
        mount.reconfigure(os.open(point, os.O_PATH), ("size=none",), ())

    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_namespace(body)
    assert caught.value.errno == EINVAL
    assert any("size" in note for note in caught.value.__notes__[1:])


def test_data_too_long_for_fsconfig(point: Path) -> None:
    layers = [point / f"{'long' * 20}-{number}" for number in range(8)]
    for layer in layers:
        layer.mkdir()
    data = f"lowerdir={':'.join(map(str, layers))}"
    assert len(data) > mount.FSCONFIG_MAX

    def short() -> None:
        mount.new_filesystem("overlay", "o", (data,))

    with pytest.raises(OSError, match="Invalid argument"):
        in_namespace(short)

    def body() -> dict[str, Any]:
        mount.mount_long_data("overlay", "name", os.fsencode(point), data, 1)
        return top_mount(str(point))

    found = in_namespace(body)
    assert (found["type"], found["source"], "ro" in found["options"]) == ("overlay", "name", True)


def test_the_limit_of_fsconfig(point: Path) -> None:
    """FSCONFIG_MAX is the longest value that the kernel takes; the constant decides between two ways to mount."""
    name = "n" * (mount.FSCONFIG_MAX)
    assert mounted(point, lambda: mount.new_filesystem("tmpfs", name))["source"] == name
    with pytest.raises(OSError, match="Invalid argument") as caught:
        in_namespace(lambda: mount.new_filesystem("tmpfs", name + "n"))
    assert caught.value.errno == EINVAL


def test_pivot_and_unmount(point: Path) -> None:
    def body() -> tuple[list[str], int]:
        put(mount.new_filesystem("tmpfs"), point)
        (point / "inside").touch()
        old = os.open("/", os.O_PATH)
        os.chdir(point)
        mount.pivot_root_here()
        os.fchdir(old)
        mount.unmount(b".")
        os.chdir("/")
        return os.listdir("/"), len(os.listdir("/.."))

    assert in_namespace(body) == (["inside"], 1)


def test_move_to_the_root(point: Path) -> None:
    def body() -> list[str]:
        put(mount.new_filesystem("tmpfs"), point)
        (point / "inside").touch()
        os.chdir(point)
        mount.move_here_to_root()
        os.chroot(".")
        return os.listdir("/")

    assert in_namespace(body) == ["inside"]


def test_nothing_may_be_mounted_without_privilege(point: Path) -> None:
    def body() -> None:
        os.setresuid(1000, 1000, 1000)
        mount.new_filesystem("tmpfs")

    with pytest.raises(PermissionError):
        in_namespace(body, CLONE_NEWNS)
