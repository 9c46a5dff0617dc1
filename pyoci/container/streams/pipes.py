"""Pipes between the caller's standard streams and a program in the foreground that has no terminal of its own.

Imported only where one of them is not the program's to have: console.py says which. runc has pipes for all of them.
"""

from __future__ import annotations

from pyoci import os
from pyoci.container.streams.pump import Pump


class Streams:
    """The pipes of one program. `theirs`: its ends by number, until it has them."""

    def __init__(self, numbers: tuple[int, ...], owner: tuple[int, int]) -> None:
        """`owner`: the host's ids of the container's root, which may give them to any of its users."""
        self.theirs: dict[int, int] = {}
        self.pumps: list[Pump] = []
        for number in numbers:
            if number == 2 and 1 in self.theirs and os.path.samestat(os.fstat(1), os.fstat(2)):
                self.theirs[2] = os.dup(self.theirs[1])  # what goes to one place stays in its order
                continue
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self.theirs[number], ours = (reading, writing) if number == 0 else (writing, reading)
            os.set_blocking(ours, False)
            self.pumps.append(Pump(number, ours, ours) if number == 0 else Pump(ours, number, ours))
            try:
                os.fchown(self.theirs[number], *owner)
            except PermissionError:  # an unprivileged caller, whose own they are
                pass

    def cloned(self) -> None:
        """The program's process has its ends, and with it alone they are to be closed."""
        for descriptor in self.theirs.values():
            os.close(descriptor)
        self.theirs = {}

    def close(self) -> None:
        """Close our ends, and the program's as well if it was not made."""
        self.cloned()
        for pump in self.pumps:
            pump.close()
