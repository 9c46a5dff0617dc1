"""NOTIFY_SOCKET: pass the container's READY=1 on to whoever started us (sd_notify(3)), and what follows while we are
there: in the foreground WATCHDOG=1, STOPPING=1 and the like reach the service manager until the program has ended.

The socket is there before the program is. Once READY=1 has come it stays in the container's directory until that is
deleted: the program goes on sending, and should learn that nobody listens rather than that there never was a socket.
Nothing that its other end or the service manager does, or leaves undone, is waited for without end.
"""

from __future__ import annotations

import _socket
import select
import struct
from time import monotonic

from pyoci import environment, os
from pyoci.container.state import Container
from pyoci.errors import os_error_text
from pyoci.kernel import rights
from pyoci.kernel.process import pidfd_open
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SECONDS = 30  # for the service manager to take the message, as in runc
_DRAINING = 0.1  # seconds for what is left at the end
_NAME = "notify.sock"
_SCM_CREDENTIALS = 2

# What a program may tell the service manager of itself. Not: who the main process is, who else may speak, descriptors
# to keep.
_OWN = (
    *(b"READY", b"RELOADING", b"STOPPING", b"MONOTONIC_USEC", b"STATUS", b"ERRNO", b"BUSERROR", b"VARLINKERROR"),
    *(b"EXIT_STATUS", b"WATCHDOG", b"WATCHDOG_USEC", b"EXTEND_TIMEOUT_USEC"),
)


class Relay:
    """The socket that the container's program sends to. Of no use, and silent, for a container made without one."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.target = environment.variable("NOTIFY_SOCKET") if container.notify else ""
        self.directory = self.pidfd = -1
        self.sock: Any = None
        self.ready = False  # READY=1 has come
        self._warned = False

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

    def receive(self, leaving: bool = False) -> bool:
        """Read one message, and tell the service manager what counts of it: at first READY=1 and nothing else, as runc
        does, then whatever the program says of itself. False: there is none.

        `leaving`: wait until the manager has taken it, because then we exit, and it asks who we were.
        """
        try:
            lines = self.sock.recv(4096).split(b"\n")
        except BlockingIOError:
            return False
        if self.ready:
            kept = [line for line in lines if line.partition(b"=")[0] in _OWN]
            if kept:
                # The main process is the container's by now, and whoever else speaks may not be listened to.
                self._forward(b"\n".join(kept), sender=self.container.pid)
            return True
        for line in lines:
            if line.startswith(b"READY="):
                self.ready = True
                self._forward(line + b"\nMAINPID=%d" % self.container.pid, seconds=_SECONDS if leaving else 1)
                break
        return True

    def drain(self) -> None:
        """What has been sent and not been read; not what somebody goes on sending, faster than it can be passed on."""
        deadline = monotonic() + _DRAINING
        while self.fileno() >= 0 and self.receive() and monotonic() < deadline:
            pass

    def wait(self) -> None:
        """Until the program has said that it is ready, or has ended."""
        poll = select.poll()
        if self.pidfd >= 0:
            poll.register(self.pidfd, select.POLLIN)
        while self.fileno() >= 0 and not self.ready:
            poll.register(self.fileno(), select.POLLIN)
            ready = dict(poll.poll())
            if self.fileno() in ready:
                self.receive(leaving=True)
            elif self.pidfd in ready:
                return
        self.drain()

    def _forward(self, message: bytes, seconds: int = 0, sender: int = 0) -> None:
        try:
            _tell(self.target, message, seconds, sender)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            reason = os_error_text(error) if isinstance(error, OSError) else str(error)
            if not self._warned:
                log.warning(f"cannot notify {self.target}: {reason}")
            self._warned = True

    def _remove(self) -> None:
        try:
            os.unlink(_NAME, dir_fd=self.directory)
        except FileNotFoundError:
            pass

    def close(self) -> None:
        """Close the socket, and remove its directory if nobody else is to."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        if self.directory >= 0 and not self.ready:
            self._remove()
        for descriptor in (self.directory, self.pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.directory = self.pidfd = -1


def _tell(target: str, message: bytes, seconds: int, pid: int) -> None:
    """Send the message, waiting `seconds` for room; with more than one wait until it has been taken, too.

    pid: the process in whose name it is sent, which takes CAP_SYS_ADMIN; 0 for our own.
    """
    address = "\0" + target[1:] if target.startswith("@") else target
    sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sender.settimeout(seconds)
        sender.connect(address)
        _send(sender, message, pid)
        if seconds > 1:
            _wait_until_taken(sender)
    finally:
        sender.close()


def _send(sender: _socket.socket, message: bytes, pid: int) -> None:
    if pid:
        credentials = struct.pack("iii", pid, os.getuid(), os.getgid())
        try:
            sender.sendmsg([message], [(_socket.SOL_SOCKET, _SCM_CREDENTIALS, credentials)])
            return
        except (PermissionError, ProcessLookupError):  # then it is up to NotifyAccess= whether we are listened to
            pass
    sender.send(message)


def _wait_until_taken(sender: _socket.socket) -> None:
    """sd_notify_barrier(3): the manager closes the descriptor that it gets after the messages before it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            rights.send(sender, b"BARRIER=1", writing)
        finally:
            os.close(writing)
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        poll.poll(_SECONDS * 1000)
    finally:
        os.close(reading)
