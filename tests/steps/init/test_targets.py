"""Where a mount goes, and what may not be covered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.init.targets import REPLACEABLE_IN_PROC, encode
from tests.isolation import mountinfo
from tests.steps.scene import at_root, carry_out, mount

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    return tmp_path / "root"


def with_proc(made: InitContext) -> None:
    carry_out(made, MountFilesystem(pointer="/mounts/0", mount=mount("/proc", "proc", "proc")))


def tmpfs(made: InitContext, destination: str) -> None:
    carry_out(made, MountFilesystem(pointer="/mounts/1", mount=mount(destination, "tmpfs", "t")))


def bind(made: InitContext, source: str, destination: str) -> None:
    wanted = mount(destination, "none", source, "rbind")
    carry_out(made, OpenSource(pointer="/mounts/1/source", mount=wanted, source=source))
    carry_out(made, BindMount(pointer="/mounts/1", mount=wanted))


@pytest.mark.parametrize("destination", ["/", "", ".", "/..", "/a/../..", "/link", "/./"])
def test_nothing_goes_on_the_root(rootfs: Path, destination: str) -> None:
    os.symlink("/", rootfs / "link")
    with pytest.raises(StepError, match="is on the top of rootfs") as caught:
        at_root(rootfs, lambda made: tmpfs(made, destination))
    assert caught.value.pointer == "/mounts/1"


@pytest.mark.parametrize("destination", ["/proc", "/proc/", "/x/../proc", "/link"])
def test_only_a_procfs_goes_on_proc(rootfs: Path, destination: str) -> None:
    (rootfs / "proc").mkdir()
    (rootfs / "x").mkdir()
    os.symlink("proc", rootfs / "link")
    with pytest.raises(StepError, match="cannot be mounted because it is not of type proc"):
        at_root(rootfs, lambda made: tmpfs(made, destination))
    with pytest.raises(StepError, match="not of type proc"):
        at_root(rootfs, lambda made: bind(made, str(rootfs.parent / "directory"), destination))
    with pytest.raises(StepError, match="not of type proc"):  # a part of one is not the root of one
        at_root(rootfs, lambda made: bind(made, "/proc/sys", destination))
    assert at_root(rootfs, lambda made: (bind(made, "/proc", destination), (rootfs / "proc/self").exists())[1])


@pytest.mark.parametrize(
    "name", ["attr", "self/attr/exec", "1", "sys", "sys/kernel/core_pattern", "self/fd", "version"]
)
def test_nothing_goes_below_proc(rootfs: Path, name: str) -> None:
    def body(made: InitContext) -> None:
        with_proc(made)
        directory = (rootfs / "proc" / name).is_dir()
        bind(made, str(rootfs.parent / ("directory" if directory else "file")), f"/proc/{name}")

    with pytest.raises(StepError):
        at_root(rootfs, body)


def test_what_is_refused_below_proc_says_so(rootfs: Path) -> None:
    def body(made: InitContext) -> None:
        with_proc(made)
        bind(made, str(rootfs.parent / "file"), "/proc/version")

    with pytest.raises(StepError, match='"/proc/version" cannot be mounted because it is inside /proc') as caught:
        at_root(rootfs, body)
    assert "cpuinfo" in caught.value.hint


def test_below_proc_by_another_name(rootfs: Path) -> None:
    """It is the place that counts, not the name; and a procfs elsewhere is one, too."""
    os.symlink("/proc", rootfs / "link")

    def elsewhere(made: InitContext) -> None:
        carry_out(made, MountFilesystem(mount=mount("/other", "proc", "proc")))
        bind(made, str(rootfs.parent / "file"), "/other/version")

    def linked(made: InitContext) -> None:
        with_proc(made)
        bind(made, str(rootfs.parent / "file"), "/link/version")

    for body in (elsewhere, linked):
        with pytest.raises(StepError, match="inside /proc"):
            at_root(rootfs, body)


def test_below_proc_without_a_procfs(rootfs: Path) -> None:
    """Later a procfs could be mounted below it."""
    with pytest.raises(StepError, match="inside /proc"):
        at_root(rootfs, lambda made: tmpfs(made, "/proc/x"))


@pytest.mark.parametrize("name", sorted(REPLACEABLE_IN_PROC))
def test_files_that_lxcfs_replaces(rootfs: Path, name: str) -> None:
    def body(made: InitContext) -> bool:
        with_proc(made)
        if not (rootfs / name[1:]).exists():
            return True  # this kernel has no such file
        bind(made, str(rootfs.parent / "file"), name)
        return any(one["point"] == f"{rootfs}{name}" for one in mountinfo(f"{rootfs}/proc"))

    assert at_root(rootfs, body)


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
@pytest.mark.parametrize("place", ["link", "file", "dangling", "through/inner"])
def test_procfs_and_sysfs_go_on_ordinary_directories(rootfs: Path, kind: str, place: str) -> None:
    """CVE-2019-19921: a link of the image would put them somewhere else."""
    (rootfs / "real/inner").mkdir(parents=True)
    (rootfs / "file").touch()
    os.symlink("real", rootfs / "link")
    os.symlink("nowhere", rootfs / "dangling")
    os.symlink("real", rootfs / "through")
    with pytest.raises(StepError, match=f'filesystem "{kind}" must be mounted on ordinary directory') as caught:
        at_root(
            rootfs, lambda made: carry_out(made, MountFilesystem(pointer="/mounts/0", mount=mount(f"/{place}", kind)))
        )
    assert caught.value.pointer == "/mounts/0"
    assert not (rootfs / "nowhere").exists()


def test_names_with_a_trailing_slash() -> None:
    """A slash at the end would make a link be followed where it must not."""
    assert [encode(name) for name in ("/a/", "/a//", "/", "", "/\udcff/")] == [b"/a", b"/a", b"/", b"/", b"/\xff"]
