"""Seccomp agents that are not there, hang up or die, and helpers that do: one clear error, and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import SOON, Box, until
from tests.container.listener.agent import GETPPID, Agent, Answer, Change, Make, answered, filtered, read

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86-64"),
]


def failed(box: Box, bundle: Path, *command: str, status: int = 1) -> str:
    """Its one error."""
    done = box(*command, "--bundle", str(bundle), "a", timeout=SOON)
    assert done.returncode == status and done.stdout == ""
    return done.stderr


MISSING = "failed to connect with seccomp agent specified in the seccomp profile: dial unix"


@pytest.mark.parametrize("kind", ["missing", "closed", "datagram", "file"])
def test_no_agent(box: Box, kind: str) -> None:
    """An error of create, and nothing is left."""
    path = box.directory / "agent"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    reason = {"missing": "no such file or directory", "datagram": "protocol wrong type for socket"}
    if kind == "file":
        path.touch()
    elif kind != "missing":
        sock.bind(str(path))
    if kind != "datagram":
        sock.close()
    error = failed(box, box.bundle("exit", "0", change=filtered(box, "getppid")), "create")
    sock.close()
    assert f"{MISSING} {path}: connect: {reason.get(kind, 'connection refused')}" in error
    assert "/linux/seccomp/listenerPath" in error
    assert box("list", "--quiet").stdout == ""
    path.unlink(missing_ok=True)


def test_a_name_that_no_socket_can_have(box: Box) -> None:
    path = box.directory / ("x" * 120)
    error = failed(box, box.bundle("exit", "0", change=filtered(box, "getppid", listenerPath=str(path))), "create")
    assert f"{MISSING} {path}: connect: file name too long" in error


def not_started_without_agent(box: Box, change: Change) -> None:
    """The agent goes between create and start, which fails; the container is stopped."""
    agent = Agent(box.directory / "agent")
    bundle = box.bundle("exit", "0", change=change)
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    agent.close()
    done = box("start", "a", timeout=SOON)
    assert done.returncode == 1
    assert f"{MISSING} {agent.path}: connect: no such file or directory" in done.stderr
    box.wait("a", "stopped")


def test_an_agent_that_goes_before_start(box: Box) -> None:
    """start fails, the program has not run, and the container is stopped."""
    not_started_without_agent(box, filtered(box, "getppid"))


def test_an_agent_that_comes_back_before_start(box: Box) -> None:
    bundle = box.bundle("sleep", change=filtered(box, "getppid"))
    first = Agent(box.directory / "agent")
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    first.close()
    second = Agent(box.directory / "agent")
    try:
        assert box("start", "a", timeout=SOON).stderr == ""
        assert second.took(1)
    finally:
        second.close()


def test_an_agent_that_hangs_up(box: Box) -> None:
    """It accepts and closes: what it was sent in time is lost, and what cannot be sent is an error; never a hang."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(box.directory / "agent"))
    sock.listen()
    huge = {"annotations": {"big": "x" * (1 << 20)}}  # more than the socket takes before somebody reads
    bundle = box.bundle("sleep", change=filtered(box, "getppid", more=lambda config: config.update(huge)))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    running = box.begin("start", "a")
    connection, _ = sock.accept()
    connection.close()
    done = running.end(SOON)
    assert done.returncode == 1
    assert f"cannot send seccomp fd to {box.directory}/agent: " in done.stderr
    assert "broken pipe" in done.stderr or "connection reset by peer" in done.stderr
    box.wait("a", "stopped")
    sock.close()
    (box.directory / "agent").unlink()


def test_an_agent_that_dies_with_the_listener(box: Box) -> None:
    """The kernel answers ENOSYS for it; also to an execve that was waiting."""
    agent = Agent(box.directory / "agent", late=True)
    bundle = box.bundle("exit", "0", change=filtered(box, "execve"))
    running = box.begin("run", "--bundle", str(bundle), "a")
    until(lambda: agent.states, "the agent has the listener")
    agent.close()
    done = running.end(SOON)
    assert done.returncode != 0
    assert "function not implemented" in done.stderr


def helper_of(box: Box) -> int:
    """The process beside the container's."""
    found = [
        int(name)
        for name in os.listdir("/proc")
        if name.isdigit()
        and read(f"/proc/{name}/comm") == "pyoci:listener\n"
        and str(box.directory) in read(f"/proc/{name}/cmdline")
    ]
    assert len(found) <= 1
    return found[0] if found else 0


def test_the_helper_ends_with_the_container(box: Box, agent: Make) -> None:
    served = agent()
    for id, end in (("a", ("kill", "a", "KILL")), ("b", ("delete", "--force", "b")), ("c", ("start", "c"))):
        bundle = box.bundle("sleep", change=filtered(box, "getppid"))
        assert box("create", "--bundle", str(bundle), id).stderr == ""
        assert helper_of(box)
        assert box(*end).stderr == ""
        until(lambda: not helper_of(box), "the helper has ended")
    assert served.took(1)


def test_a_helper_that_was_killed(box: Box, agent: Make) -> None:
    agent()
    bundle = box.bundle("sleep", change=filtered(box, "getppid"))
    assert box("create", "--bundle", str(bundle), "a").stderr == ""
    os.kill(helper_of(box), signal.SIGKILL)
    done = box("start", "a", timeout=SOON)
    assert done.returncode == 1
    assert "the process that hands the seccomp listener over has ended" in done.stderr
    box.wait("a", "stopped")


def test_few_descriptors(box: Box, agent: Make) -> None:
    """The listener is one more descriptor of the program's process, for a moment."""
    agent({GETPPID: Answer(value=5)})

    def limit(number: int) -> Change:
        def more(config: dict[str, Any]) -> None:
            config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": number, "hard": number}]

        return filtered(box, "getppid", more=more)

    assert answered(box, box.bundle("try", "syscall", str(GETPPID), change=limit(6)))["result"] == 5
    # After start, as with runc.
    assert "too many open files" in failed(box, box.bundle("exit", "0", change=limit(3)), "run", status=255)
