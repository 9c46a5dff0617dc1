"""run and exec in the foreground: forward signals, copy between the caller's streams and the process's, wait."""

from __future__ import annotations

import select

from pyoci import os
from pyoci.container.streams.console import ConsoleOwner
from pyoci.kernel import process, signals
from pyoci.kernel.constants import SIGCHLD, SIGKILL, SIGPIPE, SIGSTOP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any

    from pyoci.container.streams.notify import Relay
    from pyoci.container.streams.pump import Pump
else:
    import _signal  # the signal module imports enum

# Not forwarded: about our own children, our own terminal's size, urgent data.
_KEPT = (SIGCHLD, SIGWINCH, SIGURG, SIGKILL, SIGSTOP)
_JOB = (SIGTTIN, SIGTTOU)


class Foreground:
    """One process that the caller waits for. Made before there is one: what comes until begin() is forwarded then,
    but for the signals that end us, which are still somebody else's (kernel/signals.py, Interrupts)."""

    def __init__(self) -> None:
        self.pid = 0
        self.pidfd = self.master = self.local = self.wake = self._wake_writer = -1
        self.before: list[Any] | None = None
        self._early: list[int] = []
        self._piped = False  # SIGPIPE has come, and it may be one of our own
        spared = (*_KEPT, *_JOB, *signals.ENDING, SIGPIPE)
        signals.handle(tuple(int(n) for n in _signal.valid_signals() if n not in spared and n < 65), self._forward)

    def begin(self, pid: int, pidfd: int, owner: ConsoleOwner) -> None:
        """From now on all signals are the process's, and the terminal that `owner` has."""
        self.pid = pid
        self.pidfd = pidfd
        self.owner = owner
        self.master = owner.master
        self.wake, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        signals.handle(signals.ENDING, self._forward)
        signals.handle((SIGPIPE,), self._forward if self.master >= 0 else self._note_pipe)
        signals.handle((SIGCHLD,), lambda number: None)  # wakes us, to reap
        for number in self._early:
            self._forward(number)
        if self.master >= 0:
            self._attach()
        signals.handle(_JOB, self._stop_or_forward)  # not while the terminal is set: in the background that stops us

    def _forward(self, number: int) -> None:
        if self.pidfd < 0:
            self._early.append(number)
            return
        try:
            process.pidfd_send_signal(self.pidfd, number)
        except OSError:  # it has just ended; the wait will tell
            pass

    def _stop_or_forward(self, number: int) -> None:
        """A job in the background that reads its terminal, or writes to it, is to stop: that one is about us. If it is
        not that, somebody has sent it, and it is for the process, as with runc."""
        if _in_background():
            signals.take_default(number)
        else:
            self._forward(number)

    def _note_pipe(self, number: int) -> None:
        self._piped = True

    def _forward_pipe(self, pumps: list[Pump]) -> None:
        """SIGPIPE that somebody has sent. One that we cause, by writing where nobody reads, is not for the process: it
        has closed its standard input, or learns by its own pipe that nobody takes its output."""
        self._piped = False
        own = [pump.take_broken() for pump in pumps]
        if not any(own):
            self._forward(SIGPIPE)

    def _attach(self) -> None:
        """Put the caller's terminal into raw mode and give the container's its size; a newline stays what it is."""
        from pyoci.kernel import terminal

        os.set_blocking(self.master, False)
        terminal.clear_onlcr(self.master)
        for candidate in (2, 1, 0):
            if os.isatty(candidate):
                self.local = candidate
                break
        else:
            return
        self._resize(SIGWINCH)
        signals.handle((SIGWINCH,), self._resize)
        try:
            self.before = terminal.make_raw(self.local)
        except OSError:  # hung up, or ours to read from only
            pass

    def _resize(self, _number: int) -> None:
        from pyoci.kernel import terminal

        try:
            height, width = terminal.get_size(self.local)
            if height and width:  # a terminal without a size leaves process.consoleSize alone
                terminal.set_size(self.master, height, width)
        except OSError:
            pass

    def wait(self, relay: Relay | None = None) -> int:
        """Until the program has ended: its status, or 128 and the signal. Meanwhile `relay` passes on what it says to
        the service manager."""
        pumps = self.owner.pumps()
        while True:
            wanted = {self.pidfd: select.POLLIN, self.wake: select.POLLIN}
            if relay is not None and relay.fileno() >= 0:
                wanted[relay.fileno()] = select.POLLIN
            for pump in pumps:
                for descriptor, events in pump.wanted().items():
                    wanted[descriptor] = wanted.get(descriptor, 0) | events
            ready = _poll(wanted)
            if self.wake in ready:
                os.read(self.wake, 512)
                self._reap()
            if relay is not None and relay.fileno() in ready:
                relay.receive()
            for pump in pumps:
                pump.move(ready)
            if self._piped:
                self._forward_pipe(pumps)
            if self.pidfd in ready:
                break
        if relay is not None:
            relay.drain()
        for pump in pumps:
            if pump.source != 0:
                pump.finish()  # what the program wrote last is still in the terminal, or the pipe
        status = process.wait_status(self.pid)
        assert status is not None
        return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def _reap(self) -> None:
        """Bury the container's orphans, who are ours as we are their subreaper; its first process comes last."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, flags)
            except ChildProcessError:
                return
            if found is None or found.si_pid == self.pid:
                return
            process.wait_status(found.si_pid)

    def close(self) -> None:
        """Handle signals as before, and put the caller's terminal back. A second time does nothing."""
        if self.wake < 0:
            return
        _signal.set_wakeup_fd(-1)
        os.close(self.wake)
        os.close(self._wake_writer)
        self.wake = -1
        signals.handle_by_default(_JOB)
        if self.before is not None:
            from pyoci.kernel import terminal

            try:
                terminal.restore(self.local, self.before)
            except OSError:  # it was hung up: there is nobody to restore it for
                pass


def _in_background() -> bool:
    """Whether we are a job in the background of our own terminal."""
    for descriptor in (2, 1, 0):
        try:
            return os.tcgetpgrp(descriptor) != os.getpgrp()
        except OSError:  # not a terminal, or not ours
            pass
    return False


def _poll(wanted: dict[int, int]) -> dict[int, int]:
    poll = select.poll()
    for descriptor, events in wanted.items():
        poll.register(descriptor, events)
    return dict(poll.poll())
