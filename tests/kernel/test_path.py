"""Names below a root that somebody else controls: they lead nowhere but below it, whatever links say."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
from collections.abc import Iterator
from errno import EAGAIN, ELOOP, ENOTDIR, EXDEV
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyoci.kernel import mount, path
from pyoci.kernel.constants import RESOLVE_NO_SYMLINKS


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    (tmp_path / "root/inner").mkdir(parents=True)
    descriptor = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def tree(root: int, tmp_path: Path) -> Path:
    return tmp_path / "root"


def place(descriptor: int) -> Path:
    found = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    os.close(descriptor)
    return found


def test_open_stays_below_the_root(root: int, tree: Path) -> None:
    (tree / "file").write_text("inside")
    os.symlink("/file", tree / "absolute")
    os.symlink("../../../../file", tree / "inner/climbing")
    for name in (b"/file", b"file", b"absolute", b"inner/climbing", b"../../file", b"inner/../../file", b"//./file"):
        assert place(path.open_in_root(root, name)) == tree / "file", name


def test_open_of_what_exists_outside_only(root: int, tree: Path) -> None:
    outside = tree.parent / "outside"
    os.symlink(outside, tree / "away")
    for name in (str(outside / "secret"), "away/secret", "../outside/secret"):
        with pytest.raises(FileNotFoundError):
            path.open_in_root(root, name.encode())


def test_magic_links_are_refused() -> None:
    proc = os.open("/proc", os.O_PATH)
    try:
        for name in (b"self/root", b"self/cwd", b"self/fd/0", b"self/ns/mnt"):
            with pytest.raises(OSError, match=r"symbolic links|cross-device") as caught:
                path.open_in_root(proc, name)
            assert caught.value.errno in (ELOOP, EXDEV)
    finally:
        os.close(proc)


def test_links_can_be_refused(root: int, tree: Path) -> None:
    os.symlink("inner", tree / "link")
    with pytest.raises(OSError, match="symbolic links") as caught:
        path.open_in_root(root, b"link", os.O_PATH, RESOLVE_NO_SYMLINKS)
    assert caught.value.errno == ELOOP
    assert caught.value.filename == b"link"
    assert caught.value.__notes__[0].startswith("openat2(")


def test_ensure_opens_what_is_there(root: int, tree: Path) -> None:
    (tree / "inner").chmod(0o700)
    assert place(path.ensure(root, b"/inner", directory=True)) == tree / "inner"
    assert stat.S_IMODE((tree / "inner").stat().st_mode) == 0o700
    (tree / "inner/file").write_text("kept")
    assert place(path.ensure(root, b"/inner/file", directory=True)) == tree / "inner/file"
    assert (tree / "inner/file").read_text() == "kept"


@pytest.mark.parametrize(("directory", "kind", "mode"), [(True, stat.S_IFDIR, 0o755), (False, stat.S_IFREG, 0o644)])
def test_ensure_makes_what_is_missing(root: int, tree: Path, directory: bool, kind: int, mode: int) -> None:
    old = os.umask(0)
    try:
        assert place(path.ensure(root, b"/a/b//./c", directory)) == tree / "a/b/c"
    finally:
        os.umask(old)
    status = (tree / "a/b/c").lstat()
    assert (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)) == (kind, mode)
    assert stat.S_IMODE((tree / "a/b").stat().st_mode) == 0o755


def test_ensure_follows_links_inside_the_root(root: int, tree: Path) -> None:
    os.symlink("/inner", tree / "absolute")
    os.symlink("../../../inner", tree / "inner/up")
    os.symlink("absolute", tree / "chain")
    for name in (b"absolute/one", b"inner/up/two", b"chain/three", b"inner/../chain/./four"):
        made = place(path.ensure(root, name, directory=False))
        assert made == tree / "inner" / name.decode().rpartition("/")[2]


def test_ensure_makes_what_a_dangling_link_names(root: int, tree: Path) -> None:
    """As runc: the target of the link is made, where the link would lead inside the container."""
    outside = tree.parent / "outside"
    os.symlink("/not/yet", tree / "dangling")
    os.symlink(outside / "new", tree / "away")
    os.symlink("../../../../outside/climbed", tree / "up")
    assert place(path.ensure(root, b"dangling", directory=True)) == tree / "not/yet"
    assert place(path.ensure(root, b"dangling/file", directory=False)) == tree / "not/yet/file"
    assert place(path.ensure(root, b"away", directory=True)) == Path(f"{tree}{outside}/new")
    assert place(path.ensure(root, b"up", directory=False)) == tree / "outside/climbed"
    assert sorted(os.listdir(outside)) == ["secret"]


def test_ensure_of_the_root_itself(root: int, tree: Path) -> None:
    for name in (b"/", b"", b".", b"..", b"/../.."):
        assert place(path.ensure(root, name, directory=True)) == tree


def test_ensure_needs_no_luck(root: int, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others rename and mount, openat2 may answer EAGAIN for ever; then the components are opened one by one."""

    def unlucky(*_: object, **__: object) -> int:
        raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))

    monkeypatch.setattr(path, "_openat2", unlucky)
    with pytest.raises(BlockingIOError):
        path.open_in_root(root, b"/inner")
    assert place(path.ensure(root, b"/inner/../inner", directory=True)) == tree / "inner"
    assert place(path.ensure(root, b"/inner/new", directory=False)) == tree / "inner/new"


def test_ensure_of_links_in_a_circle(root: int, tree: Path) -> None:
    os.symlink("b", tree / "a")
    os.symlink("a", tree / "b")
    with pytest.raises(OSError, match="symbolic links") as caught:
        path.ensure(root, b"/a/x", directory=True)
    assert caught.value.errno == ELOOP


def test_ensure_below_a_file(root: int, tree: Path) -> None:
    (tree / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory") as caught:
        path.ensure(root, b"/file/below", directory=True)
    assert caught.value.errno == ENOTDIR


@pytest.mark.root
def test_a_failure_names_the_whole_path_and_the_call(tree: Path) -> None:
    from tests.isolation import in_namespace

    tree.chmod(0o755)

    def body() -> None:
        descriptor = os.open(tree, os.O_PATH)
        os.setresuid(1000, 1000, 1000)
        path.ensure(descriptor, b"/inner/new/directory", directory=True)

    with pytest.raises(PermissionError) as caught:
        in_namespace(body, 0)
    assert caught.value.filename == b"/inner/new/directory"
    assert caught.value.__notes__[0].endswith('"new", 0o755)')


@pytest.mark.parametrize("directory", [True, False])
def test_no_descriptor_is_left_open(root: int, tree: Path, directory: bool) -> None:
    os.symlink("/inner/../inner", tree / "link")
    before = os.listdir("/proc/self/fd")
    os.close(path.ensure(root, b"/link/a/../b/c", directory))
    with pytest.raises(OSError, match="File name too long"):
        path.ensure(root, b"/link/" + b"x" * 300, directory)
    assert os.listdir("/proc/self/fd") == before


SEGMENTS = st.sampled_from(["a", "b", "link", "..", ".", "", "up", "far"])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(SEGMENTS, min_size=1, max_size=8), targets=st.lists(SEGMENTS, min_size=1, max_size=5))
def test_ensure_agrees_with_the_kernel(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], targets: list[str]
) -> None:
    """What ensure() has made is what openat2 finds by the same name; nothing appears beside the root."""
    top = tmp_path_factory.mktemp("ensure")
    (top / "root/a").mkdir(parents=True)
    os.symlink("/".join(targets) or ".", top / "root/link")
    os.symlink("../../..", top / "root/up")
    os.symlink(str(top), top / "root/far")
    root = os.open(top / "root", os.O_PATH | os.O_DIRECTORY)
    name = b"/" + "/".join(names).encode()
    try:
        try:
            made = path.ensure(root, name, directory=True)
        except OSError as error:
            assert error.errno in (ELOOP, ENOTDIR)
            return
        found = path.open_in_root(root, name)
        assert os.path.sameopenfile(made, found)
        os.close(made)
        os.close(found)
        assert os.listdir(top) == ["root"]
    finally:
        os.close(root)


def test_a_swapped_directory_leads_nowhere_else(root: int, tree: Path) -> None:
    """While somebody swaps a directory for a link to the outside, nothing is ever made or opened there."""
    outside = tree.parent / "outside"
    (tree / "swap").mkdir()
    os.symlink(outside, tree / "link")
    pid = os.fork()
    if pid == 0:
        renameat2 = ctypes.CDLL(None).renameat2
        names = os.fsencode(tree / "swap"), os.fsencode(tree / "link")
        while os.getppid() != 1:
            renameat2(-100, names[0], -100, names[1], 2)  # RENAME_EXCHANGE
    inside = 0
    try:
        for number in range(2000):
            try:
                made = place(path.ensure(root, f"/swap/{number}/x".encode(), directory=bool(number % 2)))
            except OSError:
                continue
            assert made.is_relative_to(tree)
            inside += 1
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert os.listdir(outside) == ["secret"]
    assert inside, "the race was never run"


def test_another_way_to_the_root_is_not_below_it(tmp_path: Path) -> None:
    """The host's way to the root file system, whose ".." leads out: os.getcwd() takes the one for the other."""
    (tmp_path / "root/sub").mkdir(parents=True)
    (tmp_path / "copy").mkdir()

    from tests.isolation import CLONE_NEWNS, in_namespace

    def body() -> tuple[str, bool, bool]:
        tree = mount.clone_tree(os.open(tmp_path / "root", os.O_PATH))
        mount.attach(tree, os.open(tmp_path / "copy", os.O_PATH))
        os.chdir(tmp_path / "root/sub")
        os.chroot(tmp_path / "copy")
        outside = os.getcwd(), path.is_below_root()
        os.chdir("/sub")
        return *outside, path.is_below_root()

    assert in_namespace(body, CLONE_NEWNS) == ("/sub", False, True)
