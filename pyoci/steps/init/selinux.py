"""process.selinuxLabel and linux.mountLabel: the labels of the program, of its keyring, of mounts without extended
attributes (config.md, "Process"; config-linux.md, "Mount Label")."""

from __future__ import annotations

from errno import EINVAL

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.errors import StepError, os_error_text
from pyoci.kernel import procfs, textfile
from pyoci.kernel.constants import SELINUX_MAGIC
from pyoci.kernel.path import filesystem_type
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.mounts import MountFilesystem

PLACE = "/sys/fs/selinux"
# Without a context= of their own: each file of proc and sysfs has its label from the policy, mqueue takes an attribute.
UNLABELLED = ("proc", "sysfs", "mqueue")
_CONTEXTS = ("context=", "fscontext=", "defcontext=", "rootcontext=")


def labelled(mount: Mount, label: str) -> Mount:
    """The mount of a new file system with the label, unless it names one itself or its type takes none."""
    if not label or mount.type in UNLABELLED or any(item.startswith(_CONTEXTS) for item in mount.data):
        return mount
    return mount.replace(data=(*mount.data, f"context={label}"))


def enabled(proc: int) -> bool:
    """As libselinux tells: its file system is mounted, and a policy is loaded (until then all is "kernel")."""
    try:
        place = os.open(PLACE, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if filesystem_type(place) != SELINUX_MAGIC:
            return False
    finally:
        os.close(place)
    return current(proc) not in ("", "kernel")


def current(proc: int) -> str:
    """The label of this process, "" if no security module has one."""
    label = textfile.read_if_there("self/attr/current", proc)  # EINVAL: there is no such security module
    return os.fsdecode(label.rstrip(b"\0\n"))


class _WriteLabel(InitStep):
    pointer: str = "/process/selinuxLabel"
    label: str

    def _write(self, context: InitContext, name: str, what: str) -> None:
        try:
            procfs.write(context.proc, name, self.label)
        except OSError as error:
            hint = "the policy does not know this label, or does not allow it to the runtime; see the audit log"
            raise StepError(
                f"can't set {what} label: {os_error_text(error)}",
                call=f'write({name}, "{self.label}")',
                errno=error.errno or EINVAL,
                hint=hint,
            ) from None


class SetKeyringLabel(_WriteLabel):
    """Keys that are made from here on have the program's label; a kernel without keyrings has no such file."""

    def describe(self) -> str:
        return f"label new keys {self.label}"

    def execute(self, context: InitContext) -> None:
        try:
            os.stat("self/attr/keycreate", dir_fd=context.proc)
        except FileNotFoundError:
            return
        self._write(context, "self/attr/keycreate", "key")


class SetProcessLabel(_WriteLabel):
    """The program's label, which execve(2) gives it."""

    def describe(self) -> str:
        return f"label the program {self.label}"

    def execute(self, context: InitContext) -> None:
        self._write(context, "self/attr/exec", "process")


class MountLabelledQueue(MountFilesystem):
    """An mqueue, whose root directory gets the label as an extended attribute."""

    label: str

    def describe(self) -> str:
        return f"{super().describe()}, labelled {self.label}"

    def complete(self, context: InitContext, tree: int) -> None:
        """Label the root of the detached mount, before anybody can see it."""
        root = os.open(f"self/fd/{tree}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=context.proc)
        try:
            os.setxattr(root, "security.selinux", self.label.encode())
        finally:
            os.close(root)
