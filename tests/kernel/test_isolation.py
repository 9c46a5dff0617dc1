"""The tests' own helper: results and errors come back, nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount
from pyoci.kernel.constants import AT_FDCWD
from tests.isolation import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, in_namespace

pytestmark = pytest.mark.root


def test_a_result_comes_back() -> None:
    assert in_namespace(lambda: {"pid": os.getpid(), "big": "x" * 200000}, CLONE_NEWPID) == {
        "pid": 1,
        "big": "x" * 200000,
    }


def test_an_error_comes_back_whole() -> None:
    def fail() -> None:
        raise StepError("no", pointer="/x", errno=5)

    with pytest.raises(StepError) as caught:
        in_namespace(fail)
    assert (caught.value.message, caught.value.pointer, caught.value.errno) == ("no", "/x", 5)

    with pytest.raises(FileNotFoundError) as missing:
        in_namespace(lambda: mount.clone_tree(AT_FDCWD, b"/none"), 0)
    assert missing.value.__notes__[0].startswith('open_tree(-100, "/none"')


def test_the_end_of_the_process_is_an_error() -> None:
    with pytest.raises(AssertionError, match="status 7"):
        in_namespace(lambda: os._exit(7))


def test_ids_of_a_user_namespace() -> None:
    assert in_namespace(lambda: (os.getuid(), os.getgid(), os.getgroups()), CLONE_NEWUSER) == (0, 0, [])
    text = in_namespace(lambda: Path("/proc/self/uid_map").read_text().split(), CLONE_NEWUSER, "0 5 1\n7 9 2\n")
    assert text == ["0", "5", "1", "7", "9", "2"]


def test_mounts_stay_inside(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()

    def body() -> str:
        tree = mount.new_filesystem("tmpfs")
        target = os.open(tmp_path, os.O_PATH)
        mount.attach(tree, target)
        (tmp_path / "file").write_text("inside")
        return (tmp_path / "file").read_text()

    assert in_namespace(body, CLONE_NEWNS) == "inside"
    assert Path("/proc/self/mountinfo").read_text() == before
    assert not (tmp_path / "file").exists()
