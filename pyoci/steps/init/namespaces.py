"""Namespaces that are joined, made or entered by the container's process itself (config-linux.md, "Namespaces")."""

from __future__ import annotations

from errno import EAGAIN, EINVAL, ENOENT, ENOSPC, ENOTDIR, EPERM

from pyoci import os
from pyoci.config.linux import Sysctl, sysctl_name
from pyoci.config.namespaces import FLAGS, Namespace
from pyoci.errors import StepError
from pyoci.kernel import namespace, prctl
from pyoci.kernel.constants import CLONE_NEWUSER, SIGKILL
from pyoci.kernel.network import loopback_up
from pyoci.steps.step import Context, Step, failed

_FILES = {"network": "net", "mount": "mnt"}  # below /proc/PID/ns, where the name is another one


class OpenNamespace(Step):
    """Open a namespace that will be joined, on the host, before anything can change under its name.

    `sysctl` is one of the kernel parameters that will be set in it: in a namespace of the runtime's own that would
    change the host.
    """

    namespace: Namespace
    sysctl: Sysctl | None = None

    def describe(self) -> str:
        return f"open the {self.namespace.type} namespace {self.namespace.path}"

    def execute(self, context: Context) -> None:
        # Whatever is there: a FIFO must not stop us, nor a terminal become ours. What is no namespace cannot be joined.
        try:
            descriptor = os.open(self.namespace.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            failure = failed(self, error, self._hint() if error.errno in (ENOENT, ENOTDIR) else "")
            failure.pointer += "/path"
            raise failure from None
        context.undo.add(os.close, descriptor)
        context.descriptors[self.pointer] = descriptor
        found = namespace.kind(descriptor)
        if found != self.namespace.flag:
            raise self._other(found)
        if self.sysctl is not None:
            own = os.stat(f"self/ns/{_FILES.get(self.namespace.type, self.namespace.type)}", dir_fd=context.proc)
            if os.path.samestat(own, os.fstat(descriptor)):
                raise self._hosts(self.sysctl)

    def _other(self, flag: int) -> StepError:
        """It is of another type, or no namespace at all."""
        kind = next((name for name, one in FLAGS.items() if one == flag), "")
        return StepError(
            f"{self.describe()}: it is {f'a {kind} namespace' if kind else 'no namespace'}: invalid argument",
            pointer=f"{self.pointer}/path",
            step=type(self).__name__,
            errno=EINVAL,
            hint=self._hint(),
        )

    def _hint(self) -> str:
        type = self.namespace.type
        file = _FILES.get(type, type)
        return f"a {type} namespace is a file like /proc/PID/ns/{file}, or one that such a file is bound on"

    def _hosts(self, sysctl: Sysctl) -> StepError:
        return StepError(
            f'sysctl "{sysctl_name(sysctl.key)}" not allowed in host {self.namespace.type} namespace',
            pointer=sysctl.pointer,
            step=type(self).__name__,
            hint=f"{self.namespace.path} is the namespace that pyoci itself is in",
        )


class JoinNamespace(Step):
    """setns(2)."""

    namespace: Namespace

    def describe(self) -> str:
        return f"join the {self.namespace.type} namespace {self.namespace.path}"

    def execute(self, context: Context) -> None:
        namespace.join(context.descriptors[self.pointer], self.namespace.flag)


class JoinNamespaces(Step):
    """Join several, the user namespace among them: which of them come before it depends on who owns them.

    First all but the user namespace, then that one, then those which were refused for lack of its privileges.
    """

    namespaces: tuple[Namespace, ...]

    def describe(self) -> str:
        return "join the " + ", ".join(f"{one.type} namespace {one.path}" for one in self.namespaces)

    def execute(self, context: Context) -> None:
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


class DropGroups(Step):
    """setgroups(2) to none, before the first namespace is joined: in a user namespace that denies setgroups the groups
    of whoever has called the runtime could not be dropped any more, and the program would have them."""

    pointer: str = "/linux/namespaces"

    def describe(self) -> str:
        return "drop the caller's groups"

    def execute(self, context: Context) -> None:
        if os.getgroups():
            os.setgroups([])


class SendIdentity(Step):
    """Give the runtime the namespaces, and without a mount namespace the root, that the container has now.

    By descriptor: an unprivileged runtime cannot look at a process that is hidden from it.
    """

    pointer: str = "/linux/namespaces"
    kinds: tuple[str, ...]
    root: bool

    def describe(self) -> str:
        return "show the runtime the container's " + ", ".join((*self.kinds, *(("root",) if self.root else ())))

    def execute(self, context: Context) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        opened = [os.open(f"self/ns/{_FILES.get(kind, kind)}", flags, dir_fd=context.proc) for kind in self.kinds]
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


class Unshare(Step):
    """unshare(2) of one kind of namespace."""

    kind: str
    flag: int

    def describe(self) -> str:
        return f"make a new {self.kind} namespace"

    def execute(self, context: Context) -> None:
        try:
            namespace.unshare(self.flag)
        except OSError as error:
            raise failed(self, error, why_refused(error.errno or 0, self.flag)) from None


class BecomeRoot(Step):
    """Take the ids 0 of the user namespace. Until then we are whoever cloned us, perhaps an id without a mapping."""

    pointer: str = "/linux/uidMappings"
    drop_groups: bool = True

    def describe(self) -> str:
        return "become root of the user namespace"

    def execute(self, context: Context) -> None:
        if self.drop_groups:
            os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        # A change of ids clears both: the kernel makes the process dumpable as fs.suid_dumpable says.
        prctl.set_dumpable(False)
        prctl.set_parent_death_signal(SIGKILL)


class LoopbackUp(Step):
    """Bring up `lo` in a network namespace that is new."""

    def describe(self) -> str:
        return "bring up the loopback device"

    def execute(self, context: Context) -> None:
        loopback_up()
