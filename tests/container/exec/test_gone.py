"""exec in a container that ends meanwhile: whatever has its pid by then is not taken for it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pyoci.container import exec as container_exec
from pyoci.container import state
from pyoci.container.state import Container
from pyoci.errors import StateError, StepError
from pyoci.kernel.process import pidfd_open
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.enter import JoinContainer
from tests.container.box import Box
from tests.container.exec.started import refused, started
from tests.isolation import CLONE_NEWUTS, in_namespace
from tests.steps.scene import context, runtimes

pytestmark = pytest.mark.root

PROJECT = Path(__file__).parents[3]
STOPPED = "cannot exec in a stopped container"


@pytest.fixture
def ended() -> int:
    """A pidfd of a process that has ended."""
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = pidfd_open(process.pid)
    process.kill()
    process.wait()
    return pidfd


def test_nothing_is_joined(ended: int) -> None:
    """Without a namespace to join the program would run on the host: so it may seem if the pid has been used anew."""
    made = context()
    made.descriptors["container"] = ended
    with pytest.raises(StepError, match=STOPPED):
        JoinContainer(kinds=(), flags=(), inodes=()).execute(made)
    os.close(ended)


def test_what_was_joined_is_looked_at_again() -> None:
    """The descriptors were compared before: this is the second look, which a mistake between the two would not pass."""
    own = os.stat("/proc/self/ns/uts")

    def join(*inode: int) -> str:
        made = context()
        made.descriptors["container"] = pidfd_open(os.getpid())
        made.descriptors["ns/uts"] = os.open("/proc/self/ns/uts", os.O_RDONLY)
        try:
            JoinContainer(kinds=("uts",), flags=(CLONE_NEWUTS,), inodes=((inode[0], inode[1]),)).execute(made)
        except StepError as error:
            return error.message
        return ""

    assert in_namespace(lambda: join(own.st_dev, own.st_ino), 0) == ""
    other = "joined another uts namespace than the container's"
    assert in_namespace(lambda: join(own.st_dev, own.st_ino + 1), 0) == other
    assert in_namespace(lambda: join(own.st_dev + 1, own.st_ino), 0) == other
    assert in_namespace(lambda: join(own.st_dev, own.st_ino), CLONE_NEWUTS) == other


def test_a_pid_that_is_used_again_after_the_first_look() -> None:
    """Its descriptor is opened first, and the start time compared then."""
    found = state.process(os.getpid())
    assert found is not None

    def opened(start_time: int) -> InitContext:
        made = runtimes(context())
        container = Container(
            root="/", id="c", bundle="/", rootfs="/", created="", annotations={}, cgroups={}, pid=os.getpid(),
            start_time=start_time,
        )  # fmt: skip
        with made.undo:
            container_exec._Execution._open(cast(Any, None), container, made)
        return made.init

    assert "container" in opened(found[1]).descriptors
    with pytest.raises(StateError, match=STOPPED):
        opened(found[1] - 1)


def test_a_container_without_namespaces_of_its_own_is_entered() -> None:
    made = context()
    made.descriptors["container"] = pidfd_open(os.getpid())
    directory = os.getcwd()
    try:
        JoinContainer(kinds=(), flags=(), inodes=()).execute(made)
    finally:
        os.chdir(directory)
        os.close(made.descriptors["container"])


# In a process of its own: the one of the tests may have a second thread, which the runtime must not have.
ENDS = """
import os, select, signal, sys
sys.path.insert(0, sys.argv[1])
from pyoci.container import exec as container_exec
from pyoci.container import identity
from pyoci.container.exec_process import ProcessOptions
from pyoci.errors import StateError, StepError

root, moment, pid = sys.argv[2], sys.argv[3], int(sys.argv[4])
real = getattr(identity, moment)

def late(*arguments):
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass
    select.select([pidfd], [], [], 10)
    os.close(pidfd)
    return real(*arguments)

setattr(identity, moment, late)
process = ProcessOptions(args=("/reporter", "exit", "0"))
try:
    container_exec.execute(container_exec.ExecOptions(root=root, id="c", process=process))
except (StateError, StepError) as error:
    print(error)
"""


@pytest.mark.parametrize("moment", ["find", "_maps", "_open", "_measure", "_expected"])
def test_it_ends_while_it_is_looked_at(box: Box, moment: str) -> None:
    started(box)
    command = [sys.executable, "-I", "-c", ENDS, str(PROJECT), str(box.root), moment, str(box.state("c")["pid"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert STOPPED in done.stdout, done
    refused(box("exec", "c", "/reporter", "exit", "0"), STOPPED)


def test_it_ends_at_any_moment(box: Box, seeded: tuple[int, random.Random], tell: Callable[[str], None]) -> None:
    """137, as all of its processes are killed, or 255 and one error that has not the kernel's word for it (ENOMEM)."""
    seed, chance = seeded
    for round in range(20):
        started(box, id=f"c{round}")
        pid = box.state(f"c{round}")["pid"]
        running = box.begin("exec", f"c{round}", "/reporter", "exit", "0")
        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        done = box.end(running)
        assert done.returncode in (0, 137, 255), f"seed {seed}: {done}"
        assert done.stderr.count("level=error") == (done.returncode == 255), f"seed {seed}: {done}"
        assert "internal error" not in done.stderr, f"seed {seed}: {done}"
        assert "cannot allocate memory" not in done.stderr.partition("hint:")[0], f"seed {seed}: {done}"
    tell(f"exec in a container that is killed: 20 times, seed {seed}")
