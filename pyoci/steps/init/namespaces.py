"""Namespaces that are joined, made or entered by the container's process itself (config-linux.md, "Namespaces")."""

from __future__ import annotations

from errno import EAGAIN, ENOSPC, EPERM

from pyoci import os
from pyoci.config.namespaces import Namespace
from pyoci.kernel import namespace, prctl
from pyoci.kernel.constants import CLONE_NEWUSER, SIGKILL
from pyoci.kernel.network import loopback_up
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import failed


class JoinNamespace(InitStep):
    """setns(2)."""

    namespace: Namespace

    def describe(self) -> str:
        return f"join the {self.namespace.type} namespace {self.namespace.path}"

    def execute(self, context: InitContext) -> None:
        namespace.join(context.descriptors[self.pointer], self.namespace.flag)


class JoinNamespaces(InitStep):
    """Join several, the user namespace among them: which of them come before it depends on who owns them.

    First all but the user namespace, then that one, then those which were refused for lack of its privileges.
    """

    namespaces: tuple[Namespace, ...]

    def describe(self) -> str:
        return "join the " + ", ".join(f"{one.type} namespace {one.path}" for one in self.namespaces)

    def execute(self, context: InitContext) -> None:
        join_all([(context.descriptors[one.pointer], one.flag) for one in self.namespaces])


def join_all(namespaces: list[tuple[int, int]]) -> None:
    """setns(2) for each descriptor and CLONE_NEW*, in the order that JoinNamespaces describes. Raises OSError."""
    user = [one for one in namespaces if one[1] == CLONE_NEWUSER]
    refused = []
    for one in namespaces:
        if one in user:
            continue
        try:
            namespace.join(*one)
        except OSError as error:
            if error.errno != EPERM or not user:
                raise
            refused.append(one)
    for one in user + refused:
        namespace.join(*one)


class DropGroups(InitStep):
    """setgroups(2) to none, before the first namespace is joined: in a user namespace that denies setgroups the groups
    of whoever has called the runtime could not be dropped any more, and the program would have them."""

    pointer: str = "/linux/namespaces"

    def describe(self) -> str:
        return "drop the caller's groups"

    def execute(self, context: InitContext) -> None:
        if os.getgroups():
            os.setgroups([])


class SendIdentity(InitStep):
    """Give the runtime the namespaces, and without a mount namespace the root, that the container has now.

    By descriptor: an unprivileged runtime cannot look at a process that is hidden from it.
    """

    pointer: str = "/linux/namespaces"
    kinds: tuple[str, ...]
    root: bool

    def describe(self) -> str:
        return "show the runtime the container's " + ", ".join((*self.kinds, *(("root",) if self.root else ())))

    def execute(self, context: InitContext) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        files = [f"self/ns/{namespace.FILES.get(kind, kind)}" for kind in self.kinds]
        opened = [os.open(file, flags, dir_fd=context.proc) for file in files]
        names = list(self.kinds)
        if self.root:
            opened.append(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
            names.append("root")
        context.channel.send("identity", ",".join(names), descriptors=tuple(opened))
        for descriptor in opened:
            os.close(descriptor)


def why_refused(errno: int, flags: int) -> str:
    """A hint for clone3(2) and unshare(2) of new namespaces that fail with `errno`; user_namespaces(7)."""
    if errno == ENOSPC:
        return "a limit is reached, here or in a user namespace above: see /proc/sys/user/max_*_namespaces"
    if errno == EPERM and flags & CLONE_NEWUSER:
        return (
            "user namespaces are forbidden here: kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns, or the seccomp filter of a container around us"
        )
    if errno == EPERM and flags:
        return "new namespaces take CAP_SYS_ADMIN, or a new user namespace beside them"
    if errno == EAGAIN:
        return "there may be no more processes: see RLIMIT_NPROC, and pids.max of the cgroups"
    return ""


class Unshare(InitStep):
    """unshare(2) of one kind of namespace."""

    kind: str
    flag: int

    def describe(self) -> str:
        return f"make a new {self.kind} namespace"

    def execute(self, context: InitContext) -> None:
        try:
            namespace.unshare(self.flag)
        except OSError as error:
            raise failed(self, error, why_refused(error.errno or 0, self.flag)) from None


class BecomeRoot(InitStep):
    """Take the ids 0 of the user namespace. Until then we are whoever cloned us, perhaps an id without a mapping."""

    pointer: str = "/linux/uidMappings"
    drop_groups: bool = True

    def describe(self) -> str:
        return "become root of the user namespace"

    def execute(self, context: InitContext) -> None:
        if self.drop_groups:
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        # A change of ids clears both: the kernel makes the process dumpable as fs.suid_dumpable says.
        prctl.set_dumpable(False)
        prctl.set_parent_death_signal(SIGKILL)


class LoopbackUp(InitStep):
    """Bring up `lo` in a network namespace that is new."""

    def describe(self) -> str:
        return "bring up the loopback device"

    def execute(self, context: InitContext) -> None:
        loopback_up()
