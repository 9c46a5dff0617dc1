"""The container's root: its mount, the switch, and what is done right after it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from errno import ELOOP, EROFS
from pathlib import Path
from typing import Any

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel import namespace
from pyoci.kernel.constants import AT_FDCWD, MOUNT_ATTR_NODEV, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.init.rootfs import (
    ChangeRoot,
    MakeReadOnly,
    MakeWorkingDirectory,
    MountRoot,
    MoveRoot,
    OpenProc,
    OpenRoot,
    PivotRoot,
    ReopenStandardStreams,
    SetFinalPropagation,
    SetRootPropagation,
    propagation_name,
)
from pyoci.steps.step import Step
from tests.container.box import Box
from tests.isolation import CLONE_NEWNS, CLONE_NEWUSER, in_namespace, mountinfo, top_mount
from tests.steps.look import Config, Look, changes, namespaces, parse, writable
from tests.steps.scene import at_root, carry_out, context, mount

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "dev").mkdir()
    (root / "inside").touch()
    (root / "below").mkdir()
    return root


def put(tree: int, place: Path) -> None:
    target = os.open(place, os.O_PATH)
    kernel.attach(tree, target)
    os.close(target)
    os.close(tree)


def tags() -> list[str]:
    return [tag.partition(":")[0] for tag in top_mount("/")["propagation"]]


# -- before the switch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "seen"), [(MS_PRIVATE, False), (MS_SLAVE, True)])
def test_what_the_host_mounts_below_the_root_later(rootfs: Path, parent: int, seen: bool) -> None:
    """Slave (rootfsPropagation slave, rslave): it appears in the container. Private: it does not."""

    def body() -> bool:
        tree = kernel.clone_tree(AT_FDCWD, os.fsencode(rootfs))
        kernel.set_attributes(tree, propagation=MS_SHARED)
        put(tree, rootfs)
        ready, go = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            namespace.unshare(CLONE_NEWNS)
            made = context()
            carry_out(
                made, SetRootPropagation(propagation=MS_SLAVE | MS_REC), MountRoot(path=str(rootfs), parent=parent)
            )
            carry_out(made, PivotRoot())
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            os._exit(7 if os.path.exists("/below/later") else 8)
        os.read(ready[0], 1)
        put(kernel.new_filesystem("tmpfs"), rootfs / "below")
        (rootfs / "below/later").touch()
        os.write(go[1], b"x")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    assert in_namespace(body) is seen


def test_nothing_that_the_container_mounts_appears_on_the_host(rootfs: Path) -> None:
    def body() -> int:
        tree = kernel.clone_tree(AT_FDCWD, os.fsencode(rootfs))
        kernel.set_attributes(tree, propagation=MS_SHARED)
        put(tree, rootfs)
        before = len(mountinfo())
        pid = os.fork()
        if pid == 0:
            namespace.unshare(CLONE_NEWNS)
            made = context()
            carry_out(
                made, SetRootPropagation(propagation=MS_SLAVE | MS_REC), MountRoot(path=str(rootfs), parent=MS_SLAVE)
            )
            carry_out(made, MountFilesystem(mount=mount("/below", "tmpfs", "t")), PivotRoot())
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        return len(mountinfo()) - before

    assert in_namespace(body) == 0


def test_a_root_that_is_a_mount_with_others_below(rootfs: Path) -> None:
    """An overlay with a volume already in it: all of it comes along."""

    def prepare() -> None:
        put(kernel.new_filesystem("tmpfs"), rootfs)
        (rootfs / "volume").mkdir()
        put(kernel.new_filesystem("tmpfs"), rootfs / "volume")
        (rootfs / "volume/file").touch()

    def body(made: InitContext) -> list[str]:
        carry_out(made, PivotRoot())
        return os.listdir("/volume")

    assert at_root(rootfs, body, prepare=prepare) == ["file"]


# -- the switch ------------------------------------------------------------------------------------------------------


def switched(rootfs: Path, step: Step, *first: Step, **more: Any) -> tuple[list[str], list[str], list[str]]:
    """Names in the root, names one level up, and mount points, after the switch; the root's descriptor is the root."""

    def body(made: InitContext) -> tuple[list[str], list[str], list[str]]:
        carry_out(made, *first, step)
        assert os.path.samestat(os.fstat(made.root), os.stat("/"))
        assert os.getcwd() == "/"
        points = os.open("self/mountinfo", os.O_RDONLY, dir_fd=made.proc)
        with os.fdopen(points) as file:
            mounted = [line.split()[4] for line in file]
        return sorted(os.listdir("/")), sorted(os.listdir("/..")), mounted

    return at_root(rootfs, body, **more)


INSIDE = ["below", "dev", "inside", "proc"]


@pytest.mark.parametrize("flags", [CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER])
def test_pivot_leaves_nothing_of_the_host(rootfs: Path, flags: int) -> None:
    assert switched(rootfs, PivotRoot(), flags=flags) == (INSIDE, INSIDE, ["/"])


def test_move_leaves_no_way_back(rootfs: Path) -> None:
    here, up, _ = switched(rootfs, MoveRoot(path=str(rootfs)))
    assert (here, up) == (INSIDE, INSIDE)


@pytest.mark.parametrize("flags", [CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER])
def test_move_leaves_no_full_procfs_behind(rootfs: Path, flags: int) -> None:
    """One that stays visible would let a nested user namespace mount a new one without the masks."""
    os.chown(rootfs, 100000, 100000)

    def body(made: InitContext) -> list[str]:
        carry_out(made, MoveRoot(path=str(rootfs)))
        found = os.open("self/mountinfo", os.O_RDONLY, dir_fd=made.proc)
        with os.fdopen(found) as file:
            lines = [line.split() for line in file]
        parents = {line[1] for line in lines}
        return [line[4] for line in lines if line[line.index("-") + 1] in ("proc", "sysfs") and line[0] not in parents]

    assert at_root(rootfs, body, flags) == []


def test_change_root(rootfs: Path) -> None:
    """Without a mount namespace: chroot, and the mounts are still there."""

    def body() -> tuple[list[str], bool]:
        made = context()
        carry_out(made, OpenRoot(path=str(rootfs)), ChangeRoot())
        return sorted(os.listdir("/..")), os.path.samestat(os.fstat(made.root), os.stat("/"))

    assert in_namespace(body) == (INSIDE, True)


@pytest.mark.parametrize(
    ("propagation", "expected"),
    [
        (MS_SHARED, ["shared"]),
        (MS_SHARED | MS_REC, ["shared"]),
        (MS_UNBINDABLE, ["unbindable"]),
        (MS_UNBINDABLE | MS_REC, ["unbindable"]),
    ],
)
def test_the_final_propagation(rootfs: Path, propagation: int, expected: list[str]) -> None:
    def body(made: InitContext) -> tuple[list[str], list[str]]:
        carry_out(made, MountFilesystem(mount=mount("/proc", "proc", "proc")), PivotRoot())
        carry_out(made, SetFinalPropagation(propagation=propagation))
        return tags(), [tag.partition(":")[0] for tag in top_mount("/proc")["propagation"]]

    assert at_root(rootfs, body) == (expected, expected if propagation & MS_REC else [])


def test_names_of_propagation() -> None:
    assert [
        propagation_name(flags) for flags in (MS_PRIVATE, MS_SLAVE | MS_REC, MS_SHARED, MS_UNBINDABLE | MS_REC)
    ] == [
        "private",
        "rslave",
        "shared",
        "runbindable",
    ]


# -- after it --------------------------------------------------------------------------------------------------------


def test_the_waiting_process_keeps_a_procfs_without_sys(rootfs: Path) -> None:
    def body(made: InitContext) -> list[bool]:
        carry_out(made, OpenProc())
        found = []
        for proc in (made.proc, made.descriptors["proc"]):
            try:
                os.close(os.open("sys/kernel/ostype", os.O_RDONLY, dir_fd=proc))
                found.append(True)
            except FileNotFoundError:
                found.append(False)
        return found

    assert at_root(rootfs, body) == [True, False]


def test_read_only_keeps_other_attributes(rootfs: Path) -> None:
    def body(made: InitContext) -> tuple[set[str], int]:
        kernel.set_attributes(made.root, MOUNT_ATTR_NODEV)
        carry_out(made, MountFilesystem(mount=mount("/proc", "proc", "proc")), PivotRoot(), MakeReadOnly(path="/"))
        try:
            os.mkdir("/new")
        except OSError as error:
            return top_mount("/")["options"], error.errno or 0
        return set(), 0

    options, errno = at_root(rootfs, body)
    assert ({"ro", "nodev"} <= options, errno) == (True, EROFS)


def test_the_working_directory_is_made_inside_the_root(rootfs: Path) -> None:
    os.symlink("/below", rootfs / "link")
    os.symlink(rootfs.parent / "outside", rootfs / "away")

    def body(made: InitContext) -> None:
        for name in ("/a/b", "/link/c", "/away/d", "/inside/../e"):
            try:
                carry_out(made, MakeWorkingDirectory(path=name))
            except StepError:
                pass

    at_root(rootfs, body)
    assert (rootfs / "a/b").is_dir() and (rootfs / "below/c").is_dir()
    assert stat.S_IMODE((rootfs / "a").stat().st_mode) == 0o755
    assert not (rootfs.parent / "outside").exists()


NULL = os.makedev(1, 3)


def reopened(rootfs: Path, make: Callable[[Path], object]) -> list[bool]:
    """For each standard stream (null, a file, null): whether it is the container's /dev/null now."""
    make(rootfs / "dev/null")
    (rootfs.parent / "file").touch()

    def body(made: InitContext) -> list[bool]:
        null, file = os.open("/dev/null", os.O_RDWR), os.open(rootfs.parent / "file", os.O_RDWR)
        for number, source in enumerate((null, file, null)):
            os.dup2(source, number)
        before = os.fstat(0)
        carry_out(made, PivotRoot(), ReopenStandardStreams())
        assert os.fstat(1).st_rdev == 0
        assert os.write(2, b"x") == 1
        inherited = [os.get_inheritable(number) for number in range(3)]
        assert inherited == [True, True, True]
        return [not os.path.samestat(os.fstat(number), before) for number in range(3)]

    return at_root(rootfs, body)


def test_null_streams_become_the_containers_null(rootfs: Path) -> None:
    assert reopened(rootfs, lambda path: os.mknod(path, 0o20666, NULL)) == [True, True, True]
    # the second one differs from /dev/null in any case: it is the file


@pytest.mark.parametrize(
    "make",
    [
        lambda path: None,
        lambda path: os.symlink("/inside", path),
        lambda path: os.mkfifo(path),
        lambda path: path.write_text("not null"),
        lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
    ],
    ids=["missing", "link", "fifo", "file", "zero"],
)
def test_what_is_no_null_device_is_not_used(rootfs: Path, make: Callable[[Path], object]) -> None:
    """CVE-2026-88265: whatever the image has put there; and a FIFO does not block us."""
    assert reopened(rootfs, make) == [False, True, False]


# -- whole containers ------------------------------------------------------------------------------------------------


def bare(config: Config) -> None:
    """Nothing that needs a mount namespace, and no mounts that would stay behind."""
    config["mounts"] = []
    config["linux"].update(maskedPaths=[], readonlyPaths=[])
    config["root"]["readonly"] = False


def test_without_a_mount_namespace(look: Look) -> None:
    """chroot: the container sees its root, the host's mounts are as before (the box checks that)."""
    seen = look(changes(bare, namespaces("pid", "ipc", "uts", "network")), "/", "/dev/null", "/reporter")
    assert "reporter" in seen["files"]["/"]["entries"]
    assert seen["files"]["/dev/null"]["type"] == "char"
    assert seen["umask"] == 0o22


@pytest.mark.parametrize("options", [(), ("--no-pivot",)])
def test_read_only_root(look: Look, options: tuple[str, ...]) -> None:
    seen = look(None, "/", options=options)
    *_, top = [line for line in seen["mountinfo"] if line.split()[4] == "/"]
    assert "ro" in top.split()[5].split(",")


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        (None, ""),
        ("private", ""),
        ("rprivate", ""),
        ("slave", "master:"),
        ("rslave", "master:"),
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ],
)
def test_root_propagation(box: Box, name: str | None, tag: str) -> None:
    """All eight values, with the rootfs on a shared mount of the host."""

    def change(config: Config) -> None:
        writable(config)
        if name:
            config["linux"]["rootfsPropagation"] = name

    bundle = box.bundle("report", change=change)
    scene = 'mount --bind "$0" "$0" && mount --make-shared "$0" && exec "$@"'
    box.prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", scene, str(bundle))
    done = box("run", "--bundle", str(bundle), "propagation")
    box.prefix = ()
    assert (done.returncode, done.stderr) == (0, ""), done
    [seen] = parse(done)
    [line] = [line for line in seen["mountinfo"] if line.split()[4] == "/"]
    propagation = line.split(" - ")[0].split()[6:]
    assert [one.startswith(tag) for one in propagation] == ([True] if tag else [])


def test_a_private_root_cannot_be_had_without_pivot(box: Box) -> None:
    bundle = box.bundle("report", change=lambda config: config["linux"].update(rootfsPropagation="private"))
    done = box("run", "--no-pivot", "--bundle", str(bundle), "refused")
    assert done.returncode == 1
    assert "/linux/rootfsPropagation" in done.stderr


def test_a_link_above_the_root(rootfs: Path, tmp_path: Path) -> None:
    """The name had no links when the plan was made; one that is there now is somebody else's doing."""
    os.symlink(tmp_path, tmp_path / "link")

    def body() -> int:
        try:
            MountRoot(path=str(tmp_path / "link" / rootfs.relative_to(tmp_path)), parent=MS_PRIVATE).execute(context())
        except OSError as error:
            return error.errno or 0
        return 0

    assert in_namespace(body) == ELOOP
