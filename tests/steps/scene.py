"""Steps carried out one by one, as the container's process would, in namespaces of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from pyoci import config
from pyoci.config.filesystem import Mount
from pyoci.kernel import mount as kernel
from pyoci.kernel import procfs
from pyoci.kernel.constants import MS_PRIVATE
from pyoci.steps.host import context as host
from pyoci.steps.init import context as init
from pyoci.steps.init.context import InitContext
from pyoci.steps.init.mounts import MountFilesystem
from pyoci.steps.init.rootfs import MountRoot
from pyoci.steps.step import Step
from pyoci.undo import Undo
from tests.isolation import CLONE_NEWNS, in_namespace

T = TypeVar("T")


def context() -> InitContext:
    """A context without a runtime at the other end of its channel."""
    made = InitContext(cast(Any, None))
    made.proc = procfs.open_private()
    return made


def at_root(
    rootfs: Path,
    body: Callable[[InitContext], T],
    flags: int = CLONE_NEWNS,
    prepare: Callable[[], object] | None = None,
) -> T:
    """Run `body` where the root file system is mounted and the root is not switched yet.

    `prepare` comes first, in the same namespaces: mounts of the "host". The umask is 0, as the launcher leaves it.
    """

    def inside() -> T:
        os.umask(0)
        if prepare is not None:
            prepare()
        made = context()
        MountRoot(path=str(rootfs), parent=MS_PRIVATE).execute(made)
        return body(made)

    return in_namespace(inside, flags)


def runtimes(made: InitContext) -> host.HostContext:
    """The context of a runtime that fills this one."""
    runtime = host.HostContext(cast(Any, None), Undo(), made)
    runtime.proc = made.proc
    return runtime


def carry_out(made: InitContext | host.HostContext, *steps: Step) -> None:
    """Errors come as those of a plan, with the step's name. Each step gets the context of its side."""
    for step in steps:
        if isinstance(step, host.HostStep):
            host.run((step,), made if isinstance(made, host.HostContext) else runtimes(made))
        else:
            assert isinstance(step, init.InitStep)
            init.run((step,), made.init if isinstance(made, host.HostContext) else made)


def mount(destination: str, type: str = "", source: str = "", options: str = "", **more: Any) -> Mount:
    """A mount as config.json gives it."""
    entry = {"destination": destination, "type": type, "source": source, **more}
    if options:
        entry["options"] = options.split(",")
    return config.read({"mounts": [entry]}).mounts[0]


def put(tree: int, place: Path) -> None:
    """Attach a detached mount and close it."""
    target = os.open(place, os.O_PATH)
    kernel.attach(tree, target)
    os.close(target)
    os.close(tree)


def filesystem(made: InitContext, wanted: Mount, **step: Any) -> None:
    """Mount it, as entry 0 of `mounts`."""
    carry_out(made, MountFilesystem(pointer="/mounts/0", mount=wanted, **step))
