"""The helper of a container whose seccomp filter has a listener: who it is and how it is made (steps/listener/)."""

from __future__ import annotations

from pyoci import os
from pyoci.container.process import init
from pyoci.kernel import prctl, signals
from pyoci.kernel.constants import CLONE_FILES, CLONE_PARENT, SIGHUP, SIGINT, SIGTERM
from pyoci.kernel.process import pidfd_open
from pyoci.log import log
from pyoci.steps.host.context import HostContext
from pyoci.steps.init import sync
from pyoci.steps.init.context import InitContext, InitStep, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "pyoci:listener"  # /proc/PID/comm


def make(steps: tuple[InitStep, ...], body: Callable[[], object], flags: int, context: HostContext) -> tuple[int, int]:
    """Clone the helper, which clones the process that runs `body` and then takes `steps`; the helper's pid and pidfd.

    The other process is the caller's child too and shares its descriptors with the helper. `flags` are its CLONE_NEW*;
    the message `born` names it. Raises StepError.
    """
    return init.make(lambda: _main(steps, body, flags, context.cgroup, context.init), 0)


def _main(
    steps: tuple[InitStep, ...], body: Callable[[], object], flags: int, cgroup: int, context: InitContext
) -> None:
    handover = context.handover
    assert handover is not None
    try:
        log.side, log.relay = "helper", context.channel.send_debug
        signals.forget_wakeup()
        signals.handle((SIGTERM, SIGINT, SIGHUP), lambda number: os._exit(128 + number))
        run((sync.StartSession(),), context)  # a terminal's ^C is for the runtime, which forwards it
        prctl.set_name(NAME)
        own = pidfd_open(os.getpid())
        os.dup2(own, handover.helper, inheritable=False)
        os.close(own)
        pid, pidfd = init.make(body, flags | CLONE_PARENT | CLONE_FILES, cgroup)
    except BaseException as error:
        init.report(context, error)
        os._exit(1)
    context.channel.send("born", str(pid), descriptors=(pidfd,))  # Closed: end, and so will the other process
    handover.began(pidfd)
    # From here on the table of descriptors is that process's: what it does not keep it closes.
    os.chdir("/")  # no file system stays busy because of us
    prctl.set_dumpable(False)
    context.trace = -1
    log.silence()  # the channel is that process's
    try:
        run(steps, context)
    except BaseException as error:
        handover.far.send("error", *init.encode(error))  # waits there until the process asks for something
