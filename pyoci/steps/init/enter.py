"""exec: how a process comes into a container that exists.

Stage 1 does all of this, in the host's pid namespace, where the container cannot see it. Its child is the first process
that the container can see; by then nothing of the host is left but the channel.
"""

from __future__ import annotations

import fcntl
from errno import ESRCH

from pyoci import os
from pyoci.errors import StepError
from pyoci.kernel import prctl, process, procfs
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.launch import close_from
from pyoci.steps.init.namespaces import join_all

_OF_CHILDREN = {"pid": "pid_for_children"}  # what setns(2) changes


class LeaveSession(InitStep):
    """A session without the caller's terminal, before the container can see a process of it: one that may trace its
    child would type there (TIOCSTI). The child starts a session of its own, which may get a terminal."""

    def describe(self) -> str:
        return "leave the caller's session"

    def execute(self, context: InitContext) -> None:
        os.setsid()


class AdjustOomScore(InitStep):
    """Its own, before it hides: the files of a process that is not dumpable belong to root."""

    pointer: str = "/process/oomScoreAdj"
    value: int

    def describe(self) -> str:
        return f"set oom_score_adj to {self.value}"

    def execute(self, context: InitContext) -> None:
        procfs.write(context.descriptors["proc"], "self/oom_score_adj", str(self.value))


class EnterRoot(InitStep):
    """chroot(2), for a container without a mount namespace of its own, to the root that it was created with."""

    pointer: str = "/root/path"

    def describe(self) -> str:
        return "change the root to the container's"

    def execute(self, context: InitContext) -> None:
        os.fchdir(context.descriptors["root"])
        os.chroot(".")
        os.chdir("/")


class JoinContainer(InitStep):
    """setns(2) by the descriptors that the runtime has compared with what create recorded (container/identity.py).

    With the mount namespace the process gets that namespace's root directory. A pid namespace counts for children only.

    Afterwards the container's first process must still be there. If it is gone, what was read under its pid may have
    been another process's; and if the container had no namespace of its own, we would now be on the host, and nowhere
    else.
    """

    pointer: str = "/linux/namespaces"
    kinds: tuple[str, ...]  # names below /proc/PID/ns, and in the same order
    flags: tuple[int, ...]  # CLONE_NEW*
    inodes: tuple[tuple[int, int], ...]  # device and inode

    def describe(self) -> str:
        return f"join the container's namespaces: {', '.join(self.kinds)}"

    def execute(self, context: InitContext) -> None:
        join_all([(context.descriptors[f"ns/{kind}"], flag) for kind, flag in zip(self.kinds, self.flags, strict=True)])
        if process.has_ended(context.descriptors["container"]):
            raise StepError(
                "cannot exec in a stopped container",
                errno=ESRCH,
                hint="its first process has ended",
            )
        for kind, inode in zip(self.kinds, self.inodes, strict=True):
            now = os.stat(f"self/ns/{_OF_CHILDREN.get(kind, kind)}", dir_fd=context.proc)
            if (now.st_dev, now.st_ino) != inode:
                raise StepError(
                    f"joined another {kind} namespace than the container's",
                    hint=f"it is {now.st_ino}, and the container's is {inode[1]}",
                )
        os.chdir("/")


class SwitchProcfs(InitStep):
    """The runtime's own procfs: in it stage 1 is found as /proc/self, which the container's does not know."""

    def describe(self) -> str:
        return "use the runtime's procfs"

    def execute(self, context: InitContext) -> None:
        context.proc = context.descriptors["proc"]


class CloseHostDescriptors(InitStep):
    """Close everything but the preserved descriptors and the channel, which moves to the first number after them.

    And but what a helper shares that hands a seccomp listener over (steps/listener/)."""

    keep: int  # descriptors 0 to keep - 1 stay

    def describe(self) -> str:
        return f"close all descriptors from {self.keep} on"

    def execute(self, context: InitContext) -> None:
        copy = fcntl.fcntl(context.channel.fileno(), fcntl.F_DUPFD_CLOEXEC, self.keep + 1)
        os.dup2(copy, self.keep, inheritable=False)
        if context.handover is not None:
            context.handover.forget_helper()
        close_from(self.keep + 1, context)
        context.channel.adopt(self.keep)
        context.descriptors = {}
        context.tasks = ()
        context.proc = context.root = -1


class LoadFilterEarly(InitStep):
    """seccomp(2) by stage 1, as it allows all that follows: CAP_SYS_ADMIN, which that takes, is then given up.

    A container with CAP_SYS_PTRACE and no user namespace could make the process it sees use that capability. A listener
    goes to the runtime, which hands it over.
    """

    pointer: str = "/linux/seccomp"

    def describe(self) -> str:
        return "load the seccomp filter, which allows what is left to do"

    def execute(self, context: InitContext) -> None:
        assert context.filter is not None  # CompileFilter
        prepared, flags = context.filter
        listener = prepared.load(flags)
        if listener:
            context.channel.send("listener", descriptors=(listener,))
            os.close(listener)
        context.filtered = True


class ClearParentDeathSignal(InitStep):
    """From here on the process does not end with the runtime."""

    def describe(self) -> str:
        return "detach from the runtime"

    def execute(self, context: InitContext) -> None:
        prctl.set_parent_death_signal(0)
