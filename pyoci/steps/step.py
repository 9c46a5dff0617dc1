"""What a step is, what every step works on, and how steps are carried out."""

from __future__ import annotations

import time

from pyoci.errors import Error, StepError, os_error_text, system_call
from pyoci.log import log
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from pyoci.channel import Channel

    AnyContext = TypeVar("AnyContext", bound="Context")


class Context:
    """What the steps of either side have. HostContext is the runtime's, InitContext the container's process's."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel  # our end of the pair to the other side
        self.proc = -1  # a procfs nobody else can reach: the runtime's own, or the container's
        self.trace = -1  # a file for the time of every step, with --trace


class Step(Record):
    """One thing that is done, for one property of config.json.

    `pointer` names the property ("" for what every container needs). A step is a HostStep, which the runtime takes, or
    an InitStep, which the container's process takes, stage 1 or a helper; so the type checker knows which phase of a
    plan it may stand in, and what it may touch.
    """

    pointer: str = ""

    def describe(self) -> str:
        """What it does, in one line without a verb's ending: "mount tmpfs on /dev"."""
        raise NotImplementedError


def carry_out(step: Step, execute: Callable[[AnyContext], None], context: AnyContext) -> None:
    """Execute a step; a failure becomes a StepError that names the pointer, the step and the system call."""
    start = time.monotonic_ns()
    if log.debugging:
        log.step(type(step).__name__, step.pointer, step.describe())
    try:
        execute(context)
    except OSError as error:
        raise failed(step, error) from error
    except Error as error:
        error.pointer = error.pointer or step.pointer
        error.step = error.step or type(step).__name__
        raise
    if context.trace >= 0:
        from pyoci.steps import trace

        trace.write(context.trace, type(step).__name__, step.pointer, step.describe(), start)


class During:
    """With During("write state.json"): an OSError becomes a StepError that says so. For what is no step of a plan."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StepError(
                f"{self.what}: {os_error_text(error)}", call=system_call(error), errno=error.errno or 0
            ) from error


def failed(step: Step, error: OSError, hint: str = "") -> StepError:
    """The StepError for a system call that failed in `step`."""
    notes: list[str] = getattr(error, "__notes__", [])
    return StepError(
        f"{step.describe()}: {os_error_text(error)}",
        pointer=step.pointer,
        step=type(step).__name__,
        call=system_call(error),
        errno=error.errno or 0,
        hint=hint or "; ".join(notes[1:]),
    )
