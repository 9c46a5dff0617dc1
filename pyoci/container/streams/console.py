"""Descriptors that are passed on: to whoever asked (--console-socket, --pidfd-socket), and those of the caller."""

from __future__ import annotations

import _socket
import stat
from errno import ECONNRESET, EPIPE

from pyoci import environment, os
from pyoci.errors import Error
from pyoci.kernel import rights
from pyoci.steps.init.rootfs import is_null

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.process import Process
    from pyoci.container.streams.pipes import Streams
    from pyoci.container.streams.pump import Pump
    from pyoci.steps.init.context import InitContext

_PASSED_ON = (stat.S_IFIFO, stat.S_IFSOCK, 0)  # 0: of an anonymous inode, which has no owner to change


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
    try:
        rights.send(sock, payload.encode(), descriptor)
    except OSError as error:
        raise Error(
            f"sendmsg: {(error.strerror or str(error)).lower()}",
            pointer=option,
            errno=error.errno or 0,
            hint="whoever listened on the socket is gone" if error.errno in (EPIPE, ECONNRESET) else "",
        ) from None


def foreign_streams(process: Process | None, detach: bool, mapped: bool) -> tuple[int, ...]:
    """The standard streams that a program in the foreground is not to have itself; none of one with a terminal.

    `mapped`: its ids are not the host's.
    It gets what it may keep: a pipe, a socket, /dev/null, a file that is its user's already. Of a terminal it could
    read what the caller types long after, and a file would have to become its user's to be opened again as
    /proc/self/fd/1 (steps/init/identity.py, OwnStandardStreams): a file of the host.
    """
    if detach or process is None or process.terminal:
        return ()
    uid = -1 if mapped else process.user.uid
    found = []
    for number in range(3):
        status = os.fstat(number)
        if stat.S_IFMT(status.st_mode) in _PASSED_ON or is_null(status):
            continue
        if status.st_uid != uid or os.isatty(number):
            found.append(number)
    return tuple(found)


class ConsoleOwner:
    """Who gets what the program reads and writes.

    With a terminal: its master is sent to --console-socket, or kept by a command in the foreground. Without one, a
    command in the foreground may put pipes between the program and the caller's streams.
    """

    def __init__(self, socket: str, detach: bool) -> None:
        self.detach = detach
        self.master = -1
        self.path = socket
        self.sock: _socket.socket | None = None
        self._streams: Streams | None = None
        self._expected = False  # a terminal is to come

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
        self._expected = wanted

    def receive(self, name: str, master: int) -> None:
        """The one that was asked for. Another one, in exec, is of somebody in the container who traces the process."""
        if not self._expected:
            os.close(master)
            raise Error("the container's process sent a terminal that it was not asked for")
        self._expected = False
        if self.sock is None:
            self.master = master
            return
        try:
            send(self.sock, name, master, "--console-socket")
        finally:
            os.close(master)

    def separate(self, numbers: tuple[int, ...], owner: tuple[int, int], context: InitContext) -> None:
        """Before the clone: pipes in the place of these streams. `owner`: the host's ids of the container's root."""
        if numbers:
            from pyoci.container.streams.pipes import Streams

            self._streams = Streams(numbers, owner)
            for number, descriptor in self._streams.theirs.items():
                context.descriptors[f"stream {number}"] = descriptor

    def cloned(self) -> None:
        """The process has what it is to have."""
        if self._streams is not None:
            self._streams.cloned()

    def pumps(self) -> list[Pump]:
        """Between the caller and the program. The first of two, if there is a terminal, is its input."""
        if self._streams is not None:
            return self._streams.pumps
        if self.master < 0:
            return []
        from pyoci.container.streams.pump import Pump

        return [Pump(0, self.master), Pump(self.master, 1)]

    def close(self) -> None:
        """Close whatever is still open. A second time does nothing."""
        if self._streams is not None:
            self._streams.close()
        if self.sock is not None:
            self.sock.close()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def listen_fds() -> int:
    """Descriptors of socket activation, if they are meant for this process (sdlisten_fds(3))."""
    count = environment.variable("LISTEN_FDS")
    if environment.variable("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
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
