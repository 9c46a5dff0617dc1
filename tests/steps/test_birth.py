"""Handshake: what the program inherits is the same whoever has started the runtime."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Box
from tests.steps.look import Look, Seen

pytestmark = pytest.mark.root

STREAMS = {"0", "1", "2"}


def ignore_everything() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


def ignore_children() -> None:
    """As `trap '' CHLD` in a shell: wait(2) then finds no children."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def block_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM, signal.SIGRTMIN})


def private_umask() -> None:
    os.umask(0o077)


CALLERS: list[Callable[[], object]] = [lambda: None, ignore_everything, ignore_children, private_umask]
NAMES = ["plain", "all ignored", "CHLD ignored", "umask 077"]


def is_clean(seen: Seen, blocked: int = 0) -> None:
    assert int(seen["signals"]["ignored"], 16) == 0
    assert int(seen["signals"]["caught"], 16) == 0
    assert int(seen["signals"]["blocked"], 16) == blocked
    assert seen["status"]["SigIgn"] == seen["status"]["SigCgt"] == "0" * 16
    assert seen["umask"] == 0o022
    assert seen["fds"].keys() == STREAMS
    assert seen["parent_death_signal"] == 0
    assert seen["child_subreaper"] == 0


@pytest.mark.parametrize("caller", CALLERS, ids=NAMES)
def test_signals_umask_and_descriptors(look: Look, caller: Callable[[], object]) -> None:
    is_clean(look(preexec_fn=caller, restore_signals=False))


def test_blocked_signals_stay_as_the_caller_has_them(look: Look) -> None:
    """The mask is the caller's choice, dispositions are not: an ignored SIGCHLD breaks programs, and so did Python."""
    blocked = sum(1 << number - 1 for number in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGTERM, signal.SIGRTMIN))
    is_clean(look(preexec_fn=block_signals), blocked)


@pytest.mark.parametrize("caller", [*CALLERS, block_signals], ids=[*NAMES, "blocked"])
def test_create_and_start_give_the_same(box: Box, caller: Callable[[], object]) -> None:
    """The program's birth is that of `create`; who calls start leaves no trace."""
    bundle = box.bundle("sleep")
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    pid = box.state("a")["pid"]
    assert box("start", "a", preexec_fn=caller, restore_signals=False).stderr == ""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert (status["SigIgn"], status["SigBlk"], status["Umask"]) == ("0" * 16, "0" * 16, "0022")


@pytest.mark.parametrize("closed", [(0,), (1, 2), (0, 1, 2)])
def test_closed_standard_descriptors(box: Box, closed: tuple[int, ...]) -> None:
    """Nothing of the runtime's takes their place: the program finds /dev/null, its own where it has one."""

    def close() -> None:
        for number in closed:
            os.close(number)

    bundle = box.bundle("sleep")
    assert box("create", "--bundle", str(bundle), "a", preexec_fn=close).returncode == 0
    assert box("start", "a").stderr == ""
    pid = box.state("a")["pid"]
    for number in closed:
        assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
        status = os.stat(f"/proc/{pid}/fd/{number}")
        assert status.st_rdev == os.makedev(1, 3)
        assert status.st_dev == os.stat(f"/proc/{pid}/root/dev/null").st_dev, "the container's, not the host's"
    assert set(os.listdir(f"/proc/{pid}/fd")) == STREAMS


@pytest.mark.parametrize("when", ["waiting", "running"])
def test_descriptors_of_the_caller_do_not_leak(box: Box, when: str) -> None:
    """While it waits the process has the fifo and a procfs of its own besides (CVE-2024-21626)."""
    bundle = box.bundle("sleep")
    directories = [os.open(box.directory, os.O_RDONLY | os.O_DIRECTORY) for _ in range(50)]
    try:
        assert box("create", "--bundle", str(bundle), "a", pass_fds=directories).stderr == ""
    finally:
        for one in directories:
            os.close(one)
    if when == "running":
        assert box("start", "a").stderr == ""
    found = os.listdir(f"/proc/{box.state('a')['pid']}/fd")
    assert set(found) == STREAMS | ({"3", "4"} if when == "waiting" else set())


def test_the_session_is_the_programs_own(look: Look) -> None:
    seen = look()
    assert (seen["pid"], seen["sid"], seen["pgid"], seen["ppid"]) == (1, 1, 1, 0)
    assert ";_ses.look-1." in seen["session_keyring_description"]


@pytest.mark.parametrize("when", ["created", "exec"])
def test_environment_of_the_caller_does_not_leak(box: Box, when: str) -> None:
    """Not even into the memory of the process that waits: its environment is the kept list, and nothing secret."""
    secret = {**os.environ, "SECRET": "swordfish", "PYTHONPATH": "/swordfish", "LISTEN_FDNAMES": "x"}
    bundle = box.bundle("report", ",", "sleep")
    assert box("create", "--bundle", str(bundle), "a", env=secret).stderr == ""
    if when == "exec":
        assert box("start", "a", env=secret).stderr == ""
    pid = box.state("a")["pid"]
    assert b"swordfish" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_popen_options_reach_the_runtime() -> None:
    """Control of the tests above: without the runtime in between, an ignored signal and a mask are inherited."""
    options: dict[str, Any] = {"preexec_fn": ignore_children, "restore_signals": False}
    text = subprocess.run(["cat", "/proc/self/status"], stdout=subprocess.PIPE, check=True, **options).stdout.decode()
    [ignored] = [line.split()[1] for line in text.splitlines() if line.startswith("SigIgn")]
    assert int(ignored, 16) >> signal.SIGCHLD - 1 & 1
