"""A process that SIGKILL does not end: the first one of a pid namespace, one of whose processes nobody reaps."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from pyoci.kernel.clone import clone
from pyoci.kernel.constants import CLONE_NEWPID


@contextmanager
def unending() -> Iterator[tuple[int, int]]:
    """Its pid and pidfd, a child of ours. It can end once the block is left; whoever has not reaped it yet may then."""
    pid, pidfd = clone(signal.pause, CLONE_NEWPID)
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        try:
            namespace = os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY)
            if ctypes.CDLL(None).setns(namespace, CLONE_NEWPID) == 0:
                if os.fork() == 0:
                    os.write(writing, b"x")
                signal.pause()
        finally:
            os._exit(1)
    try:
        assert os.read(reading, 1) == b"x"
        yield pid, pidfd
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        os.close(reading)
        os.close(writing)
