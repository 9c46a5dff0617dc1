"""Signal dispositions and what a program that we execute inherits of them."""

from __future__ import annotations

import select

from pyoci import os
from pyoci.kernel.constants import SIGHUP, SIGINT, SIGTERM

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal  # the signal module imports enum

ENDING = (SIGTERM, SIGINT, SIGHUP)  # those that end a command, after it has undone what it had begun


def reset() -> None:
    """Give every signal its default disposition.

    execve(2) does that for caught signals but keeps ignored ones: Python ignores SIGPIPE and SIGXFSZ, and the caller
    may ignore others. A container starts the same way whoever started it.
    """
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)


def handle(numbers: tuple[int, ...], action: Callable[[int], object]) -> None:
    """Call `action` with the number when one of these signals arrives."""

    def handler(number: int, _frame: object) -> None:
        action(number)

    for number in numbers:
        _signal.signal(number, handler)


def not_ignored(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the signals that the caller has not had us ignore (nohup)."""
    return tuple(one for one in numbers if _signal.getsignal(one) != _signal.SIG_IGN)


def handle_by_default(numbers: tuple[int, ...]) -> None:
    """Give these signals their usual effect (SIG_DFL of signal(7))."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_DFL)


def take_default(number: int) -> None:
    """Let a signal that we handle do what it does by itself: for one that stops, returns once we go on."""
    handler = _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)
    _signal.signal(number, handler)


def ignore(numbers: tuple[int, ...]) -> None:
    """Ignore these signals; programs that are executed inherit it."""
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)


class Interrupted(BaseException):
    """A signal that ends the runtime came while a container was being made; it dies of it after the undoing."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupts:
    """Signals that end what we do, but only where we wait: what was just made is on the list of what to undo by then.

    An exception from the handler itself could come between a mkdir(2) and the line that notes it.
    """

    def __init__(self, numbers: tuple[int, ...]) -> None:
        self._numbers = numbers
        self._arrived = 0
        self._reading = self._writing = -1

    def install(self) -> None:
        """From now on. What the caller ignores (nohup) stays ignored."""
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        handle(not_ignored(self._numbers), self._note)

    def _note(self, number: int) -> None:
        self._arrived = self._arrived or number

    def fileno(self) -> int:
        """Readable when a signal has come: for a poll(2) together with what is waited for; then check()."""
        return self._reading

    def check(self) -> None:
        """Raises Interrupted if one of the signals has come."""
        if self._arrived:
            raise Interrupted(self._arrived)

    def wait(self, *descriptors: int) -> None:
        """Until one of them is readable. Raises Interrupted."""
        poll = select.poll()
        for descriptor in (*descriptors, self._reading):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            self.check()
            if any(descriptor in ready for descriptor in descriptors):
                return
            os.read(self._reading, 512)  # another signal

    def close(self) -> None:
        """No longer: the signals' handlers are the caller's to replace."""
        _signal.set_wakeup_fd(-1)
        os.close(self._reading)
        os.close(self._writing)


def die(interrupted: Interrupted) -> None:
    """End by the signal, whatever was installed for it."""
    reset()
    os.kill(os.getpid(), interrupted.number)


def forget_wakeup() -> None:
    """In a child: the descriptor that signals write to belongs to the parent."""
    _signal.set_wakeup_fd(-1)
