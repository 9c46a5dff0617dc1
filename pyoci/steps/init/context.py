"""What the steps of the container's process work on, and what they are."""

from __future__ import annotations

from pyoci.steps.step import Context, Step, carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.channel import Channel
    from pyoci.kernel.execute import Image
    from pyoci.kernel.seccomp import Prepared
    from pyoci.steps.listener.handover import Handover


class InitContext(Context):
    """What the steps of the container's process work on, of stage 1, and of a helper: each has its own copy of it.

    The runtime makes it, and fills it before the clone.
    trees: detached mounts by the pointer of the mount they are for.
    inside: sources that lead below the container's root, by the same pointer: their names there (binds.py).
    locks: with a user namespace, what is locked on the mounts that steps have made, by their ids (attributes.py).
    descriptors: other things that were opened, by name ("fifo", "/linux/namespaces/2", ...).
    """

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel)
        self.trees: dict[str, int] = {}
        self.inside: dict[str, str] = {}
        self.locks: dict[int, int] = {}
        self.descriptors: dict[str, int] = {}
        self.root = -1  # the container's root: before the pivot its mount's descriptor, then that of "/"
        self.terminal = -1  # the pseudo-terminal's slave
        self.in_directory = False  # the working directory is process.cwd
        self.image: Image | None = None
        self.program = b""  # what execve(2) will be given, once looked up
        self.preserved = 3  # the first number that is not for the program
        self.has_cgroups = False
        self.tasks: tuple[int, ...] = ()  # the tasks files of its v1 cgroups
        self.filter: tuple[Prepared, int] | None = None  # the seccomp filter and its flags
        self.filtered = False  # stage 1 has loaded the filter: what follows is under it
        self.handover: Handover | None = None  # what the process shares with the helper that sends its listener


class InitStep(Step):
    """A step that the container's process takes, or stage 1, or a helper."""

    def execute(self, context: InitContext) -> None:
        """Do it. Raises OSError, or an Error where there is more to say."""
        raise NotImplementedError


def run(steps: tuple[InitStep, ...], context: InitContext) -> None:
    """Execute `steps` in order. Raises StepError, Error, Closed."""
    for step in steps:
        carry_out(step, step.execute, context)
