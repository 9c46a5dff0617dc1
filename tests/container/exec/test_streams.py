"""exec: terminals, sockets that are sent descriptors, descriptors that are passed on."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import struct
import termios
from pathlib import Path
from typing import Any

import pytest

from tests import reporter
from tests.container.box import Box, alive, until
from tests.container.exec.started import process_file, refused, seen, started
from tests.steps.init.test_launch import activated, passing, three
from tests.steps.init.test_terminal import Foreground, output, received

pytestmark = pytest.mark.root
__all__ = ["three"]


def terminal_of(found: dict[str, Any]) -> tuple[Any, ...]:
    tty = found["tty"]
    return tty["is_a_tty"], tty["controlling"], tty["height"], tty["width"]


@pytest.mark.parametrize("flags", [(), ("--user", "1000:1000")])
def test_a_terminal_in_the_foreground(box: Box, flags: tuple[str, ...]) -> None:
    """It has the size of the caller's, is the controlling terminal, and its end is the end of exec."""
    bundle = started(box)
    command = ("exec", "--tty", *flags, "c", "/reporter", "report", ",", "exit", "7")
    caller = Foreground(box, bundle, command=command)
    try:
        (found,) = reporter.parse(output(caller.master))
        assert terminal_of(found) == ([True] * 3, True, 30, 90)
        assert set(found["fds"]) == {"0", "1", "2"}
        assert found["fds"]["0"]["uid"] == (1000 if flags else 0)
        assert found["sid"] == found["pid"]
        assert caller.end() == 7
        assert termios.tcgetattr(caller.master)[:4] == caller.before[:4]
    finally:
        caller.close()


def test_typing_resizing_and_interrupting(box: Box) -> None:
    bundle = started(box)
    file = box.directory / "pid"
    caller = Foreground(box, bundle, command=("exec", "-t", "--pid-file", str(file), "c", "/reporter", "echo"))
    try:
        until(file.exists, "it runs")
        os.write(caller.master, b"hello\r")
        assert output(caller.master, b"hello\r\nhello\r\n") == b"hello\r\nhello\r\n"
        caller.resize(11, 22)

        def size() -> tuple[int, ...]:
            slave = os.open(f"/proc/{file.read_text()}/fd/0", os.O_RDWR | os.O_NOCTTY)
            try:
                return struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))[:2]
            finally:
                os.close(slave)

        until(lambda: size() == (11, 22), "the terminal has the new size")
        os.write(caller.master, b"\x03")  # of the terminal's line discipline: the program is no pid 1
        assert caller.end() == 128 + signal.SIGINT
    finally:
        caller.close()


def test_a_failure_gives_the_terminal_back(box: Box) -> None:
    bundle = started(box)
    caller = Foreground(box, bundle, command=("exec", "-t", "c", "nope"))
    try:
        assert caller.end() == 255
        assert b"executable file not found" in caller.rest
        assert termios.tcgetattr(caller.master)[:4] == caller.before[:4]
    finally:
        caller.close()


def test_a_console_socket(either_box: Box) -> None:
    """The master is sent; the process lives on without exec. As conmon and containerd use it."""
    box = either_box
    started(box)
    file = box.directory / "pid"
    size = {"height": 50, "width": 132}
    process = process_file(box, args=["/reporter", "report", ",", "sleep"], terminal=True, consoleSize=size)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.directory / "s"))
        listener.listen()
        command = ("--detach", "--console-socket", str(box.directory / "s"), "--pid-file", str(file))
        done = box("exec", *command, "--process", process, "c")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        name, [master] = received(listener)
    try:
        assert name == b"/dev/pts/0"
        (found,) = reporter.parse(output(master))
        assert terminal_of(found) == ([True] * 3, True, 50, 132)
        os.kill(int(file.read_text()), signal.SIGKILL)
        until(lambda: not alive(int(file.read_text())), "it has ended")
    finally:
        os.close(master)


def test_nothing_is_sent_of_a_process_that_did_not_run(box: Box) -> None:
    started(box)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.directory / "s"))
        listener.listen()
        refused(box("exec", "-d", "-t", "--console-socket", str(box.directory / "s"), "--cwd", "/x", "c", "y"), "/x")
        connection, _ = listener.accept()
        with connection:
            _, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
            for one in descriptors:  # the terminal was made before the directory was looked for
                os.close(one)


def test_a_pidfd_socket(box: Box) -> None:
    """One message, "setns", with a pidfd of the process."""
    started(box)
    file = box.directory / "pid"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.directory / "s"))
        listener.listen()
        command = ("--detach", "--pidfd-socket", str(box.directory / "s"), "--pid-file", str(file))
        done = box("exec", *command, "c", "/reporter", "sleep")
        assert (done.returncode, done.stderr) == (0, "")
        data, [pidfd] = received(listener)
    try:
        assert data == b"setns"
        assert f"Pid:\t{file.read_text()}\n" in Path(f"/proc/self/fdinfo/{pidfd}").read_text()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], 10)[0], "it has ended"
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_preserved_descriptors(box: Box, three: tuple[int, ...], count: int) -> None:
    """Those that were promised, the same files at the same numbers, and no other."""
    started(box)
    found = seen(box, "--preserve-fds", str(count), preexec_fn=passing(three), close_fds=False)
    assert set(found["fds"]) == {str(number) for number in range(3 + count)}
    inodes = [os.fstat(one).st_ino for one in three[:count]]
    assert [found["fds"][str(3 + index)]["inode"] for index in range(count)] == inodes


def test_more_descriptors_than_the_caller_s_limit_leaves_room_for(box: Box) -> None:
    """exec raises the limit for itself; the program has the caller's."""
    count, limit = 60, 70

    def no_limits(config: dict[str, Any]) -> None:
        config["process"].pop("rlimits")

    def narrow() -> None:
        passing((0,) * count)()
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    started(box, no_limits)
    found = seen(box, "--preserve-fds", str(count), preexec_fn=narrow, close_fds=False)
    assert len(found["fds"]) == 3 + count
    assert found["rlimits"]["NOFILE"][0] == limit


def test_descriptors_above_1023(box: Box) -> None:
    """select(2) takes none of those; what fails is said as ever."""

    def wide() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        passing((0,) * 1100)()

    started(box)
    done = box("exec", "--preserve-fds", "1100", "c", "/nope", preexec_fn=wide, close_fds=False)
    assert done.returncode == 255
    assert "/nope: no such file or directory" in done.stderr


def test_socket_activation(box: Box) -> None:
    """As runc, LISTEN_PID is 1 whatever the pid is."""
    started(box)
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    box.prefix = activated(1)
    found = seen(box, preexec_fn=passing((one.fileno(),)), close_fds=False)
    box.prefix = ()
    assert [entry for entry in found["env"] if entry.startswith("LISTEN")] == ["LISTEN_FDS=1", "LISTEN_PID=1"]
    assert found["fds"]["3"]["inode"] == os.fstat(one.fileno()).st_ino
    one.close()
    assert not any(entry.startswith("LISTEN") for entry in seen(box)["env"])
