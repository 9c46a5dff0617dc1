"""Device nodes, /dev's links, ptmx (config-linux.md, "Default Devices", "Devices").

Everything is made below one descriptor of the directory it belongs into, which openat2(2) found inside the root: an
image may have a link in place of /dev (CVE-2026-41579, CVE-2026-47766).
"""

from __future__ import annotations

import stat
from errno import EEXIST, ENODEV, EPERM

from pyoci import os
from pyoci.config.linux import Device
from pyoci.errors import StepError
from pyoci.kernel import mount, path
from pyoci.kernel.constants import AT_FDCWD, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.targets import encode
from pyoci.steps.step import failed

LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
)

_KINDS = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_O_LINK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def parent(context: InitContext, name: str) -> tuple[int, bytes]:
    """Open the directory of `name` below the root, made if missing, and the last component."""
    directory, _, last = encode(name).rpartition(b"/")
    return path.ensure(context.root, directory or b"/", directory=True), last


class MakeDevice(InitStep):
    """A device node, or where nodes may not be made (a user namespace) a bind mount of the host's."""

    device: Device
    bind: bool = False

    def describe(self) -> str:
        one = self.device
        return f"make device {one.path} ({one.type} {one.major}:{one.minor})"

    def execute(self, context: InitContext) -> None:
        directory, name = parent(context, self.device.path)
        try:
            if self.bind:
                self._bind(directory, name)
            else:
                self._make(context, directory, name)
        finally:
            os.close(directory)

    def _make(self, context: InitContext, directory: int, name: bytes) -> None:
        one = self.device
        number = os.makedev(one.major, one.minor)
        try:
            os.mknod(name, _KINDS[one.type] | one.mode, number, dir_fd=directory)
        except OSError as error:
            if error.errno == EEXIST:
                return  # the image's own, or another entry's: as runc, left as it is
            if error.errno == EPERM:
                self._bind(directory, name)
                return
            raise
        made = os.open(name, _O_LINK, dir_fd=directory)
        try:
            status = os.fstat(made)
            if stat.S_IFMT(status.st_mode) != _KINDS[one.type] or (one.type != "p" and status.st_rdev != number):
                raise OSError(EEXIST, "somebody else made something else in its place", one.path)
            # Through the descriptor's entry in the private procfs: the name could be swapped meanwhile.
            owner = (one.uid or 0, one.gid or 0)
            if (status.st_uid, status.st_gid) != owner:
                os.chown(f"self/fd/{made}", *owner, dir_fd=context.proc)
                status = os.fstat(made)  # which may have cleared bits of the mode
            if stat.S_IMODE(status.st_mode) != one.mode:
                os.chmod(f"self/fd/{made}", one.mode, dir_fd=context.proc)
        finally:
            os.close(made)

    def _bind(self, directory: int, name: bytes) -> None:
        tree = self._of_the_host()
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
            try:
                os.close(os.open(name, flags, 0o644, dir_fd=directory))
            except FileExistsError:
                pass
            target = os.open(name, _O_LINK, dir_fd=directory)
            try:
                mount.set_attributes(tree, set=MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
                mount.attach(tree, target)
            finally:
                os.close(target)
        finally:
            os.close(tree)

    def _of_the_host(self) -> int:
        """A detached mount of the host's node of this name, which has to be the device that is meant."""
        one = self.device
        try:
            tree = mount.clone_tree(AT_FDCWD, one.path.encode("utf-8", "surrogateescape"))
        except FileNotFoundError as error:
            hint = "no node can be made in a user namespace: the host's of the same name is bound, and there is none"
            raise failed(self, error, hint) from None
        status = os.fstat(tree)
        kind, major, minor = stat.S_IFMT(status.st_mode), os.major(status.st_rdev), os.minor(status.st_rdev)
        if (kind, major, minor) == (_KINDS[one.type], one.major, one.minor):
            return tree
        os.close(tree)
        letter = {number: letter for letter, number in _KINDS.items()}.get(kind, "")
        raise StepError(
            f"{self.describe()}: the host's {one.path} is "
            + (f"the device {letter} {major}:{minor}" if letter else "no device"),
            errno=ENODEV,
            hint="no node can be made in a user namespace, where the host's of the same name is bound; "
            "bind the right one in `mounts`",
        )


class MakeLink(InitStep):
    """A symbolic link; one that exists already is left alone."""

    path: str
    target: str
    overwrite: bool = False

    def describe(self) -> str:
        return f"link {self.path} to {self.target}"

    def execute(self, context: InitContext) -> None:
        directory, name = parent(context, self.path)
        try:
            if self.overwrite:
                try:
                    os.unlink(name, dir_fd=directory)
                except FileNotFoundError:
                    pass
            try:
                os.symlink(self.target, name, dir_fd=directory)
            except FileExistsError:
                pass
        finally:
            os.close(directory)
