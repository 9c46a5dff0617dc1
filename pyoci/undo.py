"""Undo: what to reverse, newest first, if a later step fails."""

from __future__ import annotations

from pyoci.errors import os_error_text
from pyoci.log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Undo:
    """Use as a context manager; every action stands directly under what it undoes.

    The actions run only when the block fails. An action's own failure never replaces the first error, nor does it
    keep the others from running; --debug shows it.
    """

    def __init__(self) -> None:
        self._actions: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def add(self, action: Callable[..., object], *args: object) -> None:
        """Call `action` with these arguments if the block fails, before everything that was added earlier."""
        self._actions.append((action, args))

    def __enter__(self) -> Undo:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.run()

    def run(self) -> None:
        """Run and forget all actions, newest first."""
        while self._actions:
            action, args = self._actions.pop()
            try:
                action(*args)
            except Exception as problem:  # the first failure is the one to report
                name = getattr(action, "__qualname__", type(action).__name__)
                text = os_error_text(problem) if isinstance(problem, OSError) else str(problem)
                log.debug(f"undo: {name}: {type(problem).__name__}: {text}")
