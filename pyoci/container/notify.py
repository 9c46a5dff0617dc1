"""NOTIFY_SOCKET: pass the container's READY=1 on to whoever started us (sd_notify(3)).

The socket is there before the program is, stays in the container's directory until it is of no more use, and nothing
that its other end or the service manager does, or leaves undone, is waited for without end.
"""

from __future__ import annotations

import _socket
import select

from pyoci import os
from pyoci.container.state import Container
from pyoci.errors import os_error_text
from pyoci.kernel.process import pidfd_open
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECONDS = 30  # for the service manager to take the message, as in runc
_NAME = "notify.sock"


class Relay:
    """The socket that the container's program sends to. Of no use, and silent, for a container made without one."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.target = os.variable("NOTIFY_SOCKET") if container.notify else ""
        self.directory = self.pidfd = -1
        self.sock: Any = None

    def open(self, directory: int) -> None:
        """Make the socket below the container's `directory`. Call before the program can run. Raises OSError."""
        if not self.target:
            return
        self.pidfd = pidfd_open(self.container.pid)
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.directory = os.open("notify", flags, dir_fd=directory)
        self._remove()  # left by a start that was killed
        self.sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        self.sock.setblocking(False)
        # By descriptor: a socket's path has at most 107 bytes, the name of a container up to 1024.
        self.sock.bind(f"/proc/self/fd/{self.directory}/{_NAME}")
        os.chmod(_NAME, 0o777, dir_fd=self.directory)

    def fileno(self) -> int:
        """What to poll for reading, -1 when there is nothing to wait for."""
        return -1 if self.sock is None else self.sock.fileno()

    def receive(self, leaving: bool = False) -> None:
        """Read one message. With READY= in it: tell the service manager, and close.

        `leaving`: wait until the manager has taken it, because then we exit, and it asks who we were.
        """
        try:
            message = self.sock.recv(4096)
        except BlockingIOError:
            return
        for line in message.split(b"\n"):
            if line.startswith(b"READY="):
                self._forward(line, leaving)
                self.close()
                return

    def wait(self) -> None:
        """Until the program has said that it is ready, or has ended."""
        poll = select.poll()
        if self.pidfd >= 0:
            poll.register(self.pidfd, select.POLLIN)
        while self.fileno() >= 0:
            poll.register(self.fileno(), select.POLLIN)
            ready = dict(poll.poll())
            if self.fileno() in ready:
                self.receive(leaving=True)
            elif self.pidfd in ready:
                return

    def _forward(self, ready: bytes, leaving: bool) -> None:
        try:
            _tell(self.target, ready, self.container.pid, leaving)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = os_error_text(error) if isinstance(error, OSError) else str(error)
            log.warning(f"cannot notify {self.target}: {reason}")

    def _remove(self) -> None:
        try:
            os.unlink(_NAME, dir_fd=self.directory)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self.directory >= 0:
            self._remove()
        for descriptor in (self.directory, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.directory = self.pidfd = -1


def _tell(target: str, ready: bytes, pid: int, barrier: bool) -> None:
    """Send the message and the container's pid; with `barrier` wait until they have been taken."""
    address = "\0" + target[1:] if target.startswith("@") else target
    sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sender.settimeout(_SECONDS if barrier else 1)
        sender.connect(address)
        sender.send(ready + b"\nMAINPID=%d" % pid)
        if barrier:
            _wait_until_taken(sender)
    finally:
        sender.close()


def _wait_until_taken(sender: _socket.socket) -> None:
    """sd_notify_barrier(3): the manager closes the descriptor that it gets after the messages before it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, writing.to_bytes(4, "little"))
            sender.sendmsg([b"BARRIER=1"], [rights])
        finally:
            os.close(writing)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        poll.poll(_SECONDS * 1000)
    finally:
        os.close(reading)
