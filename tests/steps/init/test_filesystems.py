"""Mounts of new file systems, and remount: every type and option on the real kernel."""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ENODEV
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import ChangeMount
from pyoci.steps.init.rootfs import MakeReadOnly
from tests.isolation import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    mountinfo,
    top_mount,
)
from tests.steps.scene import at_root, carry_out, filesystem, mount

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("existing", "options", "mode"),
    [
        (0o700, "", 0o700),
        (0o1777, "size=64k", 0o1777),
        (0o2750, "", 0o2750),
        (0o700, "mode=711", 0o711),
        (None, "", 0o1777),  # made for the purpose: the kernel's default, as runc
        (None, "mode=755", 0o755),
    ],
)
def test_mode_of_a_tmpfs(rootfs: Path, existing: int | None, options: str, mode: int) -> None:
    if existing is not None:
        (rootfs / "t").mkdir()
        (rootfs / "t").chmod(existing)

    def body(made: InitContext) -> int:
        filesystem(made, mount("/t", "tmpfs", "t", options))
        return stat.S_IMODE((rootfs / "t").stat().st_mode)

    assert at_root(rootfs, body) == mode


def test_data_and_flags_of_a_tmpfs(rootfs: Path) -> None:
    def body(made: InitContext) -> dict[str, Any]:
        filesystem(
            made, mount("/t", "tmpfs", "", "size=64k,nr_inodes=9,uid=3,gid=4,sync,dirsync,nosuid,noatime,mode=700")
        )
        return top_mount(f"{rootfs}/t") | {"owner": (os.stat(rootfs / "t").st_uid, os.stat(rootfs / "t").st_gid)}

    found = at_root(rootfs, body)
    assert found["options"] == {"rw", "nosuid", "noatime"}
    assert {"size=64k", "nr_inodes=9", "uid=3", "gid=4", "mode=700", "sync", "dirsync"} <= found["super"]
    assert (found["source"], found["owner"]) == ("tmpfs", (3, 4))


BAD = [
    ("tmpfs", "nosuid,size=huge", 1, "size=huge: invalid argument", "tmpfs: Bad value for 'size'"),
    ("tmpfs", "size=1m,sise=1m", 1, "sise=1m: invalid argument", "tmpfs: Unknown parameter 'sise'"),
    ("tmpfs", "size", 0, "size: invalid argument", "tmpfs: Bad value for 'size'"),
    ("proc", "hidepid=9", 0, "hidepid=9: invalid argument", "proc: unknown value of hidepid - 9"),
]


@pytest.mark.parametrize(("kind", "options", "place", "message", "hint"), BAD)
def test_a_bad_option_is_named_with_what_the_filesystem_says(
    rootfs: Path, kind: str, options: str, place: int, message: str, hint: str
) -> None:
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: filesystem(made, mount("/t", kind, "t", options)))
    assert caught.value.errno == EINVAL
    assert caught.value.message == f"mount {kind} on /t: {message}"
    assert (caught.value.pointer, caught.value.hint) == (f"/mounts/0/options/{place}", hint)


def test_one_option_of_several_in_one_string(rootfs: Path) -> None:
    wanted = mount("/t", "tmpfs", "t")
    wanted = wanted.replace(options=("ro", "size=1m,mode=9"), data=("size=1m", "mode=9"))
    with pytest.raises(StepError, match="mode=9: invalid argument") as caught:
        at_root(rootfs, lambda made: filesystem(made, wanted))
    assert caught.value.pointer == "/mounts/0/options/1"


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("tmpf", "did you mean 'tmpfs'?"),
        ("cgroups2", "did you mean 'cgroup2'?"),
        ("tmpfs.x", "its module may have to be loaded"),
        ("zz", "its module may have to be loaded"),
        ("nothing-like-it", "its module may have to be loaded"),
    ],
)
def test_a_file_system_that_the_kernel_does_not_have(rootfs: Path, kind: str, advice: str) -> None:
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: filesystem(made, mount("/t", kind, "t")))
    assert caught.value.message == f"mount {kind} on /t: {kind}: no such device"
    assert (caught.value.pointer, caught.value.errno) == ("/mounts/0/type", ENODEV)
    assert caught.value.hint == f"/proc/filesystems has no {kind!r}: {advice}"


@pytest.mark.parametrize("option", ["ro", "rro"])
def test_a_read_only_tmpfs_is_filled_first(rootfs: Path, option: str) -> None:
    def body(made: InitContext) -> tuple[bool, bool]:
        filesystem(made, mount("/t", "tmpfs", "t", option + ",nosuid"), read_only_later=True)
        (rootfs / "t/inside").touch()
        carry_out(made, MakeReadOnly(pointer="/mounts/0", path="/t"))
        return (rootfs / "t/inside").exists(), top_mount(f"{rootfs}/t")["options"] >= {"ro", "nosuid"}

    assert at_root(rootfs, body) == (True, True)


def test_other_types(rootfs: Path) -> None:
    """proc, sysfs, mqueue and devpts, each of the namespace that it belongs to, with their data."""
    wanted = [
        mount("/proc", "proc", "proc", "hidepid=2,nosuid,nodev,noexec"),
        mount("/sys", "sysfs", "sysfs", "ro,nosuid"),
        mount("/mq", "mqueue", "mqueue", "noexec"),
        mount("/pts", "devpts", "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5"),
    ]

    def body(made: InitContext) -> tuple[list[dict[str, Any]], list[str], list[str], int]:
        for one in wanted:
            filesystem(made, one)
        found = [top_mount(f"{rootfs}{one.destination}") for one in wanted]
        links = sorted(os.listdir(rootfs / "sys/class/net"))
        return found, links, os.listdir(rootfs / "pts"), stat.S_IMODE(os.stat(rootfs / "pts/ptmx").st_mode)

    found, links, pts, mode = at_root(rootfs, body, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC)
    proc, sysfs, mqueue, devpts = found
    assert [one["type"] for one in found] == ["proc", "sysfs", "mqueue", "devpts"]
    assert proc["options"] == {"rw", "nosuid", "nodev", "noexec", "relatime"}
    assert proc["super"] & {"hidepid=invisible", "hidepid=2"}
    assert sysfs["options"] == {"ro", "nosuid", "relatime"} and links == ["lo"]
    assert "noexec" in mqueue["options"]
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= devpts["super"]
    assert (pts, mode) == (["ptmx"], 0o666)


def test_modes_of_the_kernels_filesystems_are_left_alone(rootfs: Path) -> None:
    """Only a tmpfs takes over the mode of the directory that it covers."""
    for name in ("proc", "mq"):
        (rootfs / name).mkdir(mode=0o700)

    def body(made: InitContext) -> list[int]:
        filesystem(made, mount("/proc", "proc"))
        filesystem(made, mount("/mq", "mqueue"))
        return [stat.S_IMODE(os.stat(rootfs / name).st_mode) for name in ("proc", "mq")]

    assert at_root(rootfs, body, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID) == [0o555, 0o1777]


@pytest.mark.parametrize("options", ["nosuid", "ro,nosuid", "nosuid,noexec,nodev,ro"])
def test_sysfs_without_a_network_namespace_of_its_own(rootfs: Path, options: str) -> None:
    """The kernel refuses a new sysfs: the host's is bound, with every attribute, and nothing below it is writable."""
    os.chown(rootfs, 100000, 100000)

    def body(made: InitContext) -> list[dict[str, Any]]:
        filesystem(made, mount("/sys", "sysfs", "sysfs", options))
        return mountinfo(f"{rootfs}/sys")

    top, *below = at_root(rootfs, body, CLONE_NEWUSER | CLONE_NEWNS)
    assert top["type"] == "sysfs"
    assert set(options.split(",")) <= top["options"]
    assert ("ro" in top["options"]) is ("ro" in options.split(","))
    assert below, "the host has cgroups there"
    for one in below:
        assert {"ro", "nosuid"} <= one["options"]


def overlay(tmp_path: Path, length: int) -> str:
    layers = []
    for number in range(length):
        layer = tmp_path / f"a-layer-with-a-long-name-{number}"
        layer.mkdir()
        (layer / f"file-{number}").touch()
        layers.append(str(layer))
    return f"lowerdir={':'.join(layers)}"


@pytest.mark.parametrize("layers", [2, 12])
@pytest.mark.parametrize("options", ["", ",ro", ",nosuid,nodev"])
def test_overlay_with_few_and_with_many_layers(rootfs: Path, tmp_path: Path, layers: int, options: str) -> None:
    """One option longer than fsconfig(2) takes goes through mount(2), with the same result."""
    data = overlay(tmp_path, layers)
    assert (len(data) > kernel.FSCONFIG_MAX) is (layers == 12)

    def body(made: InitContext) -> tuple[dict[str, Any], list[str], str]:
        before = os.getcwd()
        filesystem(made, mount("/over", "overlay", "", data + options))
        return top_mount(f"{rootfs}/over"), os.listdir(rootfs / "over"), os.path.relpath(os.getcwd(), before)

    found, names, moved = at_root(rootfs, body)
    assert sorted(names) == sorted(f"file-{number}" for number in range(layers))
    assert (found["type"], found["source"], moved) == ("overlay", "overlay", ".")
    assert set(options.split(",")) - {""} <= found["options"]


def test_relative_destinations(rootfs: Path) -> None:
    def body(made: InitContext) -> str:
        filesystem(made, mount("a/b/", "tmpfs", "name"))
        return str(top_mount(f"{rootfs}/a/b")["source"])

    assert at_root(rootfs, body) == "name"


def test_an_unknown_type(rootfs: Path) -> None:
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: filesystem(made, mount("/x", "nonesuchfs", "x")))
    assert caught.value.call == 'fsopen("nonesuchfs", 1)'


# -- remount ---------------------------------------------------------------------------------------------------------


def changed(rootfs: Path, first: str, then: str, kind: str = "tmpfs") -> dict[str, Any]:
    def body(made: InitContext) -> dict[str, Any]:
        filesystem(made, mount("/t", "tmpfs", "t", first))
        carry_out(made, ChangeMount(pointer="/mounts/1", mount=mount("/t", kind, "t", f"remount,{then}")))
        return top_mount(f"{rootfs}/t")

    return at_root(rootfs, body)


def test_remount_of_a_filesystem(rootfs: Path) -> None:
    found = changed(rootfs, "size=64k,nosuid", "size=128k,nodev")
    assert "size=128k" in found["super"]
    assert found["options"] == {"rw", "nodev", "relatime"}


def test_remount_of_a_mount_leaves_the_filesystem_alone(rootfs: Path) -> None:
    found = changed(rootfs, "size=64k,noexec", "bind,ro", "bind")
    assert {"rw", "size=64k"} <= found["super"]
    assert found["options"] == {"ro", "relatime"}


def test_remount_changes_propagation(rootfs: Path) -> None:
    assert changed(rootfs, "size=64k", "shared")["propagation"][0].startswith("shared:")


def test_remount_with_nonsense_is_an_error(rootfs: Path) -> None:
    with pytest.raises(StepError) as caught:
        changed(rootfs, "size=64k", "size=many")
    assert (caught.value.errno, caught.value.pointer) == (EINVAL, "/mounts/1/options/1")
    assert caught.value.message.endswith("size=many: invalid argument")
    assert caught.value.hint == "tmpfs: Bad value for 'size'"


def test_remount_of_what_is_not_there_makes_nothing(rootfs: Path) -> None:
    step = ChangeMount(pointer="/mounts/0", mount=mount("/missing", "tmpfs", "t", "remount,ro"))
    with pytest.raises(StepError):
        at_root(rootfs, lambda made: carry_out(made, step))
    assert os.listdir(rootfs) == []
