"""What the runtime's own steps work on, and what they are."""

from __future__ import annotations

from pyoci.steps.init.context import InitContext
from pyoci.steps.step import Context, Step, carry_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pyoci.cgroups.systemd.bus import Bus
    from pyoci.channel import Channel
    from pyoci.kernel.signals import Interrupts
    from pyoci.undo import Undo


class HostContext(Context):
    """What the runtime's steps work on.

    `init` is what they hand over to the container's process, which gets its own copy of that, and of that alone, when
    it is cloned. `undo` takes back what they have made.
    """

    def __init__(self, channel: Channel, undo: Undo, init: InitContext) -> None:
        super().__init__(channel)
        self.undo = undo
        self.init = init
        self.bundle = -1  # the bundle's directory
        self.pid = 0  # the container's process, or stage 1 as long as that is all there is
        self.pidfd = -1
        self.cgroup = -1  # a v2 cgroup to be born in
        self.cgroups: dict[str, str] = {}  # controller -> directory, once made
        self.cgroups_new = False  # all of them: whoever is in them has come through us
        self.shared: Callable[[], object] = lambda: None  # asked of a cgroup that is there: raises if it has an owner
        self.root = ""  # the directory of all containers, where compiled filters are kept
        self.identity: dict[str, list[int]] = {}  # the container's namespaces and root, once its process has sent them
        self.bus: Bus | None = None  # to systemd, while its driver needs it
        self.interrupts: Interrupts | None = None  # for whatever the runtime waits for
        self.listener = -1  # that of the filter which stage 1 of exec has loaded, until the agent has it


class HostStep(Step):
    """A step that the runtime takes."""

    def execute(self, context: HostContext) -> None:
        """Do it. Raises OSError, or an Error where there is more to say."""
        raise NotImplementedError


def run(steps: tuple[HostStep, ...], context: HostContext) -> None:
    """Execute `steps` in order. Raises StepError, Error."""
    for step in steps:
        carry_out(step, step.execute, context)
