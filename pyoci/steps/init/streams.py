"""Pipes in the place of those of the caller's standard streams that are not the program's to have."""

from __future__ import annotations

from pyoci import os
from pyoci.steps.init.context import InitContext, InitStep


class TakePipes(InitStep):
    """run and exec in the foreground: the runtime copies between them and the caller's streams."""

    numbers: tuple[int, ...]

    def describe(self) -> str:
        return f"take pipes as standard streams {', '.join(str(number) for number in self.numbers)}"

    def execute(self, context: InitContext) -> None:
        for number in self.numbers:
            os.dup2(context.descriptors[f"stream {number}"], number, inheritable=True)
