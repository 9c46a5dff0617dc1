"""run in the foreground: forward signals, copy between the caller's terminal and the container's, wait for the end."""

from __future__ import annotations

import os
import select

from pyoci.container.console import ConsoleOwner
from pyoci.kernel import process, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any

    from pyoci.container.notify import Relay
else:
    import _signal  # the signal module imports enum

# Not forwarded: about our own children, our own terminal, and urgent data.
_KEPT = (signals.SIGCHLD, signals.SIGWINCH, signals.SIGURG, 9, 19)
_SIGWINCH = signals.SIGWINCH


class Foreground:
    """One container that the caller waits for."""

    def __init__(self, pid: int, pidfd: int, owner: ConsoleOwner) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.master = owner.master
        self.local = -1
        self.before: list[Any] | None = None
        self.pending: list[int] = []
        self.wake, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        forwarded = tuple(n for n in _signal.valid_signals() if n not in _KEPT and 0 < int(n) < 65)
        signals.handle(tuple(int(n) for n in forwarded), self._forward)
        if self.master >= 0:
            self._attach()

    def _forward(self, number: int) -> None:
        try:
            process.pidfd_send_signal(self.pidfd, number)
        except OSError:  # it has just ended; the wait will tell
            pass

    def _attach(self) -> None:
        """Put the caller's terminal into raw mode and give the container's its size; a newline stays what it is."""
        from pyoci.kernel import terminal

        terminal.clear_onlcr(self.master)
        for candidate in (2, 1, 0):
            if os.isatty(candidate):
                self.local = candidate
                break
        else:
            return
        self._resize(_SIGWINCH)
        signals.handle((_SIGWINCH,), self._resize)
        self.before = terminal.make_raw(self.local)

    def _resize(self, _number: int) -> None:
        from pyoci.kernel import terminal

        try:
            height, width = terminal.get_size(self.local)
            if height and width:  # a terminal without a size leaves process.consoleSize alone
                terminal.set_size(self.master, height, width)
        except OSError:
            pass

    def wait(self, relay: Relay | None = None) -> int:
        """Until the program has ended: its status, or 128 and the signal. Meanwhile `relay` passes READY=1 on."""
        poll = select.poll()
        listening = -1 if relay is None else relay.fileno()
        if listening >= 0:
            poll.register(listening, select.POLLIN)
        poll.register(self.pidfd, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        if self.master >= 0:
            poll.register(self.master, select.POLLIN)
            poll.register(0, select.POLLIN)
        ended = False
        while not ended:
            for descriptor, _ in poll.poll():
                if descriptor == self.pidfd:
                    ended = True
                elif descriptor == self.wake:
                    os.read(self.wake, 512)
                elif descriptor == listening and relay is not None:
                    relay.receive()
                    if relay.fileno() < 0:
                        poll.unregister(listening)
                        listening = -1
                elif not _copy(descriptor, self.master if descriptor == 0 else 1):
                    poll.unregister(descriptor)
        self._drain()
        status = process.wait_status(self.pid)
        assert status is not None
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _drain(self) -> None:
        """What the program wrote last is still in the terminal."""
        if self.master < 0:
            return
        poll = select.poll()
        poll.register(self.master, select.POLLIN)
        while poll.poll(0) and _copy(self.master, 1):
            pass

    def close(self) -> None:
        _signal.set_wakeup_fd(-1)
        os.close(self.wake)
        os.close(self._wake_writer)
        if self.before is not None:
            from pyoci.kernel import terminal

            terminal.restore(self.local, self.before)


def _copy(source: int, target: int) -> bool:
    """Copy what is there; False at the end of the source, or when nobody takes it."""
    try:
        data = os.read(source, 65536)
        while data:
            written = os.write(target, data)
            data = data[written:]
            if not data:
                return True
    except OSError:  # EIO: the last slave was closed
        pass
    return False
