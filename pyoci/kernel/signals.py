"""Signal dispositions and what a program that we execute inherits of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
else:
    import _signal  # the signal module imports enum

SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM, SIGCHLD, SIGWINCH = 1, 2, 3, 9, 15, 17, 28
SIGURG = 23


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


def ignore(numbers: tuple[int, ...]) -> None:
    for number in numbers:
        _signal.signal(number, _signal.SIG_IGN)
