"""NOTIFY_SOCKET: a READY=1 of the program reaches the service manager that started the runtime (sd_notify(3))."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyoci.container.state import Container
from pyoci.container.streams.notify import Relay
from tests.container.box import SOON, Box, until

pytestmark = pytest.mark.root

# Sends its arguments as datagrams to $NOTIFY_SOCKET, at once; -N instead of a message waits N seconds.
SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, getenv("NOTIFY_SOCKET"), sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        return 50;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-')
            sleep(atoi(argv[i] + 1));
        else if (send(fd, argv[i], strlen(argv[i]), 0) < 0)
            return 51;
    return 0;
}
"""


class Manager:
    """The service manager: a datagram socket of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(str(path))
        self.sock.settimeout(SOON)
        self.senders: list[int] = []  # the pids of messages() that the kernel vouches for

    def messages(self) -> list[str]:
        """Everything that has been sent so far; descriptors are taken and closed, as systemd does."""
        self.sock.setblocking(False)
        found: list[str] = []
        while True:
            try:
                data, parts, _, _ = self.sock.recvmsg(4096, 256)
            except BlockingIOError:
                return found
            for _, kind, content in parts:
                numbers = struct.unpack(f"{len(content) // 4}i", content)
                if kind == socket.SCM_RIGHTS:
                    os.close(numbers[0])
                else:
                    self.senders.append(numbers[0])
            found.append(data.decode())


@pytest.fixture
def manager(box: Box, tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path / "manager.sock")
    yield manager
    manager.sock.close()


@pytest.fixture(scope="module")
def notifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("notifier") / "notifier"
    subprocess.run(["gcc", "-static", "-O1", "-x", "c", "-o", str(program), "-"], input=SOURCE.encode(), check=True)
    return program


Bundle = Callable[..., Path]


@pytest.fixture
def bundle(box: Box, notifier: Path) -> Bundle:
    def make(*messages: str, **more: Any) -> Path:
        def change(config: dict[str, Any]) -> None:
            config["process"]["args"] = ["/notifier", *messages]
            config["mounts"].append({"destination": "/notifier", "source": str(notifier), "options": ["bind"]})
            config["root"]["readonly"] = False
            config.update(more)

        return box.bundle(change=change)

    return make


def env(manager: Manager) -> dict[str, str]:
    return {**os.environ, "NOTIFY_SOCKET": str(manager.path)}


def taken(box: Box, manager: Manager, *argv: str) -> tuple[int, str, list[str]]:
    """Run a command while the manager reads: its status, its stderr and the messages."""
    running = box.begin(*argv, env=env(manager))
    messages: list[str] = []

    def ended() -> bool:
        messages.extend(manager.messages())
        return not running.is_running()

    until(ended, "the command has ended")
    messages.extend(manager.messages())
    done = running.end()
    return done.returncode, done.stderr, messages


@pytest.mark.parametrize("how", ["start", "detached", "foreground"])
def test_ready_at_once(box: Box, manager: Manager, bundle: Bundle, how: str) -> None:
    """The program sends as its first act: the socket is there before it is."""
    path = str(bundle("STATUS=soon", "READY=1\nSTATUS=here", "-1"))
    pid_file = box.directory / "pid"
    if how == "start":
        assert box("create", "--pid-file", str(pid_file), "--bundle", path, "a", env=env(manager)).stderr == ""
        result = taken(box, manager, "start", "a")
    else:
        detach = ("--detach",) if how == "detached" else ()
        result = taken(box, manager, "run", *detach, "--pid-file", str(pid_file), "--bundle", path, "a")
    ready = [f"READY=1\nMAINPID={pid_file.read_text()}"]
    assert result == (0, "", ready if how == "foreground" else [*ready, "BARRIER=1"])
    if how != "foreground":  # the program may go on sending, and finds that nobody listens
        assert (box.root / "a/notify/notify.sock").is_socket()


def test_the_manager_is_told_where_the_program_sends_to(box: Box, manager: Manager) -> None:
    """The program's NOTIFY_SOCKET is its own, never the host's path."""
    path = box.bundle("report-to", "/dev/shm/x", ",", "report", "/run/notify", change=writable)
    done = box("run", "--bundle", str(path), "a", env=env(manager))
    assert (done.returncode, done.stderr) == (0, "")
    assert "NOTIFY_SOCKET=/run/notify/notify.sock" in done.stdout
    assert str(manager.path) not in done.stdout


def writable(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = False


def test_what_follows_in_the_foreground(box: Box, manager: Manager, bundle: Bundle) -> None:
    """What the program says of itself, to its last word; not who is to be listened to, nor what is to be kept. It comes
    from the process that READY=1 has made the main one."""
    hostile = "MAINPID=1\nSTATUS=x\nFDSTORE=1\nNOTIFYACCESS=all\nBARRIER=1\nSTATUS"
    words = ["STATUS=early", "READY=1", "WATCHDOG=1", hostile, "MAINPID=1", "RELOADING=1\nMONOTONIC_USEC=5", "-1"]
    path = str(bundle(*words, "STATUS=\xff\x01=\n\n", "STOPPING=1"))
    pid_file = box.directory / "pid"
    status, error, messages = taken(box, manager, "run", "--pid-file", str(pid_file), "--bundle", path, "a")
    assert (status, error) == (0, "")
    pid = int(pid_file.read_text())
    assert messages == [
        f"READY=1\nMAINPID={pid}",
        "WATCHDOG=1",
        "STATUS=x\nSTATUS",
        "RELOADING=1\nMONOTONIC_USEC=5",
        "STATUS=\xff\x01=",
        "STOPPING=1",
    ]
    assert manager.senders[0] != pid and manager.senders[1:] == [pid] * 5


def test_a_flood_that_nobody_takes(box: Box, manager: Manager, bundle: Bundle) -> None:
    """The manager is stuck: the program and its output do not wait for it, and there is one warning."""
    path = str(bundle("READY=1", *["WATCHDOG=1"] * 2000))
    done = box("run", "--bundle", path, "a", env=env(manager), timeout=SOON)
    assert (done.returncode, done.stderr.count("level=")) == (0, 1)
    assert "cannot notify" in done.stderr
    assert manager.messages()[1:3] == ["WATCHDOG=1"] * 2


@pytest.mark.parametrize("how", ["start", "detached", "foreground"])
def test_a_program_that_never_is_ready(box: Box, manager: Manager, bundle: Bundle, how: str) -> None:
    """Nobody waits longer than it lives."""
    path = str(bundle("STATUS=no", "-1"))
    if how == "start":
        assert box("create", "--bundle", path, "a", env=env(manager)).stderr == ""
        assert taken(box, manager, "start", "a") == (0, "", [])
    else:
        detach = ("--detach",) if how == "detached" else ()
        assert taken(box, manager, "run", *detach, "--bundle", path, "a") == (0, "", [])


def test_start_waits_until_it_is_ready(box: Box, manager: Manager, bundle: Bundle) -> None:
    path = str(bundle("-1", "READY=1", "-1"))
    assert box("create", "--bundle", path, "a", env=env(manager)).stderr == ""
    began = time.monotonic()
    assert taken(box, manager, "start", "a")[:2] == (0, "")
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("how", ["gone", "no such thing", "full"])
def test_a_manager_that_does_not_take_it(box: Box, manager: Manager, bundle: Bundle, how: str) -> None:
    """A warning; the container runs."""
    path = str(bundle("READY=1"))
    if how == "gone":
        manager.sock.close()
    elif how == "no such thing":
        manager.path.unlink()
    else:
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                sender.sendto(b"x", str(manager.path))
        sender.close()
    done = box("run", "--bundle", path, "a", env=env(manager), timeout=SOON)
    assert done.returncode == 0
    assert "cannot notify" in done.stderr and "level=warning" in done.stderr


def test_foreground_forwards_signals_meanwhile(box: Box, manager: Manager) -> None:
    """Before the program is ready, too."""
    path = box.bundle("write", "/dev/shm/x", "", ",", "trap", "5", change=writable)
    running = box.begin("run", "--bundle", str(path), "a", env=env(manager))
    until(lambda: (box.root / "a").exists() and box("state", "a").returncode == 0, "it is there")
    box.wait("a", "running")
    running.signal(signal.SIGTERM)
    assert running.end(SOON).returncode == 5


def test_start_again_after_a_start_that_was_killed(box: Box, manager: Manager, bundle: Bundle) -> None:
    """Its socket is still there."""
    path = str(bundle("READY=1"))
    assert box("create", "--bundle", path, "a", env=env(manager)).stderr == ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left:
        left.bind(str(box.root / "a/notify/notify.sock"))
    assert taken(box, manager, "start", "a")[:2] == (0, "")


def test_a_long_name(box: Box, manager: Manager, bundle: Bundle) -> None:
    """A socket's path has at most 107 bytes, a container's name more."""
    path = str(bundle("READY=1", "-1"))
    status, error, messages = taken(box, manager, "run", "--bundle", path, "a" * 200)
    assert (status, error, len(messages)) == (0, "", 1)


def test_without_a_manager(box: Box) -> None:
    """No socket, no variable, no directory."""
    path = box.bundle("report", "/run/notify", change=writable)
    done = box("run", "--bundle", str(path), "a")
    assert "NOTIFY_SOCKET" not in done.stdout
    assert '"/run/notify":{"error":"ENOENT"}' in done.stdout


def test_a_flood_does_not_keep_us(tmp_path: Path) -> None:
    """For each message that is read there is another one; the manager takes them all."""
    manager = Manager(tmp_path / "manager")
    taking = threading.Thread(target=lambda: [manager.sock.recv(100) for _ in iter(lambda: over.is_set(), True)])
    over = threading.Event()
    manager.sock.settimeout(None)

    class Flooded(Relay):
        def receive(self, leaving: bool = False) -> bool:
            sender.send(b"STATUS=x")
            return super().receive(leaving)

    def too_late(number: int, frame: object) -> None:
        raise AssertionError("drain() has not returned")

    relay = Flooded(Container(root="/r", id="c", bundle="/b", rootfs="/b", created="", annotations={}, cgroups={}))
    relay.target, relay.ready = str(manager.path), True
    relay.container = relay.container.replace(pid=os.getpid())
    sender, relay.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    relay.sock.setblocking(False)
    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(20)
    taking.start()
    try:
        relay.drain()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        over.set()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"STATUS=end", str(manager.path))
        taking.join()
        for one in (relay.sock, sender, manager.sock):
            one.close()
