"""What a step is, and what steps may use on either side of the clone."""

from __future__ import annotations

import time

from pyoci.errors import Error, StepError, os_error_text, system_call
from pyoci.log import log
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.cgroups.systemd.bus import Bus
    from pyoci.channel import Channel
    from pyoci.config.seccomp import Seccomp
    from pyoci.kernel.execute import Image
    from pyoci.kernel.seccomp import Prepared
    from pyoci.kernel.signals import Interrupts
    from pyoci.steps.listener.listener import Handover
    from pyoci.undo import Undo


class Context:
    """What a step works on. One object, made by the runtime before the clone; the child has its own copy of it.

    trees: detached mounts by the pointer of the mount they are for, opened before the clone.
    inside: sources that lead below the container's root, by the same pointer: their names there (steps/init/binds.py).
    locks: with a user namespace, what is locked on the mounts that steps have made, by their ids
    (steps/init/attributes.py).
    descriptors: other things opened before the clone, by name ("fifo", "/linux/namespaces/2", ...).
    """

    def __init__(self, channel: Channel, undo: Undo) -> None:
        self.channel = channel
        self.undo = undo
        self.trees: dict[str, int] = {}
        self.inside: dict[str, str] = {}
        self.locks: dict[int, int] = {}
        self.descriptors: dict[str, int] = {}
        self.proc = -1  # a procfs nobody else can reach: the runtime's own, after the clone the container's
        self.pid = 0  # the container's process, seen from the runtime
        self.pidfd = -1
        self.root = -1  # the container's root: before the pivot its mount's descriptor, then that of "/"
        self.terminal = -1  # the pseudo-terminal's slave
        self.cgroup = -1  # a v2 cgroup to be born in
        self.trace = -1  # a file for the time of every step, with --trace
        self.in_directory = False  # the working directory is process.cwd
        self.program = b""  # what execve(2) will be given, once looked up
        self.image: Image | None = None
        self.cgroups: dict[str, str] = {}  # controller -> directory, once made
        self.identity: dict[str, list[int]] = {}  # the container's namespaces and root, once its process has sent them
        self.cgroups_new = False  # all of them: whoever is in them has come through us
        self.shared: Callable[[], object] = lambda: None  # asked of a cgroup that is there: raises if it has an owner
        self.bus: Bus | None = None  # to systemd, while its driver needs it
        self.preserved = 3  # the first number that is not for the program
        self.tasks: tuple[int, ...] = ()  # the tasks files of its v1 cgroups
        self.interrupts: Interrupts | None = None  # the runtime's, for whatever it waits for
        self.filter: tuple[Prepared, int] | None = None  # the seccomp filter and its flags
        self.filtered = False  # stage 1 has loaded the filter: what follows is under it
        self.listener = -1  # that of the filter which stage 1 of exec has loaded, until the agent has it
        self.handover: Handover | None = None  # what the process shares with the helper that sends its listener
        self.compile: Callable[[Seccomp], tuple[Prepared, int] | None] = lambda seccomp: None


class Step(Record):
    """One thing that is done, for one property of config.json.

    `pointer` names the property ("" for what every container needs).
    """

    pointer: str = ""

    def describe(self) -> str:
        """What it does, in one line without a verb's ending: "mount tmpfs on /dev"."""
        raise NotImplementedError

    def execute(self, context: Context) -> None:
        """Do it. Raises OSError, or an Error where there is more to say."""
        raise NotImplementedError


def run(steps: tuple[Step, ...], context: Context) -> None:
    """Execute `steps` in order; a failure becomes a StepError that names the pointer, the step and the system call."""
    for step in steps:
        start = time.monotonic_ns()
        try:
            if log.debugging:
                log.step(type(step).__name__, step.pointer, step.describe())
            step.execute(context)
            if context.trace >= 0:
                from pyoci.steps import trace

                trace.write(context.trace, step, start)
        except OSError as error:
            raise failed(step, error) from error
        except Error as error:
            error.pointer = error.pointer or step.pointer
            error.step = error.step or type(step).__name__
            raise


class During:
    """With During("write state.json"): an OSError becomes a StepError that says so. For what is no step of a plan."""

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StepError(
                f"{self.what}: {os_error_text(error)}", step="Create", call=system_call(error), errno=error.errno or 0
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
