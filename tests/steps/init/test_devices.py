"""Device nodes and links below a root that the image controls."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyoci.config.linux import DEFAULT_DEVICES, Device
from pyoci.errors import StepError
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.devices import LINKS, MakeDevice, MakeLink
from tests.isolation import CLONE_NEWNS, CLONE_NEWUSER, mountinfo, top_mount
from tests.steps.scene import at_root, carry_out

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    os.chown(tmp_path / "root", 100000, 100000)
    return tmp_path / "root"


def device(path: str, type: str = "c", major: int = 1, minor: int = 3, **more: Any) -> MakeDevice:
    bind = more.pop("bind", False)
    one = Device(pointer="/linux/devices/0", type=type, path=path, major=major, minor=minor, **more)
    return MakeDevice(pointer=one.pointer, device=one, bind=bind)


def node(path: Path) -> tuple[str, int, int, int, int, int]:
    status = path.lstat()
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b", stat.S_IFIFO: "p", stat.S_IFREG: "-", stat.S_IFLNK: "l"}
    return (
        kind[stat.S_IFMT(status.st_mode)],
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
    )


@pytest.mark.parametrize(("path", "major", "minor"), DEFAULT_DEVICES)
def test_default_devices(rootfs: Path, path: str, major: int, minor: int) -> None:
    at_root(rootfs, lambda made: carry_out(made, device(path, "c", major, minor)))
    assert node(rootfs / path[1:]) == ("c", 0o666, 0, 0, major, minor)
    assert stat.S_IMODE((rootfs / "dev").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (device("/dev/fuse", "c", 10, 229, mode=0o640, uid=3, gid=4), ("c", 0o640, 3, 4, 10, 229)),
        (device("/a/b/loop", "b", 7, 5, mode=0o4777), ("b", 0o4777, 0, 0, 7, 5)),
        (device("/pipe", "p", 0, 0, mode=0o602, gid=9), ("p", 0o602, 0, 9, 0, 0)),
        (device("relative/x", "c", 4095, 1048575), ("c", 0o666, 0, 0, 4095, 1048575)),
    ],
)
def test_devices_of_every_type(rootfs: Path, step: MakeDevice, expected: tuple[object, ...]) -> None:
    at_root(rootfs, lambda made: carry_out(made, step))
    assert node(rootfs / step.device.path.lstrip("/")) == expected


def test_what_exists_is_left_as_it_is(rootfs: Path) -> None:
    (rootfs / "dev").mkdir()
    os.mknod(rootfs / "dev/null", 0o20600, os.makedev(5, 6))
    (rootfs / "dev/zero").write_text("a file")
    os.symlink("/outside", rootfs / "dev/full")
    at_root(rootfs, lambda made: carry_out(made, device("/dev/null"), device("/dev/zero"), device("/dev/full")))
    assert node(rootfs / "dev/null") == ("c", 0o600, 0, 0, 5, 6)
    assert (rootfs / "dev/zero").read_text() == "a file"
    assert os.readlink(rootfs / "dev/full") == "/outside"


@pytest.mark.parametrize("target", ["{outside}", "../outside", "../../../../../../..{outside}"])
def test_a_link_in_place_of_dev_leads_nowhere_else(rootfs: Path, target: str) -> None:
    """CVE-2026-41579, CVE-2026-47766."""
    outside = rootfs.parent / "outside"
    os.symlink(target.format(outside=outside), rootfs / "dev")
    steps = [device("/dev/null"), MakeLink(path="/dev/ptmx", target="pts/ptmx", overwrite=True)]
    at_root(rootfs, lambda made: carry_out(made, *steps))
    assert os.listdir(outside) == []
    [found] = rootfs.rglob("null")
    assert node(found)[0] == "c"


def test_in_a_user_namespace_the_hosts_node_is_bound(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[dict[str, Any], bytes, bool]:
        carry_out(made, device("/dev/zero", "c", 1, 5, bind=True), device("/dev/pipe", "p", 0, 0, uid=0))
        with open(rootfs / "dev/zero", "rb") as file:
            content = file.read(3)
        return top_mount(f"{rootfs}/dev/zero"), content, stat.S_ISFIFO((rootfs / "dev/pipe").stat().st_mode)

    found, content, fifo = at_root(rootfs, body, CLONE_NEWUSER | CLONE_NEWNS)
    assert {"nosuid", "noexec"} <= found["options"] and "nodev" not in found["options"]
    assert (found["root"].rpartition("/")[2], content, fifo) == ("zero", b"\0\0\0", True)
    assert node(rootfs / "dev/zero")[:4] == ("-", 0o644, 100000, 100000)


def test_where_nodes_are_refused_the_hosts_is_bound(rootfs: Path) -> None:
    """EPERM without our knowing that we are in a user namespace."""

    def body(made: InitContext) -> int:
        carry_out(made, device("/dev/null"))
        return len(mountinfo(f"{rootfs}/dev/null"))

    assert at_root(rootfs, body, CLONE_NEWUSER | CLONE_NEWNS) == 1


def test_a_name_that_is_swapped_right_after_the_node_was_made(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's node, or a file, does not get the owner and mode of the device that is meant."""
    made = os.mknod

    def swapped(other: Callable[[bytes, int], None], name: bytes, mode: int, number: int, *, dir_fd: int) -> None:
        made(name, mode, number, dir_fd=dir_fd)
        os.unlink(name, dir_fd=dir_fd)
        other(name, dir_fd)

    def another_device(name: bytes, directory: int) -> None:
        made(name, 0o20600, os.makedev(1, 1), dir_fd=directory)

    def a_file(name: bytes, directory: int) -> None:
        os.close(os.open(name, os.O_CREAT, 0o600, dir_fd=directory))

    for other, found in ((another_device, ("c", 0o600, 0, 0, 1, 1)), (a_file, ("-", 0o600, 0, 0, 0, 0))):
        with monkeypatch.context() as patch:
            patch.setattr("pyoci.steps.init.devices.os.mknod", functools.partial(swapped, other))
            wanted = device("/dev/null", mode=0o666, uid=7)
            with pytest.raises(StepError, match="somebody else made something else in its place"):
                at_root(rootfs, lambda made, wanted=wanted: carry_out(made, wanted))  # type: ignore[misc]
        assert node(rootfs / "dev/null") == found
        (rootfs / "dev/null").unlink()
    at_root(rootfs, lambda made: carry_out(made, device("/dev/null", mode=0o666, uid=7)))
    assert node(rootfs / "dev/null") == ("c", 0o666, 7, 0, 1, 3)


@pytest.mark.parametrize("link", ["/target", "../target", "../../outside/target", "{outside}/target"])
def test_binding_does_not_follow_a_link_of_the_image(rootfs: Path, link: str) -> None:
    outside = rootfs.parent / "outside"
    (rootfs / "dev").mkdir()
    os.symlink(link.format(outside=outside), rootfs / "dev/null")
    for place in (rootfs, outside):
        (place / "target").touch()

    def body(made: InitContext) -> list[str]:
        try:
            carry_out(made, device("/dev/null", bind=True))
        except StepError:
            pass
        return [one["point"] for one in mountinfo(str(rootfs.parent))]

    found = at_root(rootfs, body, CLONE_NEWUSER | CLONE_NEWNS)
    assert [name for name in found if name.endswith("/target")] == []


def test_a_host_device_that_does_not_exist(rootfs: Path) -> None:
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: carry_out(made, device("/dev/none-such", bind=True)), CLONE_NEWUSER | CLONE_NEWNS)
    assert caught.value.pointer == "/linux/devices/0"
    assert "/dev/none-such" in caught.value.message
    assert "the host's of the same name is bound" in caught.value.hint


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (device("/dev/zero", "c", 1, 3, bind=True), "the host's /dev/zero is the device c 1:5"),
        (device("/dev/zero", "b", 1, 5, bind=True), "the host's /dev/zero is the device c 1:5"),
        (device("/dev/null", "c", 1, 5), "the host's /dev/null is the device c 1:3"),  # not known to be in a namespace
        (device("/etc/passwd", "c", 1, 3, bind=True), "the host's /etc/passwd is no device"),
    ],
    ids=["number", "type", "refused", "file"],
)
def test_a_host_device_that_is_another_one(rootfs: Path, step: MakeDevice, what: str) -> None:
    """Nobody gets a device under the name of another one."""
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: carry_out(made, step), CLONE_NEWUSER | CLONE_NEWNS)
    assert what in caught.value.message and caught.value.pointer == "/linux/devices/0"
    assert [path for path in rootfs.rglob("*") if path.is_file()] == []


def test_links(rootfs: Path) -> None:
    at_root(rootfs, lambda made: carry_out(made, *(MakeLink(path=path, target=target) for path, target in LINKS)))
    assert {path: os.readlink(f"{rootfs}{path}") for path, _ in LINKS} == dict(LINKS)


@pytest.mark.parametrize("kind", ["file", "link", "node"])
def test_ptmx_is_replaced_and_other_links_are_not(rootfs: Path, kind: str) -> None:
    (rootfs / "dev").mkdir()
    for name in ("ptmx", "fd"):
        if kind == "file":
            (rootfs / "dev" / name).touch()
        elif kind == "link":
            os.symlink("/elsewhere", rootfs / "dev" / name)
        else:
            os.mknod(rootfs / "dev" / name, 0o20666, os.makedev(5, 2))
    before = node(rootfs / "dev/fd")
    steps = [
        MakeLink(path="/dev/ptmx", target="pts/ptmx", overwrite=True),
        MakeLink(path="/dev/fd", target="/proc/self/fd"),
    ]
    at_root(rootfs, lambda made: carry_out(made, *steps))
    assert os.readlink(rootfs / "dev/ptmx") == "pts/ptmx"
    assert node(rootfs / "dev/fd") == before
