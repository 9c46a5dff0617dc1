"""Bind mounts: every option on the real kernel."""

from __future__ import annotations

import os
import stat
from errno import ENOENT, ENOTDIR
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel.constants import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
)
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from tests.isolation import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    in_namespace,
    mountinfo,
    top_mount,
)
from tests.steps.scene import at_root, carry_out, context, filesystem, mount, put

pytestmark = pytest.mark.root


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory to bind, with a file and a place for another mount."""
    (tmp_path / "source/below").mkdir(parents=True)
    (tmp_path / "source/file").write_text("content")
    return tmp_path / "source"


def bind(made: InitContext, source: Path, destination: str, options: str, **step: Any) -> None:
    wanted = mount(destination, "none", str(source), options)
    carry_out(made, OpenSource(pointer="/mounts/0/source", mount=wanted, source=str(source), **step))
    carry_out(made, BindMount(pointer="/mounts/0", mount=wanted))


# -- bind mounts -----------------------------------------------------------------------------------------------------

PLAIN = {"rw", "relatime"}
BIND_OPTIONS = [
    ("bind", {"rw", "nosuid", "nodev", "noatime"}),  # without any option the source's own
    ("bind,ro", {"ro", "noatime"}),  # with one, those not named are lost, as with MS_BIND | MS_REMOUNT
    ("bind,nosuid,noexec", {"rw", "nosuid", "noexec", "noatime"}),
    ("bind,suid,dev", {"rw", "noatime"}),
    ("bind,nodev,relatime", {"rw", "nodev", "relatime"}),
    ("bind,strictatime", {"rw"}),
    ("bind,atime", {"rw", "noatime"}),  # mount(2) has no flag for what is given up: the source's stay
    ("bind,norelatime", {"rw", "noatime"}),
    ("bind,diratime", {"rw", "noatime"}),
    ("bind,nodiratime", {"rw", "nodiratime", "relatime"}),  # a flag of access times replaces all of them
    ("bind,nodiratime,strictatime", {"rw", "nodiratime"}),
    ("bind,nosymfollow", {"rw", "nosymfollow", "noatime"}),
    ("bind,ro,rw", {"rw", "noatime"}),
    ("bind,defaults", {"rw", "nosuid", "nodev", "noatime"}),
    ("bind,sync,silent", {"rw", "nosuid", "nodev", "noatime"}),
]


@pytest.mark.parametrize(("options", "expected"), BIND_OPTIONS)
def test_attributes_of_a_bind_mount(rootfs: Path, source: Path, options: str, expected: set[str]) -> None:
    def prepare() -> None:
        tree = kernel.new_filesystem("tmpfs", attributes=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | 0x10)
        put(tree, source)

    def body(made: InitContext) -> set[str]:
        bind(made, source, "/data", options)
        found: set[str] = top_mount(f"{rootfs}/data")["options"]
        return found

    assert at_root(rootfs, body, prepare=prepare) == expected


RECURSIVE = [
    ("rbind,rro", {"ro", "relatime"}),
    ("rbind,rnosuid", {"rw", "nosuid", "relatime"}),
    ("rbind,rnodev", {"rw", "nodev", "relatime"}),
    ("rbind,rnoexec", {"rw", "noexec", "relatime"}),
    ("rbind,rnodiratime", {"rw", "nodiratime", "relatime"}),
    ("rbind,rnoatime", {"rw", "noatime"}),
    ("rbind,rstrictatime", {"rw"}),
    ("rbind,rrelatime", {"rw", "relatime"}),
    ("rbind,rnosymfollow", {"rw", "nosymfollow", "relatime"}),
    ("rbind,rro,rnosuid,rnodev,rnoexec", {"ro", "nosuid", "nodev", "noexec", "relatime"}),
]


@pytest.mark.parametrize(("options", "expected"), RECURSIVE)
def test_recursive_attributes_reach_what_is_mounted_below(
    rootfs: Path, source: Path, options: str, expected: set[str]
) -> None:
    def body(made: InitContext) -> list[set[str]]:
        bind(made, source, "/data", options)
        return [one["options"] for one in mountinfo(f"{rootfs}/data")]

    found = at_root(rootfs, body, prepare=lambda: put(kernel.new_filesystem("tmpfs"), source / "below"))
    assert found == [expected, expected]


CLEARED = [("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec")]
CLEARED += [("rsymfollow", "nosymfollow"), ("rdiratime", "nodiratime")]


@pytest.mark.parametrize(("option", "set_before"), CLEARED)
def test_recursive_attributes_are_taken_away(rootfs: Path, source: Path, option: str, set_before: str) -> None:
    def body(made: InitContext) -> list[bool]:
        bind(made, source, "/one", "bind," + set_before)
        bind(made, rootfs / "one", "/two", "rbind," + option)
        return [set_before in top_mount(f"{rootfs}/{name}")["options"] for name in ("one", "two")]

    assert at_root(rootfs, body) == [True, False]


@pytest.mark.parametrize(("options", "expected"), [("bind", ["file"]), ("rbind", ["file", "below/inner"])])
def test_recursive_or_not(rootfs: Path, source: Path, options: str, expected: list[str]) -> None:
    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs"), source / "below")
        (source / "below/inner").touch()

    def body(made: InitContext) -> list[str]:
        bind(made, source, "/data", options)
        return [name for name in ("file", "below/inner") if (rootfs / "data" / name).exists()]

    assert at_root(rootfs, body, prepare=prepare) == expected


def test_only_ro_of_the_top_mount(rootfs: Path, source: Path) -> None:
    def body(made: InitContext) -> list[bool]:
        bind(made, source, "/data", "rbind,ro")
        return ["ro" in one["options"] for one in mountinfo(f"{rootfs}/data")]

    assert at_root(rootfs, body, prepare=lambda: put(kernel.new_filesystem("tmpfs"), source / "below")) == [True, False]


def test_a_file_is_bound_on_a_file_that_is_made(rootfs: Path, source: Path) -> None:
    def body(made: InitContext) -> str:
        bind(made, source / "file", "/new/place", "bind")
        return (rootfs / "new/place").read_text()

    assert at_root(rootfs, body) == "content"
    assert stat.S_IMODE((rootfs / "new/place").stat().st_mode) == 0o644
    assert stat.S_IMODE((rootfs / "new").stat().st_mode) == 0o755


def test_a_directory_on_a_file_is_refused(rootfs: Path, source: Path) -> None:
    (rootfs / "file").touch()
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: bind(made, source, "/file", "bind"))
    assert (caught.value.errno, caught.value.pointer, caught.value.step) == (ENOTDIR, "/mounts/0", "BindMount")
    assert caught.value.call.startswith("move_mount(")
    assert caught.value.hint == "what is mounted is a directory, and /file in the root file system is a file"


def test_a_file_on_a_directory_is_refused(rootfs: Path, source: Path) -> None:
    (rootfs / "place").mkdir()
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: bind(made, source / "file", "/place", "bind"))
    assert caught.value.errno == ENOTDIR
    assert caught.value.hint == "what is mounted is a file, and /place in the root file system is a directory"


def test_a_missing_source_names_its_property(rootfs: Path) -> None:
    with pytest.raises(StepError) as caught:
        at_root(rootfs, lambda made: bind(made, Path("/none/such"), "/x", "bind"))
    assert (caught.value.errno, caught.value.pointer) == (ENOENT, "/mounts/0/source")
    assert "/none/such" in caught.value.message


def test_locked_attributes_of_another_user_namespace_are_kept(rootfs: Path, source: Path) -> None:
    """runc merges what it may not clear; here only what is named changes."""
    os.chown(rootfs, 100000, 100000)

    def outer() -> set[str]:
        put(kernel.new_filesystem("tmpfs", "t", (), (), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID), source)

        def body(made: InitContext) -> set[str]:
            bind(made, source, "/data", "rbind,noexec")
            found: set[str] = top_mount(f"{rootfs}/data")["options"]
            return found

        return at_root(rootfs, body, CLONE_NEWUSER | CLONE_NEWNS)

    assert in_namespace(outer) >= {"ro", "nosuid", "noexec"}


# -- propagation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "step", "tags"),
    [
        ("bind", {}, ["master"]),
        ("bind,private", {}, []),
        ("bind,rprivate", {}, []),
        ("bind,slave", {}, ["master"]),
        ("bind,rslave", {}, ["master"]),
        ("bind,shared", {"propagation": 0}, ["shared"]),
        ("bind,rshared", {"propagation": 0}, ["shared"]),
        ("bind,slave,shared", {}, ["shared", "master"]),
        ("bind,unbindable", {}, ["unbindable"]),
        ("bind,runbindable", {}, ["unbindable"]),
        ("bind", {"propagation": MS_PRIVATE}, []),
    ],
)
def test_propagation_options(rootfs: Path, source: Path, options: str, step: dict[str, int], tags: list[str]) -> None:
    def body(made: InitContext) -> list[str]:
        bind(made, source, "/data", options, **step)
        return [tag.partition(":")[0] for tag in top_mount(f"{rootfs}/data")["propagation"]]

    assert at_root(rootfs, body, prepare=lambda: shared(source)) == tags


def shared(place: Path) -> None:
    """A shared mount of the host, as most are."""
    tree = kernel.new_filesystem("tmpfs")
    kernel.set_attributes(tree, propagation=MS_SHARED)
    put(tree, place)
    (place / "below").mkdir()


# propagation of the copy, seen on the host, seen in the container
SEEN = [(MS_SLAVE, False, True), (MS_PRIVATE, False, False), (0, True, True)]


@pytest.mark.parametrize(("propagation", "outside", "inside"), SEEN)
def test_what_is_mounted_below_a_bind_of_a_shared_mount(
    rootfs: Path, source: Path, propagation: int, outside: bool, inside: bool
) -> None:
    """The host sees it only if a shared mount was asked for; the host's own mounts come in unless it is private."""

    def body(made: InitContext) -> tuple[bool, bool]:
        bind(made, source, "/data", "rbind", propagation=propagation)
        put(kernel.new_filesystem("tmpfs"), rootfs / "data/below")
        out = any(one["point"] == str(source / "below") for one in mountinfo(str(source)))
        os.mkdir(source / "other")
        put(kernel.new_filesystem("tmpfs"), source / "other")
        into = any(one["point"] == f"{rootfs}/data/other" for one in mountinfo(str(rootfs)))
        return out, into

    found = at_root(rootfs, body, prepare=lambda: shared(source))
    assert found == (outside, inside)


def test_no_descriptor_is_left_open(rootfs: Path, source: Path) -> None:
    """A container with thousands of mounts must not run out of descriptors while it is made."""

    def body(made: InitContext) -> int:
        before = len(os.listdir(f"/proc/{os.getpid()}/fd"))
        for number in range(5):
            bind(made, source, f"/bind-{number}", "rbind,ro,rslave")
            filesystem(made, mount(f"/tmpfs-{number}", "tmpfs", "t", "size=64k"))
        filesystem(made, mount("/proc", "proc"))
        return len(os.listdir(f"/proc/{os.getpid()}/fd")) - before

    assert at_root(rootfs, body) == 0


def test_a_context_without_a_root_is_not_needed_for_sources(source: Path) -> None:
    def body() -> list[str]:
        made = context()
        wanted = mount("/x", "none", str(source), "rbind")
        carry_out(made, OpenSource(mount=wanted, source=str(source)))
        [tree] = made.trees.values()
        directory = os.open(".", os.O_RDONLY, dir_fd=tree)
        return sorted(os.listdir(directory))

    assert in_namespace(body) == ["below", "file"]


def test_a_source_that_is_not_there(source: Path) -> None:
    """Which part of the way is missing, or that it is a link to nothing."""
    (source / "link").symlink_to(source / "gone")
    missing = {
        source / "gone": f"there is no {source}/gone",
        source / "gone/for/good": f"there is no {source}/gone",
        source / "link": f"{source}/link is a link to what is not there",
    }

    def body() -> list[tuple[int, str]]:
        found = []
        for path in missing:
            with pytest.raises(StepError) as caught:
                bind(context(), path, "/x", "bind")
            found.append((caught.value.errno, caught.value.hint))
        return found

    lead = "the source of a bind mount has to be on this host: "
    assert in_namespace(body) == [(ENOENT, lead + text) for text in missing.values()]
