"""Pseudo-terminals: ioctl_tty(2) by descriptor."""

from __future__ import annotations

import fcntl
import struct
import termios

from pyoci import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430
_TIOCGPTPEER = 0x5441


def _attributes(terminal: int) -> list[Any]:
    """tcgetattr(3). Raises OSError, which the module's own exception is not."""
    try:
        return termios.tcgetattr(terminal)
    except termios.error as error:
        raise OSError(*error.args) from None


def _set_attributes(terminal: int, attributes: list[Any]) -> None:
    """tcsetattr(3), at once. Raises OSError."""
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, attributes)
    except termios.error as error:
        raise OSError(*error.args) from None


def unlock(master: int) -> None:
    """Let the slave of this pty be opened."""
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))


def index(master: int) -> int:
    """The N of /dev/pts/N."""
    number: int = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, b"\0" * 4))[0]
    return number


def open_peer(master: int) -> int:
    """Open the slave by its master, without any name in between (CVE-2025-52565)."""
    return fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def set_size(terminal: int, height: int, width: int) -> None:
    """TIOCSWINSZ of ioctl_tty(2), in characters."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def get_size(terminal: int) -> tuple[int, int]:
    """Height and width in characters."""
    height, width, _, _ = struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))
    return height, width


def make_controlling(terminal: int) -> None:
    """Make it the controlling terminal of this session, whose leader we are."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def clear_onlcr(terminal: int) -> None:
    """Do not add a carriage return to each newline: the terminal at the other end does."""
    attributes = _attributes(terminal)
    attributes[1] &= ~termios.ONLCR
    _set_attributes(terminal, attributes)


def make_raw(terminal: int) -> list[Any]:
    """cfmakeraw(3) but for the output: a newline still gets its carriage return, which the terminal at the other end
    leaves out (clear_onlcr). Returns the attributes as they were, for restore().
    """
    before, raw = _attributes(terminal), _attributes(terminal)
    raw[0] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    raw[1] |= termios.OPOST
    raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    _set_attributes(terminal, raw)
    return before


def restore(terminal: int, attributes: list[Any]) -> None:
    """Put back the attributes that tcgetattr(3) gave."""
    _set_attributes(terminal, attributes)
