"""The last steps of the container's process: wait for `start`, then become the program (runtime.md, "Start").

The decision: docs/decisions/closed-before-execve.md.
"""

from __future__ import annotations

import fcntl

from pyoci import channel, os
from pyoci.errors import ExecuteError, os_error_text, system_call
from pyoci.kernel import process, program_file, signals
from pyoci.kernel.constants import SIGHUP, SIGINT, SIGQUIT, SIGTERM
from pyoci.steps.init.context import InitContext, InitStep

GO = b"0"  # one byte on the fifo, as runc's init writes it


class CloseDescriptors(InitStep):
    """Close everything but the preserved descriptors and what waiting needs (CVE-2024-21626).

    What stays is moved to the first numbers after the preserved ones.
    """

    keep: int  # descriptors 0 to keep - 1 stay

    def describe(self) -> str:
        return f"close all descriptors from {self.keep} on"

    def execute(self, context: InitContext) -> None:
        fifo, proc = context.descriptors["fifo"], context.descriptors["proc"]
        # First out of the way, then into place: one may stand where another has to go.
        copies = [
            fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, self.keep + 3)
            for descriptor in (fifo, proc, context.channel.fileno())
        ]
        for target, copy in enumerate(copies, self.keep):
            os.dup2(copy, target, inheritable=False)
        close_from(self.keep + 3, context)
        context.descriptors = {"fifo": self.keep, "proc": self.keep + 1}
        context.channel.adopt(self.keep + 2)
        context.proc = self.keep + 1
        context.root = context.trace = -1
        context.trees = {}


class DieOnSignals(InitStep):
    """While it waits, the process ends on these signals, as runc's init does; pid 1 ignores what it does not handle."""

    def describe(self) -> str:
        return "end on TERM, INT, HUP and QUIT while waiting"

    def execute(self, context: InitContext) -> None:
        ending = (SIGTERM, SIGINT, SIGHUP, SIGQUIT)
        signals.handle(ending, lambda number: os._exit(128 + number))


class WaitForStart(InitStep):
    """Block in open(2) of the fifo until `start` opens its other end; then only the fifo is left open."""

    keep: int

    def describe(self) -> str:
        return "wait for start"

    def execute(self, context: InitContext) -> None:
        name = f"self/fd/{context.descriptors['fifo']}"
        opened = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=context.descriptors["proc"])
        os.dup2(opened, self.keep, inheritable=False)
        close_from(self.keep + 1, context)
        context.descriptors = {"start": self.keep}
        context.proc = -1


class LoadFilter(InitStep):
    """seccomp(2), in the process of a startContainer hook: its file belongs to the container."""

    pointer: str = "/linux/seccomp"

    def describe(self) -> str:
        return "load the seccomp filter"

    def execute(self, context: InitContext) -> None:
        assert context.filter is not None  # CompileFilter
        prepared, flags = context.filter
        prepared.load(flags)


class ExecuteProgram(InitStep):
    """Tell `start`, or exec, load the filter, become the program. After the filter nothing comes but execve(2)."""

    pointer: str = "/process/args"
    name: str

    def describe(self) -> str:
        return f"exec {self.name}"

    def execute(self, context: InitContext) -> None:
        image, program = context.image, context.program
        assert image is not None
        image.warm()
        filter = None if context.filtered else context.filter
        # Under a filter that allows little, nothing more could be asked: it is looked at just before. Not where a
        # helper shares our descriptors, who takes the next one to appear for the filter's listener.
        look = context.handover is None
        found = program_file.faults(program) if look and filter is not None else ()
        report(context, GO)
        signals.reset()
        try:
            if filter is not None:
                prepared, flags = filter
                prepared.load(flags)
            image.execve(program)
        except OSError as error:
            if look and filter is None:
                found = program_file.faults(program)
            raise ExecuteError(
                f"exec {os.fsdecode(program)}: {os_error_text(error)}",  # the file, as runc says
                call=system_call(error),
                errno=error.errno or 0,
                hint=program_file.why(found, error.errno),
            ) from error


def close_from(first: int, context: InitContext) -> None:
    """Close all descriptors from `first` on.

    If a helper shares our table, the ones that it uses stay: it knows them by their numbers. execve(2) closes them.
    """
    if context.handover is None:
        process.close_from(first)
    else:
        process.close_all_but([*range(first), *context.handover.descriptors()])


def report(context: InitContext, data: bytes) -> None:
    """Write to the fifo that `start` reads. A `start` that was killed meanwhile does not stop the container.

    A process of exec has no fifo and still its channel, which execve(2) closes.
    """
    if "start" not in context.descriptors:
        context.channel.send("executing")
        return
    try:
        os.write(context.descriptors["start"], data)
    except BrokenPipeError:
        pass


def report_error(context: InitContext, fields: tuple[str, ...]) -> None:
    """The error frame on the fifo: the channel's message after an "E", short enough for one write of a pipe."""
    report(context, b"E" + channel.encode("error", tuple(field[:512] for field in fields)))
