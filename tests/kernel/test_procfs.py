"""A procfs of our own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyoci.kernel import mount, path, procfs
from pyoci.kernel.constants import AT_FDCWD, PROC_SUPER_MAGIC
from tests.isolation import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, in_namespace

pytestmark = pytest.mark.root


def cover(place: str, tree: int) -> None:
    target = os.open(place, os.O_PATH)
    mount.attach(tree, target)
    os.close(target)


def processes(proc: int) -> list[str]:
    """The process numbers in a procfs; a detached mount is open as O_PATH only."""
    directory = os.open(".", os.O_RDONLY, dir_fd=proc)
    return sorted(name for name in os.listdir(directory) if name.isdigit())


def test_it_is_of_our_pid_namespace_and_mounted_nowhere() -> None:
    def body() -> tuple[list[str], bool]:
        before = Path("/proc/self/mountinfo").read_text()
        proc = procfs.open_private()
        return processes(proc), Path("/proc/self/mountinfo").read_text() == before

    assert in_namespace(body, CLONE_NEWNS | CLONE_NEWPID) == (["1"], True)


def test_options_apply() -> None:
    def body() -> list[bool]:
        proc = procfs.open_private("subset=pid")
        found = []
        for name in ("self/status", "sys/kernel/hostname", "mounts"):
            try:
                os.close(os.open(name, os.O_RDONLY, dir_fd=proc))
                found.append(True)
            except FileNotFoundError:
                found.append(False)
        return found

    assert in_namespace(body)[:2] == [True, False]


def test_what_covers_proc_does_not_matter() -> None:
    def body() -> int:
        cover("/proc", mount.new_filesystem("tmpfs"))
        return path.filesystem_type(procfs.open_private())

    assert in_namespace(body) == PROC_SUPER_MAGIC


def test_refused_it_is_the_verified_one() -> None:
    """A user namespace whose pid namespace is not its own gets no procfs: the mounted one is checked."""

    def body() -> bool:
        proc = procfs.open_private()
        return procfs.root_is_procfs(proc) and bool(processes(proc))

    assert in_namespace(body, CLONE_NEWUSER | CLONE_NEWNS)


@pytest.mark.parametrize("cover_with", ["tmpfs", "a part of procfs"])
def test_refused_and_covered_is_an_error(cover_with: str) -> None:
    def body() -> None:
        if cover_with == "tmpfs":
            cover("/proc", mount.new_filesystem("tmpfs"))
        else:
            cover("/proc", mount.clone_tree(AT_FDCWD, b"/proc/sys"))
        procfs.open_private()

    with pytest.raises(OSError, match="not the root of a procfs"):
        in_namespace(body, CLONE_NEWUSER | CLONE_NEWNS)


def test_write_in_one_piece() -> None:
    def body() -> str:
        proc = procfs.open_private()
        procfs.write(proc, "self/comm", "written")
        return Path(f"/proc/{os.getpid()}/comm").read_text()

    assert in_namespace(body) == "written\n"


def test_write_refuses_what_is_not_procfs(tmp_path: Path) -> None:
    """Somebody may have mounted a file over an attribute (CVE-2019-16884), or put a link there."""
    (tmp_path / "fake").write_text("")
    (tmp_path / "link").symlink_to("/proc/self/comm")
    directory = os.open(tmp_path, os.O_PATH)
    with pytest.raises(OSError, match="not a file of procfs"):
        procfs.write(directory, "fake", "x")
    assert (tmp_path / "fake").read_text() == ""
    with pytest.raises(OSError, match="symbolic links"):
        procfs.write(directory, "link", "x")
    os.close(directory)


def test_write_refuses_what_is_mounted_over_the_file() -> None:
    """The mounted /proc, with another file of a procfs that takes what is written (CVE-2019-19921)."""

    def body() -> tuple[str, str, str]:
        proc = os.open("/proc", os.O_PATH)
        own = Path(f"/proc/{os.getpid()}")
        procfs.write(proc, "self/comm", "first")
        before = (own / "comm").read_text()
        cover(str(own / "comm"), mount.clone_tree(AT_FDCWD, os.fsencode(own / "timerslack_ns")))
        refused = ""
        try:
            procfs.write(proc, "self/comm", "12345")
        except OSError as error:
            refused = os.strerror(error.errno or 0)
        return before, refused, (own / "comm").read_text()

    before, refused, there = in_namespace(body)
    assert (before, refused) == ("first\n", "Invalid cross-device link")
    assert there != "12345\n" and there.strip().isdigit(), "it is the other file, and it is as it was"


def test_root_is_procfs() -> None:
    answers = []
    for name in ("/proc", "/proc/sys", "/", "/proc/1"):
        descriptor = os.open(name, os.O_PATH)
        answers.append(procfs.root_is_procfs(descriptor))
        os.close(descriptor)
    assert answers == [True, False, False, False]
