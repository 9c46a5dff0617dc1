"""What is killed and does not end is waited for some seconds, not for good."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pyoci.container import delete, state
from pyoci.container.process import handshake
from pyoci.container.state import Container
from pyoci.errors import Error
from pyoci.log import log
from tests.container.box import Box, alive
from tests.container.unending import unending

pytestmark = pytest.mark.root


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def late(number: int, frame: object) -> None:
        raise AssertionError(f"has not returned within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_a_shell_has_begun_is_left_alone(box: Box) -> None:
    """pyoci may be what a shell has become (`exec pyoci`): then it has children that are not its own. The container's
    process is frozen, and so does not end when it is killed."""
    freezer = Path("/sys/fs/cgroup/freezer")
    if not freezer.is_dir():
        pytest.skip("only a v1 freezer keeps what is killed")

    def change(config: dict[str, Any]) -> None:
        place = f"{freezer}{config['linux']['cgroupsPath']}"
        script = f"echo FROZEN > {place}/freezer.state; exit 1"
        config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}

    bundle = box.bundle("sleep", change=change)
    words = " ".join(box.command("create", "--bundle", str(bundle), "c"))
    script = f"sleep 300 >&- 2>&- & echo $!; exec {words}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    pid = int(done.stdout)
    try:
        assert done.returncode == 1 and "createRuntime hook #0" in done.stderr, done
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("known", [True, False])
def test_a_birth_that_is_undone(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    monkeypatch.setattr(handshake, "_AT_LAST", 300)
    said: list[str] = []
    monkeypatch.setattr(log, "warning", said.append)
    with unending() as (pid, pidfd):
        with at_most(20):
            handshake.end(pid, pidfd, None if known else handshake.children())
        assert said == [f"process {pid} was killed and has not ended yet"]
    assert os.waitpid(pid, 0x40000000)[1] == signal.SIGKILL


def test_a_delete_whose_rounds_take_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ten thousands of cgroups below the container's: the deadline is one of time, not of rounds."""
    monkeypatch.setattr(delete, "_DEADLINE", 1000)
    monkeypatch.setattr(delete, "thaw", lambda container: time.sleep(0.5))
    with unending() as (pid, pidfd):
        found = state.process(pid)
        assert found is not None
        container = Container(
            root="/r", id="c", bundle="/b", rootfs="/b/rootfs", created="", annotations={}, cgroups={},
            pid=pid, start_time=found[1], private_pid=True,
        )  # fmt: skip
        began = time.monotonic()
        with at_most(20), pytest.raises(Error, match="container init still running"):
            delete.stop(container)
        assert time.monotonic() - began < 5
    os.waitpid(pid, 0x40000000)
    os.close(pidfd)
