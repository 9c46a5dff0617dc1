"""Attributes of bind mounts and remounts, and what a user namespace locks: the kernel is the reference."""

from __future__ import annotations

import itertools
import os
from errno import EPERM
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel.constants import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
)
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init import attributes
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import ChangeMount
from tests.isolation import CLONE_NEWNS, CLONE_NEWUSER, in_namespace, top_mount
from tests.steps.scene import at_root, carry_out, context, filesystem, mount, put

pytestmark = pytest.mark.root

HOST = [
    ro | nosuid | noexec | atime | nodiratime
    for ro, nosuid, noexec, atime, nodiratime in itertools.product(
        (0, MOUNT_ATTR_RDONLY),
        (0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
        (0, MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW),
        (MOUNT_ATTR_RELATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_STRICTATIME),
        (0, MOUNT_ATTR_NODIRATIME),
    )
]
OPTIONS = [
    *("ro", "rw", "nosuid,nodev", "suid", "dev", "noexec", "exec", "ro,exec", "rw,nosuid,nodev", "dev,suid,exec,rw"),
    *("nosymfollow", "symfollow", "ro,nosuid,nodev,noexec", "noexec,nosuid", "defaults", "ro,rw", "rprivate"),
    *("atime", "norelatime", "nostrictatime", "diratime", "ro,atime", "ro,nosuid,nodev,noexec,norelatime"),
    *("noatime", "relatime", "strictatime", "nodiratime", "nodiratime,noatime", "nodiratime,strictatime"),
    *("ro,nosuid,nodev,noexec,relatime", "ro,nosuid,nodev,noexec,nodiratime", "nodiratime,norelatime", "noatime,atime"),
    *("rro", "rrw", "rnosuid", "rsuid", "rdev", "rnoexec", "rexec", "rnosymfollow", "rsymfollow", "ro,rexec"),
    *("rnoatime", "ratime", "rrelatime", "rstrictatime", "rnodiratime", "rdiratime", "exec,rro", "noatime,rro"),
]
BELOW = MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "root/data").mkdir(parents=True)
    os.chown(tmp_path / "root", 100000, 100000)
    return tmp_path / "root"


def sources(place: Path) -> None:
    """A mount of the host for each combination of attributes, and one more, of others, below it."""
    for number, wanted in enumerate(HOST):
        one = place / str(number)
        one.mkdir(parents=True)
        put(kernel.new_filesystem("tmpfs"), one)
        (one / "below").mkdir()
        put(kernel.new_filesystem("tmpfs", attributes=BELOW), one / "below")
        top = os.open(one, os.O_PATH)
        kernel.set_attributes(top, wanted, MOUNT_ATTR__ATIME)
        os.close(top)


def bind(made: InitContext, source: Path, destination: str, options: str, locked: bool) -> None:
    wanted = mount(destination, "none", str(source), options)
    carry_out(made, OpenSource(pointer="/mounts/0/source", mount=wanted, source=str(source), locked=locked))
    carry_out(made, BindMount(pointer="/mounts/0", mount=wanted))


def outcomes(rootfs: Path, place: Path, locked: bool) -> dict[tuple[int, str], object]:
    """For each source and options: what the mounts have, of which one is below, or that it was refused."""

    def body(made: InitContext) -> dict[tuple[int, str], object]:
        found: dict[tuple[int, str], object] = {}
        for number, host in enumerate(HOST):
            for options in OPTIONS:
                try:
                    bind(made, place / str(number), "/data", f"rbind,{options}", locked)
                except StepError as error:
                    assert error.errno == EPERM, error
                    found[host, options] = "refused"
                    continue
                names = (rootfs / "data", rootfs / "data/below")
                found[host, options] = tuple(os.statvfs(name).f_flag for name in names)
                kernel.unmount(os.fsencode(rootfs / "data"))
        return found

    return at_root(rootfs, body, CLONE_NEWNS if locked else CLONE_NEWNS | CLONE_NEWUSER)


def test_outside_as_the_kernel_decides_inside(rootfs: Path, tmp_path: Path) -> None:
    """Opened in the host's mount namespace, where nothing is locked, as in one that a user namespace owns."""

    def outer() -> tuple[dict[tuple[int, str], object], dict[tuple[int, str], object]]:
        sources(tmp_path / "sources")
        place = tmp_path / "sources"
        return outcomes(rootfs, place, locked=True), outcomes(rootfs, place, locked=False)

    ours, kernels = in_namespace(outer)
    assert len(ours) == len(HOST) * len(OPTIONS)
    assert {key: value for key, value in ours.items() if kernels[key] != value} == {}
    assert 500 < sum(value == "refused" for value in ours.values()) < len(ours) - 500, "both have to happen"


def on_a_host_mount(
    rootfs: Path, tmp_path: Path, host: int, options: str, *changes: str, below: int = 0, locked: bool = True
) -> set[str]:
    """Options of a bind of such a mount, after these changes ("remount" is added)."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)

    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs", attributes=host), source)
        if below:
            (source / "below").mkdir()
            put(kernel.new_filesystem("tmpfs", attributes=below), source / "below")

    def body(made: InitContext) -> set[str]:
        bind(made, source, "/data", options, locked)
        for change in changes:
            wanted = mount("/data", "none", str(source), f"bind,remount,{change}")
            carry_out(made, ChangeMount(pointer="/mounts/1", mount=wanted, locked=locked))
        found: set[str] = top_mount(f"{rootfs}/data")["options"]
        return found

    return at_root(rootfs, body, prepare=prepare)


HOSTILE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
REFUSED = [
    (MOUNT_ATTR_RDONLY, "bind,rw,nosuid", "cannot clear locked flags MS_RDONLY"),
    (HOSTILE | MOUNT_ATTR_NOATIME, "bind,dev,suid,exec,atime", "MS_NOSUID|MS_NODEV|MS_NOEXEC|MS_NOATIME"),
    (HOSTILE, "bind,ro,norelatime", "cannot clear locked flags MS_RELATIME"),
    (HOSTILE | MOUNT_ATTR_STRICTATIME, "bind,ro,nostrictatime", "cannot clear locked flags MS_STRICTATIME"),
    (HOSTILE | MOUNT_ATTR_NODIRATIME, "bind,ro,diratime", "cannot clear locked flags MS_NODIRATIME"),
    (0, "bind,noatime", "cannot change locked atime flags MS_RELATIME"),
    (MOUNT_ATTR_NOATIME | MOUNT_ATTR_NODIRATIME, "bind,strictatime", "locked atime flags MS_NOATIME|MS_NODIRATIME"),
    (HOSTILE, "rbind,rexec", "cannot clear locked flags MS_NOEXEC"),
    (HOSTILE, "rbind,rnoatime", "cannot change locked atime flags MS_RELATIME"),
]


@pytest.mark.parametrize(("host", "options", "words"), REFUSED)
def test_what_is_locked_is_refused_in_the_words_of_runc(
    rootfs: Path, tmp_path: Path, host: int, options: str, words: str
) -> None:
    with pytest.raises(StepError) as caught:
        on_a_host_mount(rootfs, tmp_path, host, options)
    source = tmp_path / "source"
    before = f'error mounting "{source}" to rootfs at "/data": failed to set user-requested vfs flags on bind-mount: '
    assert caught.value.message.startswith(before + "cannot c")
    assert caught.value.message.endswith(f"{words}: operation not permitted")
    assert (caught.value.pointer, caught.value.errno) == ("/mounts/0/options", EPERM)
    assert str(source) in caught.value.hint
    on_a_host_mount(rootfs, tmp_path / "again", host, options, locked=False)  # without a user namespace it can be had


def test_a_mount_below_that_is_locked_is_named(rootfs: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        on_a_host_mount(rootfs, tmp_path, 0, "rbind,rexec", below=MOUNT_ATTR_NOEXEC)
    assert "cannot clear locked flags MS_NOEXEC" in caught.value.message
    assert str(tmp_path / "source/below") in caught.value.hint


REMOUNTED = [
    ("bind", ("ro",), {"ro", "nosuid", "nodev", "noexec", "relatime"}),
    ("bind,noexec", ("nosymfollow",), {"rw", "nosuid", "nodev", "noexec", "nosymfollow", "relatime"}),
    ("bind,ro", ("nosuid",), {"rw", "nosuid", "nodev", "noexec", "relatime"}),  # ro was the container's own
    ("bind,ro", ("rw", "ro"), {"ro", "nosuid", "nodev", "noexec", "relatime"}),
    ("bind", ("atime,nosuid,nodev,noexec",), {"rw", "nosuid", "nodev", "noexec", "relatime"}),
]


@pytest.mark.parametrize(("options", "changes", "expected"), REMOUNTED)
def test_a_remount_keeps_what_is_locked(
    rootfs: Path, tmp_path: Path, options: str, changes: tuple[str, ...], expected: set[str]
) -> None:
    assert on_a_host_mount(rootfs, tmp_path, HOSTILE, options, *changes) == expected


@pytest.mark.parametrize("change", ["exec", "suid", "dev", "noatime", "rexec", "ro,strictatime"])
def test_a_remount_takes_nothing_away_that_is_locked(rootfs: Path, tmp_path: Path, change: str) -> None:
    with pytest.raises(StepError, match=r"cannot c.*locked.*operation not permitted") as caught:
        on_a_host_mount(rootfs, tmp_path, HOSTILE, "bind", change)
    assert (caught.value.pointer, caught.value.step) == ("/mounts/0/options", "ChangeMount")


def test_a_remount_of_what_is_mounted_below_keeps_it_too(rootfs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs"), source)
        (source / "below").mkdir()
        put(kernel.new_filesystem("tmpfs", attributes=HOSTILE), source / "below")

    def body(made: InitContext) -> set[str]:
        bind(made, source, "/data", "rbind", locked=True)
        wanted = mount("/data/below", "none", "", "bind,remount,ro")
        carry_out(made, ChangeMount(mount=wanted, locked=True))
        found: set[str] = top_mount(f"{rootfs}/data/below")["options"]
        return found

    assert at_root(rootfs, body, prepare=prepare) == {"ro", "nosuid", "nodev", "noexec", "relatime"}


def test_nothing_is_locked_of_what_the_container_mounts_itself(rootfs: Path) -> None:
    def body(made: InitContext) -> set[str]:
        filesystem(made, mount("/data", "tmpfs", "t", "nosuid,noexec"), locked=True)
        carry_out(made, ChangeMount(mount=mount("/data", "tmpfs", "t", "remount,exec,noatime"), locked=True))
        found: set[str] = top_mount(f"{rootfs}/data")["options"]
        return found

    assert at_root(rootfs, body) == {"rw", "noatime"}


def test_a_file_system_that_is_read_only_locks_nothing(rootfs: Path, tmp_path: Path) -> None:
    """statfs(2) shows both; the mount over it can be written as far as the mount is concerned."""
    source = tmp_path / "source"
    source.mkdir()

    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs", "t", (), ("ro",)), source)

    def body(made: InitContext) -> bool:
        bind(made, source, "/data", "bind,rw", locked=True)
        return os.statvfs(rootfs / "data").f_flag & os.ST_RDONLY == os.ST_RDONLY

    assert at_root(rootfs, body, prepare=prepare)


def test_attributes_of_a_mount() -> None:
    def body() -> list[int]:
        found = []
        for wanted in HOST:
            tree = kernel.new_filesystem("tmpfs", attributes=wanted)
            found.append(attributes.of(tree))
            os.close(tree)
        return found

    assert in_namespace(body) == HOST


def test_what_a_recursive_copy_takes_along(tmp_path: Path) -> None:
    """Names with blanks and backslashes, mounts at any depth, and not a sibling whose name begins alike."""

    def body() -> list[str]:
        top = tmp_path / "a b\\c"
        for name in ("x/y", "xy"):
            (top / name).mkdir(parents=True)
        put(kernel.new_filesystem("tmpfs"), top / "x")
        (top / "x/y").mkdir()
        put(kernel.new_filesystem("tmpfs"), top / "x/y")
        (top / "x/y/z").mkdir()
        put(kernel.new_filesystem("tmpfs"), top / "x/y/z")
        put(kernel.new_filesystem("tmpfs"), top / "xy")
        made = context()
        place = os.open(top / "x/y", os.O_PATH)
        found = [one.point.decode() for one in attributes.below(attributes.View(made.proc, {}), place)]
        place = os.open(top, os.O_PATH)
        return found + [
            one.point.decode().rpartition("/")[2] for one in attributes.below(attributes.View(made.proc, {}), place)
        ]

    inner, *rest = in_namespace(body)
    assert inner.endswith("/a\\040b\\134c/x/y/z")
    assert sorted(rest) == ["x", "xy", "y", "z"]
