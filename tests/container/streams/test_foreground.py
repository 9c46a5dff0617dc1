"""Signals to a runtime in the foreground, before it knows its process and after."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pyoci.container.streams.console import ConsoleOwner
from pyoci.container.streams.foreground import Foreground

number, early = int(sys.argv[2]), sys.argv[3] == "early"
foreground = Foreground()
if early:
    os.kill(os.getpid(), number)
    print("still here")
pid = os.posix_spawn("/bin/sleep", ["sleep", "60"], {}, setsigdef=range(1, 32))
foreground.begin(pid, os.pidfd_open(pid), ConsoleOwner("", True))
if not early:
    os.kill(os.getpid(), number)
status = foreground.wait()
foreground.close()
print(status)
"""


def foreground(number: int, when: str) -> subprocess.CompletedProcess[str]:
    project = str(Path(__file__).parents[3])
    command = [sys.executable, "-I", "-c", CODE, project, str(number), when]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGQUIT, signal.SIGALRM, signal.SIGRTMAX])
def test_what_comes_before_the_process_is_forwarded_to_it(number: int) -> None:
    done = foreground(number, "early")
    assert (done.stdout, done.stderr) == (f"still here\n{128 + number}\n", "")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_comes_later_too(number: int) -> None:
    done = foreground(number, "late")
    assert (done.stdout, done.stderr) == (f"{128 + number}\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_those_that_end_us_end_us_before_there_is_a_process(number: int) -> None:
    assert foreground(number, "early").returncode == -number
