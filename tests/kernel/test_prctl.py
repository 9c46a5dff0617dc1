"""prctl(2)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pyoci.kernel import prctl
from tests.isolation import in_namespace


def status(name: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return line.split(":")[1].strip()
    raise AssertionError(name)


@pytest.mark.root
def test_dumpable() -> None:
    def body() -> tuple[int, int]:
        os.setresuid(1000, 1000, 1000)
        prctl.set_dumpable(True)
        before = os.stat("/proc/self/oom_score_adj").st_uid
        prctl.set_dumpable(False)
        return before, os.stat("/proc/self/oom_score_adj").st_uid

    assert in_namespace(body, 0) == (1000, 0)


def test_no_new_privileges() -> None:
    def body() -> tuple[str, str]:
        before = status("NoNewPrivs")
        prctl.set_no_new_privileges()
        return before, status("NoNewPrivs")

    assert in_namespace(body, 0) == ("0", "1")


@pytest.mark.root
@pytest.mark.parametrize("keep", [True, False])
def test_keep_capabilities(keep: bool) -> None:
    def body() -> bool:
        prctl.set_keep_capabilities(keep)
        os.setresuid(1000, 1000, 1000)
        return int(status("CapPrm"), 16) != 0

    assert in_namespace(body, 0) is keep


def test_death_with_the_parent() -> None:
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        ready = os.pipe()
        if os.fork() == 0:
            prctl.set_parent_death_signal(signal.SIGKILL)
            os.write(ready[1], b"x")
            signal.pause()
        os.read(ready[0], 1)
        os._exit(0)
    os.close(writing)
    os.waitpid(first, 0)
    assert os.read(reading, 1) == b""  # the grandchild held the other end
    os.close(reading)


def test_the_name() -> None:
    def body() -> str:
        prctl.set_name("a-name-longer-than-fifteen")
        return Path("/proc/self/comm").read_text()

    assert in_namespace(body, 0) == "a-name-longer-t\n"


def test_subreaper() -> None:
    def body() -> bool:
        prctl.set_child_subreaper()
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            if os.fork() == 0:
                os.read(reading, 1)
                os.write(writing, b"%d" % os.getppid())
                os._exit(0)
            os._exit(0)
        os.waitpid(pid, 0)
        os.write(writing, b"x")
        orphan, _ = os.waitpid(-1, 0)
        return orphan > 0 and int(os.read(reading, 20)) == os.getpid()

    assert in_namespace(body, 0)
