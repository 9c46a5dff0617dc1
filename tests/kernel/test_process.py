"""pidfds, waiting, descriptors, limits."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from pathlib import Path

import pytest

from pyoci.kernel import clone, process
from tests.isolation import in_namespace


def status(name: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split(":")[1].strip()
    raise AssertionError(name)


def test_close_from() -> None:
    def body() -> list[str]:
        first = os.open("/", os.O_RDONLY)
        for _ in range(5):
            os.open("/", os.O_RDONLY)
        process.close_from(first)
        try:
            os.fstat(first)
        except OSError:
            return ["closed"]
        return []

    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if body() == ["closed"] else 1)
    os.close(reading)
    os.close(writing)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_signal_by_pidfd() -> None:
    pid, pidfd = clone.clone(lambda: signal.pause())
    process.pidfd_send_signal(pidfd, signal.SIGKILL)
    found = process.wait_status(pid)
    assert found is not None and os.WTERMSIG(found) == signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        process.pidfd_send_signal(pidfd, 0)
    os.close(pidfd)


@pytest.mark.parametrize("number", [3, 1500])  # select(2) takes none above 1023
def test_has_ended(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    pid, pidfd = clone.clone(lambda: signal.pause())
    one = fcntl.fcntl(pidfd, fcntl.F_DUPFD_CLOEXEC, number)
    try:
        assert not process.has_ended(one)
        os.kill(pid, signal.SIGKILL)
        assert process.has_ended(one, 10_000)
        process.wait_status(pid)
        assert process.has_ended(one)
    finally:
        os.close(one)
        os.close(pidfd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_pidfd_of_nobody() -> None:
    with pytest.raises(ProcessLookupError):
        process.pidfd_open(2**22 - 7)


def test_wait_without_blocking() -> None:
    reading, writing = os.pipe()
    pid, pidfd = clone.clone(lambda: os.read(reading, 1))
    assert process.wait_status(pid, os.WNOHANG) is None
    os.write(writing, b"x")
    assert process.wait_status(pid) == 0
    for descriptor in (reading, writing, pidfd):
        os.close(descriptor)


def test_a_hard_limit_is_raised_only_where_it_is_lower() -> None:
    def body() -> tuple[tuple[int, int], bool]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
        process.raise_hard_limit(os.getpid(), resource.RLIMIT_NOFILE, 150)
        kept = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            process.raise_hard_limit(os.getpid(), resource.RLIMIT_NOFILE, 300)
        except (PermissionError, ValueError):  # without CAP_SYS_RESOURCE
            return kept, int(status("CapEff"), 16) >> 24 & 1 == 0
        return kept, resource.getrlimit(resource.RLIMIT_NOFILE) == (100, 300)

    assert in_namespace(body, 0) == ((100, 200), True)
