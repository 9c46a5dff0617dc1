"""The last steps of the container's process: wait for `start`, then become the program (runtime.md, "Start")."""

from __future__ import annotations

import os

from .. import channel
from ..errors import StepError
from ..kernel import process, signals
from .step import Context, Step, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.seccomp import Prepared

GO = b"0"  # one byte on the fifo, as runc's init writes it


class CloseDescriptors(Step):
    """Close everything but the preserved descriptors and what waiting needs (CVE-2024-21626).

    What stays is moved to the first numbers after the preserved ones.
    """

    keep: int  # descriptors 0 to keep - 1 stay

    def describe(self) -> str:
        return f"close all descriptors from {self.keep} on"

    def execute(self, context: Context) -> None:
        fifo, proc = context.descriptors["fifo"], context.descriptors["proc"]
        high = self.keep + 64
        os.dup2(fifo, high, inheritable=False)
        os.dup2(proc, high + 1, inheritable=False)
        os.dup2(context.channel.fileno(), high + 2, inheritable=False)
        os.dup2(high, self.keep, inheritable=False)
        os.dup2(high + 1, self.keep + 1, inheritable=False)
        os.dup2(high + 2, self.keep + 2, inheritable=False)
        process.close_from(self.keep + 3)
        context.descriptors = {"fifo": self.keep, "proc": self.keep + 1}
        context.channel.adopt(self.keep + 2)
        context.proc = self.keep + 1
        context.root = -1
        context.trees = {}


class WaitForStart(Step):
    """Block in open(2) of the fifo until `start` opens its other end; then only the fifo is left open."""

    keep: int

    def describe(self) -> str:
        return "wait for start"

    def execute(self, context: Context) -> None:
        name = f"self/fd/{context.descriptors['fifo']}"
        opened = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=context.descriptors["proc"])
        os.dup2(opened, self.keep, inheritable=False)
        process.close_from(self.keep + 1)
        context.descriptors = {"start": self.keep}
        context.proc = -1


class LoadFilter(Step):
    """seccomp(2). Nothing but execve(2) comes after it."""

    pointer: str = "/linux/seccomp"
    filter: Prepared
    flags: int

    def describe(self) -> str:
        return "load the seccomp filter"

    def execute(self, context: Context) -> None:
        self.filter.load(self.flags)


class ExecuteProgram(Step):
    """Tell `start`, load the filter, become the program."""

    pointer: str = "/process/args"
    name: str
    filter: LoadFilter | None

    def describe(self) -> str:
        return f"exec {self.name}"

    def execute(self, context: Context) -> None:
        image, program, filter = context.image, context.program, self.filter
        assert image is not None
        image.warm()
        report(context, GO)
        signals.reset()
        try:
            if filter is not None:
                filter.execute(context)
            image.execve(program)
        except OSError as error:
            raise self._failed(program, error, filter is not None) from error

    def _failed(self, program: bytes, error: OSError, filtered: bool) -> StepError:
        made = failed(self, error)
        made.message = f"exec {program.decode('utf-8', 'backslashreplace')}: {made.message.rpartition(': ')[2]}"
        return made


def report(context: Context, data: bytes) -> None:
    """Write to the fifo that `start` reads. A `start` that was killed meanwhile does not stop the container."""
    try:
        os.write(context.descriptors["start"], data)
    except BrokenPipeError:
        pass


def report_error(context: Context, fields: tuple[str, ...]) -> None:
    """The error frame on the fifo: the channel's message after an "E", short enough for one write of a pipe."""
    report(context, b"E" + channel.encode("error", tuple(field[:512] for field in fields)))
