"""The one place where a process is made."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyoci.kernel import clone
from pyoci.kernel.process import wait_status
from tests.isolation import CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUTS, in_namespace


def result(pid: int, pidfd: int) -> int:
    os.close(pidfd)
    status = wait_status(pid)
    assert status is not None
    return os.waitstatus_to_exitcode(status)


def test_the_body_runs_in_a_child() -> None:
    reading, writing = os.pipe()
    pid, pidfd = clone.clone(lambda: os.write(writing, f"{os.getpid()} {os.getppid()}".encode()))
    os.close(writing)
    assert result(pid, pidfd) == 0
    assert os.read(reading, 100).decode() == f"{pid} {os.getpid()}"
    os.close(reading)


def test_what_escapes_the_body_ends_the_child() -> None:
    def fail() -> None:
        raise RuntimeError("lost")

    def leave() -> None:
        raise SystemExit(5)

    assert result(*clone.clone(fail)) == 1
    assert result(*clone.clone(leave)) == 1


def test_no_exit_handler_of_the_parent_runs_in_the_child(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import atexit, os, sys\n"
        "from pyoci.kernel.clone import clone\n"
        "atexit.register(lambda: print('handler', flush=True))\n"
        "sys.stdout.write('buffered ')\n"
        "pid, _ = clone(lambda: None)\n"
        "os.waitpid(pid, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "buffered handler\n"


def test_the_pidfd_is_the_childs_and_closes_on_exec() -> None:
    reading, writing = os.pipe()
    pid, pidfd = clone.clone(lambda: os.read(reading, 1))
    try:
        assert not os.get_inheritable(pidfd)
        assert f"Pid:\t{pid}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    finally:
        os.write(writing, b"x")
        assert result(pid, pidfd) == 0
        os.close(reading)
        os.close(writing)


@pytest.mark.root
def test_new_namespaces() -> None:
    reading, writing = os.pipe()

    def body() -> None:
        os.write(writing, f"{os.getpid()} {os.readlink('/proc/self/ns/uts')}".encode())

    assert result(*clone.clone(body, CLONE_NEWPID | CLONE_NEWUTS)) == 0
    pid, uts = os.read(reading, 200).decode().split()
    assert pid == "1"
    assert uts != os.readlink("/proc/self/ns/uts")
    os.close(reading)
    os.close(writing)


def test_a_refused_clone_is_an_error_and_nothing_else() -> None:
    def body() -> bool:
        if os.geteuid() == 0:
            os.setresuid(1000, 1000, 1000)
        try:
            clone.clone(lambda: None, CLONE_NEWNET)
        except PermissionError as error:
            return error.__notes__[0].startswith("clone3(") and gc.isenabled()
        return False

    assert in_namespace(body, 0)


def test_clone_parent_makes_a_sibling() -> None:
    """Stage 2 is the runtime's own child, and its end is told like that of every child."""
    reading, writing = os.pipe()
    waiting, release = os.pipe()
    signals: list[int] = []
    before = signal.signal(signal.SIGCHLD, lambda number, frame: signals.append(number))

    def first() -> None:
        second, _ = clone.clone(lambda: os._exit(int(os.read(waiting, 1))), clone.CLONE_PARENT)
        os.write(writing, b"%d" % second)

    try:
        assert result(*clone.clone(first)) == 0
        assert signals == [signal.SIGCHLD]  # the first one's
        second = int(os.read(reading, 20))
        os.write(release, b"7")
        status = wait_status(second)
        assert status is not None and os.waitstatus_to_exitcode(status) == 7
        assert signals == [signal.SIGCHLD, signal.SIGCHLD]
    finally:
        signal.signal(signal.SIGCHLD, before)
        for descriptor in (reading, writing, waiting, release):
            os.close(descriptor)


def test_collection_is_off_in_the_child_only() -> None:
    assert gc.isenabled()
    pid, pidfd = clone.clone(lambda: os._exit(3 if gc.isenabled() else 4))
    assert result(pid, pidfd) == 4
    assert gc.isenabled()


@pytest.fixture
def thread() -> Iterator[None]:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    yield
    stop.set()
    other.join()


def test_a_second_thread_is_found_out(thread: None) -> None:
    with pytest.raises(AssertionError, match="2 threads"):
        clone.assert_single_thread()


def test_many_children_end(thread: None) -> None:
    """With the GIL held a child never waits for a thread that does not exist in it, even if there was one."""
    assert [result(*clone.clone(lambda: None)) for _ in range(50)] == [0] * 50
