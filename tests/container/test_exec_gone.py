"""exec in a container that ends meanwhile: whatever has its pid by then is not taken for it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from pyoci.container import exec as container_exec
from pyoci.container.exec_process import ProcessOptions
from pyoci.errors import StateError, StepError
from pyoci.kernel.process import pidfd_open
from pyoci.plan_exec import NAMESPACES
from pyoci.steps.enter import JoinContainer
from tests.container.box import Box
from tests.container.execs import refused, started
from tests.steps.scene import context

pytestmark = pytest.mark.root

STOPPED = "cannot exec in a stopped container"


@pytest.fixture
def ended() -> int:
    """A pidfd of a process that has ended."""
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = pidfd_open(process.pid)
    process.kill()
    process.wait()
    return pidfd


@pytest.mark.parametrize("flags", [0, NAMESPACES["uts"], sum(NAMESPACES.values())])
def test_nothing_is_joined(ended: int, flags: int) -> None:
    """Without a namespace to join the program would run on the host: so it may seem if the pid has been used anew."""
    made = context()
    made.descriptors["container"] = ended
    with pytest.raises(StepError, match=STOPPED):
        JoinContainer(kinds=(), flags=flags).execute(made)
    os.close(ended)


def test_a_container_without_namespaces_of_its_own_is_entered() -> None:
    made = context()
    made.descriptors["container"] = pidfd_open(os.getpid())
    directory = os.getcwd()
    try:
        JoinContainer(kinds=(), flags=0).execute(made)
    finally:
        os.chdir(directory)
        os.close(made.descriptors["container"])


@pytest.mark.parametrize("moment", ["_joins", "_read"])
def test_it_ends_while_it_is_looked_at(box: Box, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    started(box)
    pid = box.state("c")["pid"]
    directory = Path(box.root) / "c"
    options = container_exec.ExecOptions(
        root=str(directory.parent), id="c", process=ProcessOptions(args=("/reporter", "exit", "0"))
    )
    real = getattr(container_exec, moment)

    def late(*arguments: object) -> object:
        pidfd = pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        select.select([pidfd], [], [], 10)
        os.close(pidfd)
        monkeypatch.setattr(container_exec, moment, real)
        return real(*arguments)

    monkeypatch.setattr(container_exec, moment, late)
    with pytest.raises((StateError, StepError)) as caught:
        container_exec.execute(options)
    assert STOPPED in str(caught.value)
    refused(box("exec", "c", "/reporter", "exit", "0"), STOPPED)
