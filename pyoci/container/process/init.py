"""The container's process: from the clone to the program. It runs steps and nothing else, and never returns.

The decision: docs/decisions/forked-process.md.
"""

from __future__ import annotations

import sys
from errno import EACCES, EBUSY, ENODEV, EOPNOTSUPP

from pyoci import channel, os
from pyoci.container.state import WAITING_NAME
from pyoci.errors import CloneError, Error, os_error_text
from pyoci.kernel import prctl, process, signals
from pyoci.kernel.clone import clone
from pyoci.kernel.constants import CLONE_FILES, CLONE_PARENT, SIGHUP, SIGINT, SIGKILL, SIGTERM
from pyoci.log import log
from pyoci.steps.init import launch
from pyoci.steps.init.context import InitContext, InitStep, run
from pyoci.steps.init.namespaces import why_refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class _Kept:
    """What the import system was. Never freed: that would write to a hundred pages, which the container pays for."""

    former: tuple[object, ...] = ()


def seal_imports() -> None:
    """Close the import system: after the root switch every name on sys.path is the container's."""
    _Kept.former = (sys.meta_path, sys.path_hooks, sys.path_importer_cache, sys.path)
    sys.meta_path, sys.path_hooks, sys.path_importer_cache, sys.path = [], [], {}, []


def main(steps: tuple[InitStep, ...], context: InitContext) -> None:
    """Body of the container's process."""
    _guard("container", context, lambda: run(steps, context))


def stage_one(first: tuple[InitStep, ...], flags: int, steps: tuple[InitStep, ...], context: InitContext) -> None:
    """Body of stage 1: it joins and unshares, clones the container's process as the runtime's own child, and ends."""

    def body() -> None:
        run(first, context)
        handover = context.handover
        shared = CLONE_FILES if handover is not None else 0
        pid, pidfd = make(lambda: main(steps, context), flags | CLONE_PARENT | shared, plain=context.filtered)
        context.channel.send("stage2", str(pid), descriptors=(pidfd,))
        if handover is not None:
            handover.began(pidfd, stage_two=True)

    _guard("stage 1", context, body)


_OUTSIDE = (
    "a user's processes can only move within what was delegated to that user: start pyoci there, for example by "
    "`systemd-run --user --scope -p Delegate=yes`"
)


def make(body: Callable[[], object], flags: int, cgroup: int = -1, plain: bool = False) -> tuple[int, int]:
    """clone() of the container's process. Raises CloneError."""
    try:
        return clone(body, flags, cgroup, plain)
    except OSError as error:
        refused = cgroup >= 0 and error.errno == EACCES
        busy = cgroup >= 0 and error.errno in (EBUSY, ENODEV, EOPNOTSUPP)  # see cgroups(7): it takes no processes
        what = "error adding pid of the new process to cgroups" if busy else "clone the container's process"
        raise CloneError(
            f"{what}{' into its cgroup' if refused else ''}: {os_error_text(error)}",
            pointer="/linux/cgroupsPath" if refused or busy else "/linux/namespaces",
            call=f"clone3({flags:#x})",
            errno=error.errno or 0,
            hint=_OUTSIDE if refused else why_refused(error.errno or 0, flags & ~(CLONE_PARENT | CLONE_FILES)),
        ) from error


def _guard(side: str, context: InitContext, body: Callable[[], object]) -> None:
    try:
        log.side, log.relay = side, context.channel.send_debug
        seal_imports()
        prctl.set_parent_death_signal(SIGKILL)
        if context.handover is not None:
            context.handover.await_begin()
        _close_the_runtimes(context)
        prctl.set_name(WAITING_NAME)
        os.umask(0)  # modes of mount points and devices are meant as they are written; process.user.umask comes later
        signals.forget_wakeup()
        signals.handle((SIGTERM, SIGINT, SIGHUP), lambda number: os._exit(128 + number))
        body()
    except channel.Closed:
        os._exit(1)
    except BaseException as error:  # whatever it is, the runtime is told, and we end
        report(context, error)
        os._exit(1)


def _close_the_runtimes(context: InitContext) -> None:
    """Keep what the steps use. The rest is the runtime's: directories of the host, and its end of the channel, whose
    closing is how we notice its death."""
    kept = [*range(context.preserved), context.channel.fileno(), *context.trees.values(), *context.tasks]
    kept += context.descriptors.values()
    if context.handover is not None:
        kept += context.handover.descriptors()
    process.close_all_but(kept if context.trace < 0 else [*kept, context.trace])


def report(context: InitContext, error: BaseException) -> None:
    """Tell the runtime, or `start`, why this process ends."""
    fields = encode(error)
    try:
        if "start" in context.descriptors:
            launch.report_error(context, fields)
        else:
            context.channel.send("error", *fields)
    except (channel.Closed, OSError):
        pass


def encode(error: BaseException) -> tuple[str, ...]:
    """The fields of an error message."""
    if not isinstance(error, Error):
        error = Error(f"internal error in the container's process: {_trace(error)}")
    return channel.encode_error(error)


def _trace(error: BaseException) -> str:
    """Type, text and places of an error; never source lines, which would be read from the container's files."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {error} (at {', '.join(places[-4:])})"
