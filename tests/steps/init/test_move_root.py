"""What stays behind where the root is moved instead of switched."""

from __future__ import annotations

import os
from errno import EPERM
from pathlib import Path

import pytest

from pyoci.kernel import mount as kernel
from pyoci.kernel import namespace
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.rootfs import MoveRoot
from tests.isolation import CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER
from tests.steps.scene import at_root, carry_out

pytestmark = pytest.mark.root


def procfs_for_a_nested_user() -> int:
    """Whether who makes a user namespace gets a new procfs in it: 0, or the errno. mount(2) looks at all mounts of the
    namespace, also at those that nobody can reach."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            namespace.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
            inner = os.fork()
            if inner == 0:
                kernel.new_filesystem("proc", "proc", ())
                os._exit(0)
            status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        except OSError as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_no_new_procfs_after_a_move(tmp_path: Path) -> None:
    rootfs = tmp_path / "root"
    rootfs.mkdir()

    def body(made: InitContext) -> tuple[int, int]:
        before = procfs_for_a_nested_user()
        carry_out(made, MoveRoot(path=str(rootfs)))
        return before, procfs_for_a_nested_user()

    assert at_root(rootfs, body, CLONE_NEWNS) == (0, EPERM)
