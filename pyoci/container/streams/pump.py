"""Copying between two descriptors without ever waiting in read(2) or write(2)."""

from __future__ import annotations

import fcntl
import select
import struct

from pyoci import os

_FIONREAD = 0x541B
_ROOM = 65536  # bytes that may wait for a slow reader
_CHUNK = 4096  # PIPE_BUF: a pipe or terminal that poll(2) calls writable takes this much without blocking


class Pump:
    """Bytes on their way from `source` to `target`. Reading stops while the reader is behind.

    `ours`: the one of the two that is ours alone: it does not block, and is closed once nothing more can go through.
    """

    def __init__(self, source: int, target: int, ours: int = -1) -> None:
        self.source = source
        self.target = target
        self._ours = ours
        self._waiting = b""
        self._ended = False  # nothing more comes, or nobody takes it
        self._lost = False  # what comes is thrown away
        self._broken = False  # the last write was a SIGPIPE of our own

    def wanted(self) -> dict[int, int]:
        """What to poll: descriptor -> events."""
        events = {}
        if not self._ended and len(self._waiting) < _ROOM:
            events[self.source] = select.POLLIN
        if self._waiting:
            events[self.target] = select.POLLOUT
        return events

    def move(self, ready: dict[int, int]) -> None:
        """Read and write as far as poll(2) said it is possible."""
        wanted = self.wanted()
        if self.target in wanted and ready.get(self.target, 0) & (select.POLLOUT | select.POLLERR | select.POLLHUP):
            self._write()
        if self.source in wanted and ready.get(self.source, 0) & (select.POLLIN | select.POLLERR | select.POLLHUP):
            self._read()

        if self._ended and not self._waiting:
            self.close()

    def _read(self) -> None:
        try:
            data = os.read(self.source, _CHUNK if self._ours < 0 else _ROOM)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last slave of the terminal was closed
            data = b""
        self._waiting += b"" if self._lost else data
        self._ended = self._ended or not data

    def _write(self) -> None:
        chunk = self._waiting[: _ROOM if self.target == self._ours else _CHUNK]
        try:
            self._waiting = self._waiting[os.write(self.target, chunk) :]
        except BlockingIOError:
            return
        except OSError as error:  # nobody reads any more: a terminal's program cannot be told, and must not be stuck
            self._waiting, self._lost, self._ended = b"", True, self._ended or self._ours >= 0
            self._broken = isinstance(error, BrokenPipeError)

    def take_broken(self) -> bool:
        """Whether we have caused a SIGPIPE since the last time that this was asked."""
        broken, self._broken = self._broken, False
        return broken

    def close(self) -> None:
        """What is ours: whoever is at its other end learns that nothing more comes, or that nobody takes it."""
        self._ended = True
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1

    def finish(self) -> None:
        """Move what is there already, and no more than that: of a pipe, which others may still write to, what is in it
        now."""
        if self._ours >= 0:
            left = struct.unpack("i", fcntl.ioctl(self.source, _FIONREAD, bytes(4)))[0]
            while left > 0 and not self._ended:
                data = os.read(self.source, min(left, _ROOM))
                self._waiting, left = self._waiting + data, left - len(data)
                self._ended = self._ended or not data
            self._ended = True
        while True:
            poll = select.poll()
            wanted = self.wanted()
            for descriptor, events in wanted.items():
                poll.register(descriptor, events)
            ready = dict(poll.poll(None if self.target in wanted else 0)) if wanted else {}
            if not ready:
                return
            self.move(ready)
