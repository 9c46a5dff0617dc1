"""The container's root: propagation, the root mount, the switch to it, and what is made read-only at the end."""

from __future__ import annotations

import stat
from errno import EACCES

from pyoci import os
from pyoci.kernel import mount, mountinfo, path, textfile
from pyoci.kernel.constants import AT_FDCWD, MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_REC, MS_SLAVE, RESOLVE_NO_SYMLINKS
from pyoci.kernel.procfs import open_private
from pyoci.steps.init.context import InitContext, InitStep

_O_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def propagation_name(flags: int) -> str:
    """The word of config.json for MS_* flags: "rprivate", "shared", ..."""
    kinds = {1 << 17: "unbindable", MS_PRIVATE: "private", MS_SLAVE: "slave", 1 << 20: "shared"}
    return ("r" if flags & MS_REC else "") + kinds.get(flags & ~MS_REC, str(flags))


class OpenProc(InitStep):
    """Open a procfs that nobody else can reach or mount over (CVE-2019-16884, CVE-2025-52881)."""

    def describe(self) -> str:
        return "open a private procfs"

    def execute(self, context: InitContext) -> None:
        context.proc = open_private()
        # While it waits for `start` the process keeps one that shows processes only: no /proc/sys without masks.
        context.descriptors["proc"] = open_private("subset=pid")


class SetRootPropagation(InitStep):
    """Cut the new mount namespace off: what is mounted in it must not appear on the host."""

    pointer: str = "/linux/rootfsPropagation"
    propagation: int  # MS_*, with MS_REC

    def describe(self) -> str:
        return f"make / {propagation_name(self.propagation)}"

    def execute(self, context: InitContext) -> None:
        root = os.open("/", _O_DIRECTORY)
        try:
            kind = self.propagation & ~MS_REC
            mount.set_attributes(root, propagation=kind, recursive=bool(self.propagation & MS_REC))
        finally:
            os.close(root)


class MountRoot(InitStep):
    """Make the rootfs a mount of its own, at its own place, where hooks of the runtime's side look for it."""

    pointer: str = "/root/path"
    path: str
    parent: int  # propagation of the mount that holds the rootfs: MS_PRIVATE, or MS_SLAVE to let host mounts in

    def describe(self) -> str:
        return f"mount the root file system {self.path}"

    def execute(self, context: InitContext) -> None:
        target = open_rootfs(self.path)
        try:
            tree = mount.clone_tree(target, recursive=True)
            # The new root's parent must not be shared, else pivot_root(2) fails; and a private copy of a slave
            # would still receive what is mounted on the host below the rootfs.
            mount.set_attributes(tree, propagation=self.parent)
            mount.attach(tree, target)
        finally:
            os.close(target)
        context.root = tree


class OpenRoot(InitStep):
    """Open the rootfs of a container without a mount namespace of its own."""

    pointer: str = "/root/path"
    path: str

    def describe(self) -> str:
        return f"open the root file system {self.path}"

    def execute(self, context: InitContext) -> None:
        context.root = open_rootfs(self.path)


def open_rootfs(name: str) -> int:
    """By its name without links, which was looked up when the plan was made: whoever may change a directory above it
    shall not lead us elsewhere since. Raises OSError (ELOOP).
    """
    flags, resolve = os.O_PATH | os.O_DIRECTORY, RESOLVE_NO_SYMLINKS
    return path.openat2(AT_FDCWD, name.encode("utf-8", "surrogateescape"), flags, resolve)


class PivotRoot(InitStep):
    """Switch to the container's root and drop the host's, by descriptor."""

    pointer: str = "/root/path"

    def describe(self) -> str:
        return "switch to the container's root"

    def execute(self, context: InitContext) -> None:
        old = os.open("/", _O_DIRECTORY)
        try:
            os.fchdir(context.root)
            mount.pivot_root_here()
            os.fchdir(old)
            # Slave, not private: unmounting a private copy would still be seen by the peers it had before.
            mount.set_attributes(old, propagation=MS_SLAVE, recursive=True)
            mount.unmount(b".")
        finally:
            os.close(old)
        os.chdir("/")
        _reopen(context)


class MoveRoot(InitStep):
    """The same without pivot_root(2), for a root on the initramfs (--no-pivot).

    Every procfs and sysfs outside the new root is unmounted or covered first: one that stays fully visible would let
    a nested user namespace mount a fresh one without the masks.
    """

    pointer: str = "/root/path"
    path: str

    def describe(self) -> str:
        return "move the container's root over /"

    def execute(self, context: InitContext) -> None:
        inside = self.path + "/"
        for one in reversed(mountinfo.mounts(textfile.read("self/mountinfo", context.proc))):
            point = mountinfo.unescape(one.point)
            if one.kind in ("proc", "sysfs") and not (point + "/").startswith(inside):
                _cover(os.fsencode(point))
        os.fchdir(context.root)
        mount.move_here_to_root()
        os.chroot(".")
        os.chdir("/")
        _reopen(context)


def _cover(point: bytes) -> None:
    try:
        mount.unmount(point)
    except OSError:  # EINVAL: locked together with others, in a user namespace
        target = os.open(point, _O_DIRECTORY)
        cover = mount.new_filesystem("tmpfs", attributes=MOUNT_ATTR_RDONLY)
        mount.attach(cover, target)
        os.close(cover)
        os.close(target)


class ChangeRoot(InitStep):
    """chroot(2): all that is left for a container without a mount namespace of its own."""

    pointer: str = "/root/path"

    def describe(self) -> str:
        return "change root to the container's root"

    def execute(self, context: InitContext) -> None:
        os.fchdir(context.root)
        os.chroot(".")
        os.chdir("/")
        _reopen(context)


def _reopen(context: InitContext) -> None:
    os.close(context.root)
    context.root = os.open("/", _O_DIRECTORY)


class SetFinalPropagation(InitStep):
    """Apply linux.rootfsPropagation to the container's root, after the switch: earlier it would act on the host."""

    pointer: str = "/linux/rootfsPropagation"
    propagation: int

    def describe(self) -> str:
        return f"make the container's root {propagation_name(self.propagation)}"

    def execute(self, context: InitContext) -> None:
        kind = self.propagation & ~MS_REC
        mount.set_attributes(context.root, propagation=kind, recursive=bool(self.propagation & MS_REC))


class MakeReadOnly(InitStep):
    """Make a mount read-only once its content has been made: the root, a tmpfs, /dev."""

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def execute(self, context: InitContext) -> None:
        target = path.open_in_root(context.root, self.path.encode("utf-8", "surrogateescape"))
        try:
            mount.set_attributes(target, set=MOUNT_ATTR_RDONLY)
        finally:
            os.close(target)


class MakeWorkingDirectory(InitStep):
    """Make process.cwd if it is missing, owned by root, before the root becomes read-only."""

    pointer: str = "/process/cwd"
    path: str

    def describe(self) -> str:
        return f"make the working directory {self.path}"

    def execute(self, context: InitContext) -> None:
        try:
            os.close(path.ensure(context.root, self.path.encode("utf-8", "surrogateescape"), directory=True))
        except OSError as error:
            # Named by what chdir(2) will say, in the identity that counts: perhaps only root cannot get there.
            if error.errno != EACCES:
                raise


class ReopenStandardStreams(InitStep):
    """A standard stream that is the host's /dev/null becomes the container's, if the container has a real one.

    Only a character device 1:3 will do: an image may put a link, a FIFO or a file in its place (CVE-2026-88265).
    """

    def describe(self) -> str:
        return "reopen standard streams that are /dev/null"

    def execute(self, context: InitContext) -> None:
        streams = [number for number in range(3) if is_null(os.fstat(number))]
        if not streams:
            return
        try:
            found = path.open_in_root(context.root, b"/dev/null", os.O_PATH | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            if not is_null(os.fstat(found)):
                return
            for number in streams:
                fresh = os.open(f"self/fd/{found}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=context.proc)
                os.set_blocking(fresh, True)
                os.dup2(fresh, number, inheritable=True)
                os.close(fresh)
        finally:
            os.close(found)


def is_null(status: os.stat_result) -> bool:
    """Whether this is the null device: st_rdev alone is 0 for files and pipes, and must not decide."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
