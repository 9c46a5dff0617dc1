"""What create and exec begin with alike: the channel to the process that will be made, and a procfs of their own."""

from __future__ import annotations

from pyoci import channel, os
from pyoci.kernel import procfs
from pyoci.kernel.execute import Image
from pyoci.steps.host.context import HostContext
from pyoci.steps.init.context import InitContext
from pyoci.steps.step import During

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.kernel.signals import Interrupts
    from pyoci.plan.plan import Plan
    from pyoci.undo import Undo


def begin(root: str, interrupts: Interrupts, undo: Undo) -> HostContext:
    """The context of the runtime's steps, with that of the process's in it. root: the directory of all containers."""
    ours, theirs = channel.pair()
    undo.add(ours.close)
    undo.add(theirs.close)
    context = HostContext(ours, undo, InitContext(theirs))
    context.root = root
    context.interrupts = interrupts
    with During("open a private procfs"):
        context.proc = procfs.open_private()
    undo.add(os.close, context.proc)
    return context


def follow(plan: Plan, context: HostContext) -> None:
    """What the process will be given, as the plan has it."""
    context.init.preserved = plan.preserved
    context.init.image = Image(plan.argv, plan.env)
