"""Sources of bind mounts that lie below the container's root, by whatever name, and those that only seem to."""

from __future__ import annotations

import os
from collections.abc import Callable
from errno import ENOENT, EPERM, ESTALE
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci import channel
from pyoci.container.process.handshake import Handshake
from pyoci.errors import Error, StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel.constants import AT_FDCWD, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID
from pyoci.kernel.signals import Interrupts
from pyoci.steps.host.context import HostContext
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init import binds, sources
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.sources import through_root
from pyoci.undo import Undo
from tests.isolation import in_namespace, mountinfo, top_mount, user_namespace
from tests.steps.scene import at_root, carry_out, filesystem, mount, put

pytestmark = pytest.mark.root

T = TypeVar("T")


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    (tmp_path / "root/mnt").mkdir(parents=True)
    return tmp_path / "root"


def show(made: InitContext, rootfs: Path, source: Path | str, options: str = "rbind", **step: Any) -> None:
    """Open the source beforehand, then bind what there is to bind on /seen."""
    wanted = mount("/seen", "none", str(source), options)
    first = OpenSource(pointer="/mounts/0/source", mount=wanted, source=str(source), rootfs=str(rootfs), **step)
    second = BindMount(pointer="/mounts/0", mount=wanted, **step)
    carry_out(made, first)
    filesystem(made, mount("/mnt", "tmpfs", "t", "mode=711"))
    (rootfs / "mnt/file").write_text("of the mount")
    carry_out(made, second)


def content(rootfs: Path) -> str:
    return (rootfs / "seen/file").read_text()


# -- names that lead there -------------------------------------------------------------------------------------------


def test_a_link_of_the_host_to_the_root(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("root")

    def body(made: InitContext) -> str:
        show(made, rootfs, tmp_path / "alias/mnt")
        return content(rootfs)

    assert at_root(rootfs, body) == "of the mount"


def test_what_is_not_there_yet(rootfs: Path, tmp_path: Path) -> None:
    """The file comes with the mount."""
    (tmp_path / "alias").symlink_to(tmp_path)

    def body(made: InitContext) -> str:
        show(made, rootfs, tmp_path / "alias/root/mnt/file")
        return (rootfs / "seen").read_text()

    assert at_root(rootfs, body) == "of the mount"


@pytest.mark.parametrize("options", ["bind", "rbind"])
def test_the_root_itself(rootfs: Path, options: str) -> None:
    """Recursive or not, as the kernel does it: with what is mounted by then."""

    def body(made: InitContext) -> bool:
        wanted = mount("/seen", "none", str(rootfs), options)
        filesystem(made, mount("/mnt", "tmpfs", "t"))
        (rootfs / "mnt/file").touch()
        carry_out(made, BindMount(pointer="/mounts/0", mount=wanted, inside="/"))
        return (rootfs / "seen/mnt/file").exists()

    assert at_root(rootfs, body) is (options == "rbind")


def test_a_file_that_is_mounted(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("given")

    def body(made: InitContext) -> str:
        one = mount("/first", "none", str(tmp_path / "given"), "bind")
        carry_out(made, OpenSource(mount=one, source=one.source), BindMount(mount=one))
        two = mount("/second", "none", f"{rootfs}/first", "bind,ro")
        carry_out(made, BindMount(mount=two, inside="/first"))
        assert "ro" in top_mount(f"{rootfs}/second")["options"]
        return (rootfs / "second").read_text()

    assert at_root(rootfs, body) == "given"


def test_a_second_mount_of_the_root_is_the_host_s(rootfs: Path, tmp_path: Path) -> None:
    """What the host has mounted there is shown; a link of the image stays inside all the same."""
    other = tmp_path / "other"
    for one in (other, tmp_path / "outside", rootfs / "own", rootfs / "outside"):
        one.mkdir()
    (tmp_path / "outside/file").write_text("outside")
    (rootfs / "outside/file").write_text("the image's")
    (rootfs / "link").symlink_to("../outside")
    (rootfs / "link-to-mnt").symlink_to("/mnt")

    def prepare() -> None:
        put(kernel.clone_tree(AT_FDCWD, os.fsencode(rootfs)), other)
        put(kernel.new_filesystem("tmpfs"), other / "own")
        (other / "own/file").write_text("the host's mount")

    def body(made: InitContext) -> list[str]:
        found = []
        for name in ("own", "link"):
            show(made, rootfs, other / name)
            found.append(content(rootfs))
        return found

    assert at_root(rootfs, body, prepare=prepare) == ["the host's mount", "the image's"]


def test_a_directory_that_has_become_another_one(rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the way and the opening: names of the image are followed nowhere else."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("another directory's")
    (tmp_path / "way").symlink_to(tmp_path / "other")
    monkeypatch.setattr(sources, "through_root", lambda source, root: (str(tmp_path / "other"), "/file"))

    def body(made: InitContext) -> None:
        show(made, rootfs, tmp_path / "way/file")

    with pytest.raises(StepError) as caught:
        at_root(rootfs, body)
    assert caught.value.errno == ESTALE


def test_a_way_out_through_a_link_of_the_image(rootfs: Path, tmp_path: Path) -> None:
    """ROOTFS/link/../../data is beside what holds the link's target, if the image's names are followed on the host."""
    for name in ("outside/data", "outside/deep/er", "data"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "outside/data/file").write_text("outside")
    (tmp_path / "data/file").write_text("data")
    (rootfs / "directory").mkdir()
    (rootfs / "link").symlink_to("../outside/deep/er")

    def body(made: InitContext, name: str) -> str:
        show(made, rootfs, f"{rootfs}/{name}")
        return content(rootfs)

    assert at_root(rootfs, lambda made: body(made, "../data")) == "data"
    assert at_root(rootfs, lambda made: body(made, "directory/../../data")) == "data"
    with pytest.raises(StepError, match="into the container's root file system and out of it again") as caught:
        at_root(rootfs, lambda made: body(made, "link/../../data"))
    assert caught.value.pointer == "/mounts/0/source"


def test_a_missing_source_is_named(rootfs: Path) -> None:
    def body(made: InitContext) -> None:
        wanted = mount("/seen", "none", f"{rootfs}/none/such", "bind")
        carry_out(made, BindMount(pointer="/mounts/0", mount=wanted, inside="/none/such"))

    with pytest.raises(StepError) as caught:
        at_root(rootfs, body)
    assert (caught.value.errno, caught.value.pointer) == (ENOENT, "/mounts/0/source")
    assert caught.value.message.endswith(f"{rootfs}/none/such: no such file or directory")
    assert "as /none/such of the container's root file system" in caught.value.hint


def test_nothing_is_left_open(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("root")

    def body(made: InitContext) -> int:
        before = len(os.listdir(f"/proc/{os.getpid()}/fd"))
        show(made, rootfs, tmp_path / "alias/mnt", "rbind,ro", locked=True)
        wanted = mount("/seen", "none", "", "bind,rexec")
        with pytest.raises(StepError):
            carry_out(made, BindMount(mount=wanted, inside="/none"))
        made.locks.clear()  # as if it were the host's
        kernel.set_attributes(made.root, MOUNT_ATTR_NOEXEC)
        with pytest.raises(StepError):
            carry_out(made, BindMount(mount=wanted, inside="/", locked=True))
        assert made.inside == {}
        return len(os.listdir(f"/proc/{os.getpid()}/fd")) - before

    assert at_root(rootfs, body) == 0


# -- through_root ----------------------------------------------------------------------------------------------------


def test_ways_to_the_root(tmp_path: Path) -> None:
    root = tmp_path / "b/root"
    (root / "etc").mkdir(parents=True)
    (tmp_path / "l").symlink_to("b/root")
    (tmp_path / "m").symlink_to(f"{tmp_path}/l/../root/.")
    (tmp_path / "n").symlink_to(f"{tmp_path}/m/etc/../x")
    (tmp_path / "loop").symlink_to("loop")
    (root / "out").symlink_to("/")
    here = str(root)
    expected = {
        "l": (here, "/"),
        "l/etc": (here, "/etc"),
        "m//etc/./passwd": (here, "/etc/passwd"),
        "n/y": (here, "/etc/../x/y"),
        "l/out/etc": (here, "/out/etc"),  # the image's link is not followed here
        "l/../root/etc": (here, "/etc"),
        "l/..": None,
        "l/../other": None,
        "b": None,
        "none/l": None,
        "loop/x": None,
        "rooted": None,
    }
    assert {name: through_root(f"{tmp_path}/{name}", here) for name in expected} == expected
    for name in ("l/etc/../../other", "b/root/etc/../../root/etc", "m/../root/x/../../b"):
        with pytest.raises(OSError, match="into the container's root file system and out of it again"):
            through_root(f"{tmp_path}/{name}", here)
    assert through_root(f"{tmp_path}/l", "") is None
    assert through_root(f"/proc/self/root{tmp_path}/l", here) is None


parts = st.lists(st.sampled_from(["..", "a", "b", "etc"]), max_size=8)


@given(parts)
def test_climbing_is_what_the_letters_say(rest: list[str]) -> None:
    below = os.path.normpath("/".join(["x", "y", *rest])).split("/")
    inside = below[:2] == ["x", "y"]
    if sources._climbs(rest[::-1]):
        return  # it may come back: then the walk goes on by itself
    assert inside


# -- what a user namespace locks -------------------------------------------------------------------------------------


def test_locks_follow_a_mount_to_its_second_place(rootfs: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()

    def body(made: InitContext) -> tuple[set[str], set[str]]:
        one = mount("/first", "none", str(source), "rbind,ro")
        carry_out(made, OpenSource(mount=one, source=one.source, locked=True), BindMount(mount=one, locked=True))
        two = mount("/second", "none", f"{rootfs}/first", "bind,nodev")  # ro was the container's own
        carry_out(made, BindMount(mount=two, inside="/first", locked=True))
        three = mount("/third", "none", f"{rootfs}/second", "bind,exec")
        with pytest.raises(StepError, match="cannot clear locked flags MS_NOEXEC: operation not permitted"):
            carry_out(made, BindMount(mount=three, inside="/second", locked=True))
        filesystem(made, mount("/mnt", "tmpfs", "t", "noexec"), locked=True)
        four = mount("/fourth", "none", f"{rootfs}/mnt", "bind,exec,noatime")
        carry_out(made, BindMount(mount=four, inside="/mnt", locked=True))
        second: set[str] = top_mount(f"{rootfs}/second")["options"]
        fourth: set[str] = top_mount(f"{rootfs}/fourth")["options"]
        return second, fourth

    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs", attributes=MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSUID), source)

    found = at_root(rootfs, body, prepare=prepare)
    assert found == ({"rw", "nosuid", "nodev", "noexec", "relatime"}, {"rw", "noatime"})


# -- id mappings -----------------------------------------------------------------------------------------------------


def mapped(rootfs: Path, kind: str) -> tuple[int, int]:
    """Owners of a file at the top of what is bound, and on the mount below."""

    def body(made: InitContext) -> tuple[int, int]:
        made.descriptors["/mounts/0/uidMappings"] = user_namespace("0 3000 100\n")
        filesystem(made, mount("/mnt", "tmpfs", "t"))
        (rootfs / "mnt/below").mkdir()
        filesystem(made, mount("/mnt/below", "tmpfs", "t"))
        for name in ("mnt/file", "mnt/below/file"):
            (rootfs / name).touch()
        maps = [{"containerID": 0, "hostID": 3000, "size": 100}]
        wanted = mount("/seen", "none", f"{rootfs}/mnt", f"rbind,{kind}", uidMappings=maps, gidMappings=maps)
        carry_out(made, BindMount(pointer="/mounts/0", mount=wanted, inside="/mnt"))
        return tuple((rootfs / "seen" / name).stat().st_uid for name in ("file", "below/file"))  # type: ignore[return-value]

    return at_root(rootfs, body)


def test_ids_are_mapped(rootfs: Path) -> None:
    assert mapped(rootfs, "idmap") == (3000, 0)
    assert mapped(rootfs, "ridmap") == (3000, 3000)


def asked(body: Callable[[Handshake, channel.Channel], T]) -> T:
    """In a process of its own: a runtime with an open mapping, and the container's end of its channel."""
    ours, theirs = channel.pair()
    context = HostContext(ours, Undo(), InitContext(theirs))
    context.interrupts = Interrupts(())
    context.interrupts.install()
    context.init.descriptors["/mounts/3/uidMappings"] = user_namespace("0 3000 100\n")
    birth = Handshake(cast(Any, None), context, lambda name, master: None)
    return body(birth, theirs)


@pytest.mark.parametrize("again", [False, True])
def test_the_runtime_maps_for_the_process(again: bool) -> None:
    """The mount comes by descriptor; what the kernel refuses, here a second mapping, is the process's to tell."""

    def body(birth: Handshake, theirs: channel.Channel) -> tuple[str, int, int]:
        tree = kernel.new_filesystem("tmpfs")
        if again:
            kernel.set_idmap(tree, user_namespace("0 3000 100\n"))
        before = len(os.listdir("/proc/self/fd"))
        theirs.send("map", "/mounts/3", "idmap", descriptors=(tree,))
        theirs.send("ready")
        alive, _ = os.pipe()  # as a pidfd of a process that runs
        assert birth._receive(alive).kind == "ready"
        left = len(os.listdir("/proc/self/fd")) - before - 2
        return theirs.receive().fields[0], os.fstat(tree).st_uid, left

    assert in_namespace(lambda: asked(body)) == (str(EPERM) if again else "0", 3000, 0)


@pytest.mark.parametrize(("pointer", "count"), [("/mounts/3", 0), ("/mounts/3", 2), ("/mounts/4", 1)])
def test_nothing_else_is_mapped(pointer: str, count: int) -> None:
    def body(birth: Handshake, theirs: channel.Channel) -> None:
        theirs.send("map", pointer, "idmap", descriptors=(0, 1)[:count])
        birth._receive(os.pipe()[0])

    with pytest.raises(Error, match="a mount that is none"):
        in_namespace(lambda: asked(body))


def test_an_answer_that_is_none(rootfs: Path) -> None:
    ours, theirs = channel.pair()

    def ask(made: InitContext, answer: tuple[str, ...]) -> None:
        made.channel = theirs
        ours.send(*answer)
        binds._ask_for_idmap(made, mount("/x", "none", "/y", "bind,idmap"), made.root)

    with pytest.raises(Error, match="the runtime said 'go'"):
        at_root(rootfs, lambda made: ask(made, ("go",)))
    with pytest.raises(PermissionError):
        at_root(rootfs, lambda made: ask(made, ("mapped", str(EPERM))))
    assert mountinfo(str(rootfs)) == []
