"""What the engine demonstrations share: the runtime under test, an image, running a command.

Run them in a lane: tests/lanes/tree pytest -m tree tests/engines; tests/lanes/guest pytest -m guest tests/engines.
PYOCI_ENGINE_RUNTIME names another runtime (a path), to see what an engine does with that one.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable

import pytest

# Ends with 3 on SIGTERM; says when it is ready for it (a process 1 ignores signals until it has a handler).
STOPPABLE = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done"

TIMEOUT = 60 if os.environ.get("PYOCI_LANE") != "guest" else 240


def run(*words: str | os.PathLike[str], status: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command; its status must be `status`, else its whole output is the failure's text."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    text = f"{' '.join(map(str, words))}\nstatus {done.returncode}, expected {status}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == status, text
    return done


def wait_ready(*logs: str) -> None:
    """Repeats the engine's command for a container's output until the container says that it is ready."""
    end = time.monotonic() + TIMEOUT
    while "ready" not in run(*logs).stdout:
        assert time.monotonic() < end, "the container does not get ready"
        time.sleep(0.05)


@pytest.fixture
def runtime() -> str:
    """The path of the runtime that the engines get."""
    if "PYOCI_LANE" not in os.environ:
        pytest.skip("the engines are in the lanes: tests/lanes/tree pytest -m tree tests/engines")
    return os.environ.get("PYOCI_ENGINE_RUNTIME") or os.environ["PYOCI"]


@pytest.fixture
def busybox_tar(tmp_path: pathlib.Path) -> pathlib.Path:
    """A tar of a root directory with busybox."""
    root = tmp_path / "root"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    for name in ("sh", "cat", "echo", "grep", "hostname", "id", "ls", "sleep", "stat", "tty", "wget"):
        (root / "bin" / name).symlink_to("busybox")
    path = tmp_path / "busybox.tar"
    with tarfile.open(path, "w") as file:
        file.add(root, ".")
    return path


@pytest.fixture
def daemon(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Callable[..., pathlib.Path]:
    """Starts a daemon; `ready` is a command that succeeds once it answers. It is ended after the test.

    Returns the daemon's log, for the failure's text.
    """

    def start(*words: str, ready: tuple[str, ...]) -> pathlib.Path:
        log = tmp_path / (os.path.basename(words[0]) + ".log")
        with open(log, "w") as file:
            process = subprocess.Popen(words, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        request.addfinalizer(lambda: end(process))
        for _ in range(TIMEOUT * 10):
            assert process.poll() is None, log.read_text()
            if subprocess.run(ready, capture_output=True, timeout=TIMEOUT).returncode == 0:
                return log
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(log.read_text())

    def end(process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    return start


def cgroups_named(part: str) -> list[str]:
    """The cgroups, in any hierarchy, whose name contains `part`."""
    found = []
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(directory, name) for name in names if part in name]
    return found
