"""Bind mounts of what a process serves, as sshfs does, mounted nosuid and nodev as such file systems are."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from pyoci.errors import StepError
from pyoci.kernel import mount as kernel
from pyoci.kernel.constants import MS_RDONLY
from pyoci.steps.host.sources import OpenSource
from pyoci.steps.init.binds import BindMount
from pyoci.steps.init.context import InitContext
from tests.isolation import MS_NODEV, MS_NOEXEC, MS_NOSUID, top_mount
from tests.steps.scene import at_root, carry_out, mount

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="there is no /dev/fuse here"),
]

ENOSYS = 38
GETATTR, STATFS, INIT, FORGET = 3, 17, 26, 2


def serve(device: int) -> None:
    """Answer what is asked of an empty directory, until it is unmounted (include/uapi/linux/fuse.h)."""
    attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
    answers = {
        INIT: struct.pack("<4I2H2I2H8I", 7, 31, 0, 0, 8, 6, 4096, 1, 1, 0, *[0] * 8),
        GETATTR: struct.pack("<QII", 0, 0, 0) + attributes,
        STATFS: struct.pack("<5Q4I6I", *[0] * 5, 4096, 255, 4096, 0, *[0] * 6),
    }
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        _, operation, number = struct.unpack_from("<IIQ", request)
        if operation != FORGET:
            body = answers.get(operation, b"")
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0 if body else -ENOSYS, number) + body)


@pytest.fixture
def device() -> Iterator[int]:
    """An open /dev/fuse; what is mounted of it is served by a process of its own."""
    opened = os.open("/dev/fuse", os.O_RDWR)
    server = os.fork()
    if server == 0:
        serve_when_mounted(opened)
    yield opened
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    os.close(opened)


def serve_when_mounted(device: int) -> NoReturn:
    for _ in range(6000):
        serve(device)  # EPERM until it is mounted
        time.sleep(0.01)
    os._exit(1)


CASES = [
    (0, "rbind,ro", True, {"ro", "nosuid", "nodev", "relatime"}),
    (0, "bind,nosuid", True, {"rw", "nosuid", "nodev", "relatime"}),
    (MS_RDONLY | MS_NOEXEC, "bind,nosymfollow", True, {"ro", "nosuid", "nodev", "noexec", "nosymfollow", "relatime"}),
    (MS_NOEXEC, "bind,ro", False, {"ro", "relatime"}),
    (MS_NOEXEC, "bind,exec,dev", True, None),
    (0, "bind,suid", True, None),
    (0, "bind,strictatime", True, None),
]


@pytest.mark.parametrize(("flags", "options", "locked", "expected"), CASES)
def test_a_bind_of_it(
    tmp_path: Path, device: int, flags: int, options: str, locked: bool, expected: set[str] | None
) -> None:
    source, rootfs = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    rootfs.mkdir()

    def prepare() -> None:
        data = f"fd={device},rootmode=40000,user_id=0,group_id=0"
        kernel.mount_long_data("fuse", "served", os.fsencode(source), data, flags | MS_NOSUID | MS_NODEV)

    def body(made: InitContext) -> set[str]:
        wanted = mount("/data", "none", str(source), options)
        opened = OpenSource(pointer="/mounts/0/source", mount=wanted, source=str(source), locked=locked)
        carry_out(made, opened, BindMount(pointer="/mounts/0", mount=wanted))
        found = top_mount(f"{rootfs}/data")
        assert (found["type"], found["source"]) == ("fuse", "served")
        seen: set[str] = found["options"]
        return seen

    if expected is None:
        with pytest.raises(StepError, match=r"cannot c.* locked .*: operation not permitted"):
            at_root(rootfs, body, prepare=prepare)
    else:
        assert at_root(rootfs, body, prepare=prepare) == expected
