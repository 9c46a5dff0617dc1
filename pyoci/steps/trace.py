"""--trace: the time of every step, as an array in Chrome's trace event format; docs/trace.md says how to look at it.

The runtime and the container's process write to one file (O_APPEND), an event with each write(2), so that neither needs
to know of the other.
"""

from __future__ import annotations

import time

from pyoci import os
from pyoci.errors import cannot_open
from pyoci.jsonfile import dumps
from pyoci.log import open_for_appending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def begin(path: str) -> int:
    """Make the file, or empty it; its descriptor. Raises Error, also for a FIFO that nobody reads."""
    try:
        file = open_for_appending(path, os.O_TRUNC)
    except OSError as error:
        raise cannot_open(path, error, "--trace") from None
    # The first event is ours, so that every other one can begin with the comma.
    _write(file, "[\n", {"name": "process_name", "ph": "M", "pid": os.getpid(), "args": {"name": "pyoci"}})
    return file


def write(file: int, step: str, pointer: str, what: str, start: int) -> None:
    """The complete event of a step that has just been done. start: time.monotonic_ns() before it."""
    event = {
        "name": step,
        "ph": "X",
        "ts": start // 1000,
        "dur": (time.monotonic_ns() - start) // 1000,
        "pid": os.getpid(),
        "tid": os.getpid(),
        "args": {"pointer": pointer, "what": what},
    }
    _write(file, ",\n", event)


def end(file: int) -> None:
    """The end of the array, when nobody writes any more."""
    os.write(file, b"\n]\n")
    os.close(file)


def _write(file: int, separator: str, event: dict[str, Any]) -> None:
    os.write(file, f"{separator}{dumps(event)}".encode("utf-8", "surrogateescape"))
