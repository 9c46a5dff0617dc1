"""The end of a process in Go's words."""

from __future__ import annotations

import os
import re
import resource
import signal
from pathlib import Path

import pytest

from pyoci.kernel.ending import ending

GO = Path("/usr/local/go/src/syscall/zerrors_linux_amd64.go")


def status_of(number: int = 0, code: int = 0) -> int:
    """The wait status of a real process that has ended so, without a core file."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number:
            if number != signal.SIGKILL:
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os._exit(code)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGHUP, "hangup"),
        (signal.SIGABRT, "aborted"),
        (signal.SIGKILL, "killed"),
        (signal.SIGSEGV, "segmentation fault"),
        (signal.SIGPIPE, "broken pipe"),
        (signal.SIGTERM, "terminated"),
        (signal.SIGXCPU, "CPU time limit exceeded"),
        (signal.SIGPWR, "power failure"),
        (signal.SIGSYS, "bad system call"),
        (signal.SIGRTMIN, f"signal {signal.SIGRTMIN:d}"),
        (64, "signal 64"),
    ],
)
def test_a_signal(number: int, words: str) -> None:
    assert ending(status_of(number)) == f"signal: {words}"


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_an_exit_status(code: int) -> None:
    assert ending(status_of(code=code)) == f"exit status {code}"


def test_a_core() -> None:
    assert ending(signal.SIGQUIT | 0x80) == "signal: quit (core dumped)"


@pytest.mark.skipif(not GO.exists(), reason="Go's sources are not on this machine")
def test_the_whole_table_is_that_of_go() -> None:
    table = GO.read_text().partition("var signals = ")[2].partition("}\n")[0]
    found = {int(number): words for number, words in re.findall(r'(\d+): +"(.*)",', table)}
    assert len(found) == 31
    assert {number: ending(number) for number in found} == {n: f"signal: {words}" for n, words in found.items()}
