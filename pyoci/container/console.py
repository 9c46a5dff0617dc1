"""Descriptors that are passed on: to whoever asked (--console-socket, --pidfd-socket), and those of the caller."""

from __future__ import annotations

import _socket
import os
import struct
from errno import ECONNRESET, EPIPE

from pyoci.errors import Error


def connect(path: str, option: str) -> _socket.socket:
    """Connect to the stream socket at `path`, given by `option`. Raises Error."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise Error(
            f"dial unix {path}: connect: {(error.strerror or str(error)).lower()}",
            pointer=option,
            errno=error.errno or 0,
            hint="somebody must listen on the socket before the container is made",
        ) from None
    return sock


def send(sock: _socket.socket, payload: str, descriptor: int, option: str) -> None:
    """One message: `payload` and exactly one descriptor. Raises Error."""
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack("i", descriptor))
    try:
        sock.sendmsg([payload.encode()], [rights], _socket.MSG_NOSIGNAL)
    except OSError as error:
        raise Error(
            f"sendmsg: {(error.strerror or str(error)).lower()}",
            pointer=option,
            errno=error.errno or 0,
            hint="whoever listened on the socket is gone" if error.errno in (EPIPE, ECONNRESET) else "",
        ) from None


class ConsoleOwner:
    """What becomes of the terminal's master: sent to --console-socket, or kept by a run in the foreground."""

    def __init__(self, socket: str, detach: bool) -> None:
        self.detach = detach
        self.master = -1
        self.path = socket
        self.sock: _socket.socket | None = None

    def check(self, wanted: bool) -> None:
        """Connect to the socket. Raises Error, in runc's words, unless there is a terminal exactly when there is
        somebody to take it.
        """
        if wanted and self.detach and not self.path:
            raise Error(
                "cannot allocate tty if runc will detach without setting console socket",
                pointer="/process/terminal",
                hint="give --console-socket, or set process.terminal to false",
            )
        if self.path and not (wanted and self.detach):
            raise Error(
                "cannot use console socket if runc will not detach or allocate tty",
                pointer="--console-socket",
                hint="it takes the terminal of a detached container whose process.terminal is true",
            )
        if self.path:
            self.sock = connect(self.path, "--console-socket")

    def receive(self, name: str, master: int) -> None:
        if self.sock is None:
            self.master = master
            return
        try:
            send(self.sock, name, master, "--console-socket")
        finally:
            os.close(master)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def listen_fds() -> int:
    """Descriptors of socket activation, if they are meant for this process (sdlisten_fds(3))."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID", "") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return 0
    return int(count)


def check_preserved(count: int) -> None:
    """Raises Error unless every descriptor that is to be passed on is open."""
    total = count + listen_fds()
    for number in range(3, 3 + total):
        try:
            os.fstat(number)
        except OSError:
            raise Error(
                f"unable to stat preserved-fd {number - 3} (of {count})",
                pointer="--preserve-fds",
                hint=f"descriptor {number} is not open",
            ) from None
