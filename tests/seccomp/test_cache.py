"""The cache of compiled filters: what it gives back was stored for exactly this, by us; anything else is no entry."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.seccomp import Seccomp, SyscallArg, SyscallRule
from pyoci.kernel import libseccomp
from pyoci.seccomp import cache

BPF = b"\x06\0\0\0\0\0\xff\x7f" * 50
KEY = "a" * 64
TOLD = ('one: "é"', "two")  # warnings


@pytest.fixture
def library(tmp_path: Path) -> Path:
    copy = tmp_path / "libseccomp.so.2"
    shutil.copyfile(libseccomp.path(), copy)
    return copy


@pytest.fixture
def root(tmp_path: Path, library: Path) -> Path:
    """A state directory with one entry, stored under KEY."""
    directory = tmp_path / "root"
    directory.mkdir()
    cache.store(str(directory), KEY, BPF, TOLD, str(library))
    assert cache.load(str(directory), KEY) == (BPF, TOLD)
    return directory


def entry(root: Path) -> Path:
    return root / cache.NAME / KEY


def test_closed_to_others_whatever_the_umask(tmp_path: Path, library: Path) -> None:
    for umask in (0, 0o777):
        directory = tmp_path / f"{umask:o}"
        directory.mkdir()
        old = os.umask(umask)
        try:
            cache.store(str(directory), KEY, BPF, TOLD, str(library))
        finally:
            os.umask(old)
        assert stat.S_IMODE((directory / cache.NAME).stat().st_mode) == 0o700
        assert stat.S_IMODE(entry(directory).stat().st_mode) == 0o600
        assert cache.load(str(directory), KEY) == (BPF, TOLD)


def test_no_entry() -> None:
    assert cache.load("/no/such/root", KEY) is None
    cache.store("/no/such/root", KEY, BPF, TOLD, libseccomp.path())
    assert not Path("/no").exists()


@pytest.mark.root
def test_another_owner_is_not_believed(root: Path) -> None:
    os.chown(entry(root), 1, 0)
    assert cache.load(str(root), KEY) is None
    os.chown(entry(root), 0, 0)
    assert cache.load(str(root), KEY) == (BPF, TOLD)
    os.chown(root / cache.NAME, 1, 0)
    assert cache.load(str(root), KEY) is None


@pytest.mark.root
def test_a_directory_of_another_owner_is_left_alone(root: Path, library: Path) -> None:
    entry(root).unlink()
    os.chown(root / cache.NAME, 1, 0)
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert list((root / cache.NAME).iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o4600, 0o700])
def test_a_mode_open_to_others_is_not_believed(root: Path, mode: int, library: Path) -> None:
    entry(root).chmod(mode)
    assert cache.load(str(root), KEY) is None
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert cache.load(str(root), KEY) == (BPF, TOLD)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1700, 0o777])
def test_a_directory_open_to_others_is_not_believed_but_repaired(root: Path, mode: int, library: Path) -> None:
    (root / cache.NAME).chmod(mode)
    assert cache.load(str(root), KEY) is None
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert stat.S_IMODE((root / cache.NAME).stat().st_mode) == 0o700
    assert cache.load(str(root), KEY) == (BPF, TOLD)


def test_links_are_not_followed(root: Path, tmp_path: Path, library: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    entry(root).rename(elsewhere)
    entry(root).symlink_to(elsewhere)
    assert cache.load(str(root), KEY) is None
    entry(root).unlink()
    entry(root).hardlink_to(elsewhere)
    assert cache.load(str(root), KEY) is None, "a second name may be a way to write"
    (root / cache.NAME).rename(tmp_path / "directory")
    (root / cache.NAME).symlink_to(tmp_path / "directory")
    elsewhere.unlink()
    assert cache.load(str(root), KEY) is None
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert (root / cache.NAME).is_symlink()


@pytest.mark.parametrize("kind", ["directory", "fifo", "empty", "huge"])
def test_something_else_in_its_place(root: Path, kind: str, library: Path) -> None:
    entry(root).unlink()
    if kind == "directory":
        entry(root).mkdir(0o600)
    elif kind == "fifo":
        os.mkfifo(entry(root), 0o600)
    else:
        entry(root).touch(0o600)
        os.truncate(entry(root), 2**40 if kind == "huge" else 0)
    assert cache.load(str(root), KEY) is None
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert (cache.load(str(root), KEY) is None) == (kind == "directory")
    assert not list((root / cache.NAME).glob(".*")), "no temporary file stays"


def test_an_entry_under_another_name_is_not_believed(root: Path) -> None:
    entry(root).rename(root / cache.NAME / ("b" * 64))
    assert cache.load(str(root), "b" * 64) is None


def test_longer(root: Path) -> None:
    with entry(root).open("ab") as file:
        file.write(b"\0" * 8)
    assert cache.load(str(root), KEY) is None


def test_flipped_bits(root: Path) -> None:
    """One of every byte, each of the eight in turn."""
    whole = entry(root).read_bytes()
    with entry(root).open("r+b", buffering=0) as file:
        for at, byte in enumerate(whole):
            os.pwrite(file.fileno(), bytes([byte ^ 1 << at % 8]), at)
            assert cache.load(str(root), KEY) is None, at
            os.pwrite(file.fileno(), bytes([byte]), at)
    assert cache.load(str(root), KEY) == (BPF, TOLD)


def test_every_truncation(root: Path) -> None:
    for size in reversed(range(entry(root).stat().st_size)):
        os.truncate(entry(root), size)
        assert cache.load(str(root), KEY) is None, size


def test_the_hash_of_something_else(root: Path, library: Path) -> None:
    whole = entry(root).read_bytes()
    cache.store(str(root), "b" * 64, BPF * 2, (), str(library))
    other = (root / cache.NAME / ("b" * 64)).read_bytes()
    entry(root).write_bytes(other[:32] + whole[32:])
    assert cache.load(str(root), KEY) is None
    entry(root).write_bytes(other)  # whole and right, but another profile's
    assert cache.load(str(root), KEY) is None
    entry(root).write_bytes(whole)
    assert cache.load(str(root), KEY) == (BPF, TOLD)


def test_a_size_that_is_no_number_of_instructions(root: Path, library: Path) -> None:
    cache.store(str(root), KEY, BPF[:-1], (), str(library))
    assert cache.load(str(root), KEY) is None


def test_another_libseccomp_ends_the_entry(root: Path, library: Path, tmp_path: Path) -> None:
    newer = tmp_path / "libseccomp.so.2.new"
    shutil.copy2(library, newer)
    newer.rename(library)  # as a package manager does, time stamp and size unchanged
    assert cache.load(str(root), KEY) is None
    cache.store(str(root), KEY, BPF, TOLD, str(library))
    assert cache.load(str(root), KEY) == (BPF, TOLD)
    library.unlink()
    assert cache.load(str(root), KEY) is None


def test_a_link_to_another_libseccomp_ends_the_entry(root: Path, library: Path, tmp_path: Path) -> None:
    link, newer = tmp_path / "link.so.2", tmp_path / "libseccomp.so.2.6.0"
    shutil.copy2(library, newer)
    link.symlink_to(library)
    cache.store(str(root), KEY, BPF, TOLD, str(link))
    assert cache.load(str(root), KEY) == (BPF, TOLD)
    link.unlink()
    link.symlink_to(newer)
    assert cache.load(str(root), KEY) is None


def test_old_entries_and_abandoned_files_go(root: Path, library: Path) -> None:
    directory = root / cache.NAME
    abandoned, fresh = directory / ".abandoned", directory / ".fresh"
    abandoned.touch()
    fresh.touch()
    os.utime(abandoned, (time.time() - 3600,) * 2)
    os.utime(entry(root), (time.time() - 3600,) * 2)
    for number in range(80):
        cache.store(str(root), f"{number:064x}", BPF, (), str(library))
    assert len(list(directory.glob("[!.]*"))) == 64
    assert not entry(root).exists() and not abandoned.exists() and fresh.exists()


def _store_often(root: str, library: str, value: bytes) -> None:
    for _ in range(100):
        cache.store(root, KEY, value, (), library)


def test_concurrent_writers_never_show_half_an_entry(root: Path, library: Path) -> None:
    values = [bytes([number]) * 16_000 for number in range(4)]
    context = multiprocessing.get_context("spawn")
    arguments = [(str(root), str(library), value) for value in values]
    writers = [context.Process(target=_store_often, args=args) for args in arguments]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        found = cache.load(str(root), KEY)
        assert found is not None
        seen.add(found[0])
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    assert seen <= {BPF, *values}
    assert sorted(os.listdir(root / cache.NAME)) == [KEY]


BASE = Seccomp(
    default_action="SCMP_ACT_ERRNO",
    default_errno=1,
    architectures=("SCMP_ARCH_X86",),
    syscalls=(
        SyscallRule(
            pointer="/linux/seccomp/syscalls/0",
            names=("read", "write"),
            action="SCMP_ACT_ALLOW",
            args=(SyscallArg(pointer="", index=0, value=1, value_two=2, op="SCMP_CMP_EQ"),),
        ),
    ),
)


def _changed_rule(**fields: object) -> Seccomp:
    old = BASE.syscalls[0]
    return Seccomp(**{**vars(BASE), "syscalls": (SyscallRule(**{**vars(old), **fields}),)})


def _changed_argument(**fields: object) -> Seccomp:
    old = BASE.syscalls[0].args[0]
    return _changed_rule(args=(SyscallArg(**{**vars(old), **fields}),))


def test_every_property_is_in_the_key() -> None:
    others = [
        *(
            Seccomp(**{**vars(BASE), **change})
            for change in (
                {"default_action": "SCMP_ACT_TRACE"},
                {"default_errno": None},
                {"architectures": ()},
                {"syscalls": ()},
                {"syscalls": BASE.syscalls * 2},
            )
        ),
        *(
            _changed_rule(**change)
            for change in ({"names": ("read",)}, {"action": "SCMP_ACT_LOG"}, {"errno": 1}, {"args": ()})
        ),
        *(
            _changed_argument(**change)
            for change in ({"index": 1}, {"value": 3}, {"value_two": 3}, {"op": "SCMP_CMP_NE"})
        ),
    ]
    keys = [cache.key(profile) for profile in (BASE, *others)]
    assert len(set(keys)) == len(keys)
    assert cache.key(_changed_rule(pointer="/elsewhere")) == keys[0]


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_names_cannot_be_confused(first: list[str], second: list[str]) -> None:
    keys = [cache.key(_changed_rule(names=tuple(names))) for names in (first, second)]
    assert (keys[0] == keys[1]) == (first == second)
