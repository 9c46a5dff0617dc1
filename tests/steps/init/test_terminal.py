"""process.terminal: the pseudo-terminal that the program has, and the one that its user has."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import termios
import time
from pathlib import Path

import pytest

from tests import reporter
from tests.container.box import LIMIT, SOON, Box, until
from tests.container.test_together import hook
from tests.steps.look import Change, Config, changes, process

pytestmark = pytest.mark.root


def with_terminal(**members: object) -> Change:
    return process(terminal=True, **members)


def received(listener: socket.socket) -> tuple[bytes, list[int]]:
    """What a console socket gets: one connection, one message, one descriptor."""
    listener.settimeout(LIMIT)
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(LIMIT)
        data, descriptors, _, _ = socket.recv_fds(connection, 4096, 4)
        assert connection.recv(1) == b"", "nothing comes after it"
    return data, list(descriptors)


def output(master: int, until_seen: bytes = b"}\r\n") -> bytes:
    """What the program writes to its terminal."""
    text, deadline = b"", time.monotonic() + SOON
    while until_seen not in text and time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            try:
                text += os.read(master, 65536)
            except OSError:  # EIO: its other end was closed
                break
    return text


@pytest.mark.parametrize("uid", [0, 1000])
def test_console_socket(box: Box, uid: int) -> None:
    """The master is sent with the slave's name; the slave is the program's controlling terminal and /dev/console."""
    user = {"uid": uid, "gid": uid}
    size = {"height": 50, "width": 132}
    bundle = box.bundle("report", "/dev/console", ",", "sleep", change=with_terminal(user=user, consoleSize=size))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.directory / "s"))
        listener.listen()
        done = box("create", "--console-socket", str(box.directory / "s"), "--bundle", str(bundle), "a")
        assert (done.returncode, done.stderr) == (0, "")
        name, [master] = received(listener)
    try:
        assert name == b"/dev/pts/0"
        assert struct.unpack("HHHH", fcntl.ioctl(master, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (50, 132)
        assert box("start", "a").stderr == ""
        [seen] = reporter.parse(output(master))
        assert seen["tty"] == {
            "is_a_tty": [True, True, True],
            "name": "/dev/pts/0",
            "controlling": True,
            "foreground": 1,
            "height": 50,
            "width": 132,
        }
        assert seen["fds"].keys() == {"0", "1", "2"}
        console, standard = seen["files"]["/dev/console"], seen["fds"]["0"]
        assert (console["major"], console["inode"]) == (standard["major"], standard["inode"])
        assert (standard["uid"], standard["mode"]) == (uid, 0o620)
    finally:
        os.close(master)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("how", ["create", "run --detach", "run"])
@pytest.mark.parametrize("given", [True, False], ids=["socket", "none"])
def test_a_terminal_needs_a_taker_and_a_taker_a_terminal(box: Box, terminal: bool, how: str, given: bool) -> None:
    bundle = str(box.bundle("exit", "0", change=process(terminal=terminal)))
    path = box.directory / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        option = ("--console-socket", str(path)) if given else ()
        done = box(*how.split(), *option, "--bundle", bundle, "a")
        listener.setblocking(False)
        if given and terminal and how != "run":
            assert done.stderr == ""
            for one in received(listener)[1]:
                os.close(one)
            return
    if given:
        assert "cannot use console socket if runc will not detach or allocate tty" in done.stderr.splitlines()[0]
    elif terminal and how != "run":
        text = "cannot allocate tty if runc will detach without setting console socket"
        assert text in done.stderr.splitlines()[0]
    else:
        assert (done.returncode, done.stderr) == (0, "")
        return
    assert done.returncode == 1
    assert os.listdir(box.root) == []


def test_nobody_listens(box: Box) -> None:
    bundle = str(box.bundle("exit", "0", change=with_terminal()))
    done = box("create", "--console-socket", str(box.directory / "missing"), "--bundle", bundle, "a")
    assert "connect: no such file or directory" in done.stderr.splitlines()[0]
    assert os.listdir(box.root) == []


def test_nobody_takes_it(box: Box) -> None:
    """The listener goes away without reading: an error or not, but no hang and no SIGPIPE."""
    bundle = str(box.bundle("exit", "0", change=with_terminal()))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(box.directory / "s"))
        listener.listen()
        running = box.begin("create", "--console-socket", str(box.directory / "s"), "--bundle", bundle, "a")
        connection, _ = listener.accept()
        connection.close()
        done = running.end()
    assert done.returncode in (0, 1)
    if done.returncode:
        assert os.listdir(box.root) == [] and "Traceback" not in done.stderr


def test_without_a_devpts(box: Box) -> None:
    def change(config: Config) -> None:
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "devpts"]

    bundle = str(box.bundle("exit", "0", change=changes(with_terminal(), change)))
    done = box("run", "--bundle", bundle, "a")
    assert done.returncode == 1
    assert "/process/terminal" in done.stderr and "mount a devpts on /dev/pts" in done.stderr


# in the foreground


class Foreground:
    """`pyoci run` of a bundle, or another command, on a terminal of its own, as from a shell."""

    def __init__(
        self, box: Box, bundle: Path, height: int = 30, width: int = 90, command: tuple[str, ...] = ()
    ) -> None:
        argv = box.command(*(command or ("run", "--bundle", str(bundle), "a")))
        ready, go = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.read(ready, 1)  # until the terminal has its size
            os.closerange(3, 100)
            os.execv(argv[0], argv)
        self.resize(height, width, notify=False)
        os.write(go, b"x")
        os.close(ready)
        os.close(go)
        self.before = termios.tcgetattr(self.master)

    def resize(self, height: int, width: int, notify: bool = True) -> None:
        """The kernel sends SIGWINCH to the terminal's foreground process group."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def end(self) -> int:
        """Read to the end; the exit status."""
        self.rest = output(self.master, b"\0never")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self) -> None:
        os.close(self.master)


def test_foreground(box: Box) -> None:
    """Size and output go through; the caller's terminal is raw meanwhile and as before afterwards."""
    caller = Foreground(box, box.bundle("report", ",", "echo", change=with_terminal()))
    try:
        [seen] = reporter.parse(output(caller.master))
        assert (seen["tty"]["height"], seen["tty"]["width"]) == (30, 90)
        assert seen["tty"]["is_a_tty"] == [True] * 3
        assert not termios.tcgetattr(caller.master)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
        os.write(caller.master, b"hello\r")
        text = output(caller.master, b"hello\r\nhello\r\n")
        assert text == b"hello\r\nhello\r\n", "echoed by the container's terminal, then by the program"
        os.write(caller.master, b"\x04")  # end of file, by the container's terminal
        assert caller.end() == 0
        assert termios.tcgetattr(caller.master)[:4] == caller.before[:4]
    finally:
        caller.close()


def test_resize(box: Box) -> None:
    bundle = box.bundle("write", "/dev/shm/x", "", ",", "sleep", change=with_terminal())
    caller = Foreground(box, bundle)
    try:
        until(lambda: box("state", "a").returncode == 0, "it is there")
        box.wait("a", "running")
        pid = box.state("a")["pid"]
        caller.resize(11, 22)

        def seen() -> tuple[int, ...]:
            slave = os.open(f"/proc/{pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
            try:
                return struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))[:2]
            finally:
                os.close(slave)

        until(lambda: seen() == (11, 22), "the container's terminal has the new size")
        os.write(caller.master, b"\x03")  # interrupt, by the container's terminal: pid 1 ignores it
        assert box("kill", "a", "KILL").stderr == ""
        assert caller.end() == 128 + signal.SIGKILL
        assert termios.tcgetattr(caller.master)[:4] == caller.before[:4]
    finally:
        caller.close()


def test_input_of_the_terminal_does_not_reach_the_callers(box: Box) -> None:
    """TIOCSTI by the program types into its own terminal, not into the shell that started it."""
    bundle = box.bundle("report", ",", "echo", change=with_terminal())
    caller = Foreground(box, bundle)
    try:
        [seen] = reporter.parse(output(caller.master))
        assert os.tcgetpgrp(caller.master) == caller.pid
        assert seen["sid"] == 1
        os.write(caller.master, b"\x04")  # only now it ends, and the runtime with it
        assert caller.end() == 0
    finally:
        caller.close()


def test_output_to_the_very_end(box: Box) -> None:
    """What the program has written right before its end arrives, all of it."""
    words = [word for number in range(200) for word in ("try", "open", f"/{number:0200}", "r", ",")]
    caller = Foreground(box, box.bundle(*words, "exit", "7", change=with_terminal()))
    try:
        assert caller.end() == 7
        lines = [json.loads(line) for line in caller.rest.split(b"\r\n") if line]
        assert len(lines) == 200
    finally:
        caller.close()


@pytest.mark.parametrize("option", ["--console-socket", "--pidfd-socket"])
def test_the_listener_is_gone(box: Box, option: str) -> None:
    """It took the connection and went away: the error says whose socket it was, and nothing is left."""
    path = box.directory / "s"
    terminal = option == "--console-socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        gate = box.gate()
        change = hook("createRuntime", gate.hook)
        bundle = box.bundle("exit", "0", change=lambda config: (process(terminal=terminal)(config), change(config)))
        running = box.begin("create", option, str(path), "--bundle", str(bundle), "a")
        gate.wait()
        listener.accept()[0].close()
        gate.open()
        done = running.end()
    assert "sendmsg: broken pipe" in done.stderr.splitlines()[0]
    assert f"  pointer: {option}" in done.stderr
    assert os.listdir(box.root) == []
