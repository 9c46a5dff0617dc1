"""One change of a container at a time: pause, resume and update wait for each other."""

from __future__ import annotations

import fcntl

from pyoci import os
from pyoci.container import state
from pyoci.errors import NotFoundError

_LOCK = "change.lock"


class Change:
    """For a `with` block: a descriptor of the container's directory, with the lock on changing the container.

    What does not change anything, start, kill and delete never take it. It ends with its holder. Raises NotFoundError.
    """

    def __init__(self, root: str, id: str) -> None:
        self.directory = state.open_directory(root, id)
        self._lock = -1
        try:
            self._lock = self._take(root, id)
        except BaseException:
            self.close()
            raise

    def _take(self, root: str, id: str) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            lock = os.open(_LOCK, flags, 0o600, dir_fd=self.directory)
        except FileNotFoundError:  # the directory has been removed
            raise NotFoundError from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            parent = state.open_root(root)
            try:
                if not state.is_named(parent, id, self.directory):
                    raise NotFoundError  # and the name may be another container's by now
            finally:
                os.close(parent)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def __enter__(self) -> int:
        return self.directory

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back. A second time does nothing."""
        for descriptor in (self._lock, self.directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self.directory = -1
