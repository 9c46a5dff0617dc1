"""Signals about stopping and pipes, sent to a run or an exec in the foreground: the program gets them, as with runc."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box, Running, until
from tests.container.exec.started import busybox, started

pytestmark = pytest.mark.root

NUMBERS = [signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGPIPE, signal.SIGUSR1]
NAMES = [number.name.removeprefix("SIG") for number in NUMBERS]
TRAPS = "; ".join(f'trap "echo {name} >>/told" {name}' for name in (*NAMES, "URG", "WINCH"))
SCRIPT = f'{TRAPS}; trap "exit 7" TERM; echo ready >>/told; while :; do sleep 0.05; done'


def writable(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = False
    config["process"]["args"] = ["/bin/sh", "-c", SCRIPT]
    config["process"]["env"] = ["PATH=/bin"]


def begun(box: Box, command: str, **options: Any) -> tuple[Running, Path]:
    """A command in the foreground whose program notes the signals that it gets, and the file where it does."""
    if command == "run":
        bundle = box.bundle(change=writable)
        os.chmod(bundle / "rootfs", 0o777)
        busybox(bundle, "sh", "sleep")
        argv: tuple[str, ...] = ("run", "--bundle", str(bundle), "c")
    else:
        bundle = started(box)
        busybox(bundle, "sh", "sleep")
        argv = ("exec", "--env", "PATH=/bin", "c", "/bin/sh", "-c", SCRIPT)
    told = bundle / "rootfs/told"
    running = box.begin(*argv, **options)
    until(lambda: told.exists() and told.read_text() == "ready\n", "the program has its traps")
    return running, told


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("command", ["run", "exec"])
def test_the_program_gets_them_and_the_runtime_goes_on(box: Box, command: str) -> None:
    """In a process group that a shell with job control has made: one that has none is never stopped."""
    running, told = begun(box, command, process_group=0)
    for count, number in enumerate(NUMBERS, 1):
        running.signal(number)
        until(lambda count=count: told.read_text().split()[1:] == NAMES[:count], f"{number.name} has arrived")  # type: ignore[misc]
        assert state_of(running.pid) != "T"
    for number in (signal.SIGURG, signal.SIGWINCH):  # about us
        running.signal(number)
    running.signal(signal.SIGTERM)
    done = running.end()
    assert (done.returncode, done.stderr, told.read_text().split()[1:]) == (7, "", NAMES)
