"""Copying between two descriptors without ever waiting in read(2) or write(2)."""

from __future__ import annotations

import os
import select

_ROOM = 65536  # bytes that may wait for a slow reader
_CHUNK = 4096  # PIPE_BUF: a pipe or terminal that poll(2) calls writable takes this much without blocking


class Pump:
    """Bytes on their way from `source` to `target`. Reading stops while the reader is behind."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self.target = target
        self._waiting = b""
        self._ended = False  # nothing more comes, or nobody takes it

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

    def _read(self) -> None:
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last slave of the terminal was closed
            data = b""
        self._waiting += data
        self._ended = not data

    def _write(self) -> None:
        try:
            self._waiting = self._waiting[os.write(self.target, self._waiting[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more
            self._waiting, self._ended = b"", True

    def finish(self) -> None:
        """Move what is there already, and no more than that."""
        while True:
            poll = select.poll()
            wanted = self.wanted()
            for descriptor, events in wanted.items():
                poll.register(descriptor, events)
            ready = dict(poll.poll(None if self.target in wanted else 0)) if wanted else {}
            if not ready:
                return
            self.move(ready)
