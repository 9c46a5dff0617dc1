"""Namespaces that will be joined, opened by the runtime (config-linux.md, "Namespaces")."""

from __future__ import annotations

from errno import EINVAL, ENOENT, ENOTDIR

from pyoci import os
from pyoci.config.linux import Sysctl, sysctl_name
from pyoci.config.namespaces import FLAGS, Namespace
from pyoci.errors import StepError
from pyoci.kernel import namespace
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.step import failed


class OpenNamespace(HostStep):
    """Open a namespace that will be joined, on the host, before anything can change under its name.

    `sysctl` is one of the kernel parameters that will be set in it: in a namespace of the runtime's own that would
    change the host.
    """

    namespace: Namespace
    sysctl: Sysctl | None = None

    def describe(self) -> str:
        return f"open the {self.namespace.type} namespace {self.namespace.path}"

    def execute(self, context: HostContext) -> None:
        # Whatever is there: a FIFO must not stop us, nor a terminal become ours. What is no namespace cannot be joined.
        try:
            descriptor = os.open(self.namespace.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            failure = failed(self, error, self._hint() if error.errno in (ENOENT, ENOTDIR) else "")
            failure.pointer += "/path"
            raise failure from None
        context.undo.add(os.close, descriptor)
        context.init.descriptors[self.pointer] = descriptor
        found = namespace.kind(descriptor)
        if found != self.namespace.flag:
            raise self._other(found)
        if self.sysctl is not None:
            type = self.namespace.type
            own = os.stat(f"self/ns/{namespace.FILES.get(type, type)}", dir_fd=context.proc)
            if os.path.samestat(own, os.fstat(descriptor)):
                raise self._hosts(self.sysctl)

    def _other(self, flag: int) -> StepError:
        """It is of another type, or no namespace at all."""
        kind = next((name for name, one in FLAGS.items() if one == flag), "")
        return StepError(
            f"{self.describe()}: it is {f'a {kind} namespace' if kind else 'no namespace'}: invalid argument",
            pointer=f"{self.pointer}/path",
            errno=EINVAL,
            hint=self._hint(),
        )

    def _hint(self) -> str:
        type = self.namespace.type
        file = namespace.FILES.get(type, type)
        return f"a {type} namespace is a file like /proc/PID/ns/{file}, or one that such a file is bound on"

    def _hosts(self, sysctl: Sysctl) -> StepError:
        return StepError(
            f'sysctl "{sysctl_name(sysctl.key)}" not allowed in host {self.namespace.type} namespace',
            pointer=sysctl.pointer,
            hint=f"{self.namespace.path} is the namespace that pyoci itself is in",
        )
