"""linux.maskedPaths and linux.readonlyPaths: by descriptor, after the root switch (config-linux.md, same names)."""

from __future__ import annotations

import stat

from pyoci import os
from pyoci.errors import StepError
from pyoci.kernel import mount, path
from pyoci.kernel.constants import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MS_PRIVATE
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.rootfs import is_null
from pyoci.steps.init.targets import encode, name_in_root


def _find(context: InitContext, name: str) -> int | None:
    """Open what is to be hidden or frozen; None if there is nothing."""
    try:
        return path.open_in_root(context.root, encode(name))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_root(context: InitContext, target: int, status: os.stat_result) -> bool:
    """Whether this is the container's root itself: what is mounted over that, no process of the container sees.

    By name as well: the root file system may be mounted once more in another place.
    """
    return os.path.samestat(status, os.fstat(context.root)) and name_in_root(context, target) == "/"


class MaskPath(InitStep):
    """Hide a path: the container's /dev/null over a file, one empty read-only tmpfs over all directories.

    /dev/null must be the real device: over a link in its place, the mask would be a writable bind of whatever the link
    names (CVE-2025-31133). `label`: SELinux's, of the tmpfs.
    """

    path: str
    label: str = ""

    def describe(self) -> str:
        return f"mask {self.path}"

    def execute(self, context: InitContext) -> None:
        target = _find(context, self.path)
        if target is None:
            return
        try:
            status = os.fstat(target)
            if stat.S_ISDIR(status.st_mode):
                if _is_root(context, target, status):
                    raise self._root()
                self._cover_directory(context, target)
            else:
                self._cover_file(context, target)
        finally:
            os.close(target)

    def _cover_directory(self, context: InitContext, target: int) -> None:
        first = context.descriptors.get("mask")
        if first is None:
            attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
            label = (f"context={self.label}",) if self.label else ()
            tree = mount.new_filesystem("tmpfs", "tmpfs", ("nr_blocks=1", "nr_inodes=2", *label), ("ro",), attributes)
            context.descriptors["mask"] = tree
            mount.attach(tree, target)
            return
        tree = mount.clone_tree(first)
        mount.attach(tree, target)
        os.close(tree)

    def _cover_file(self, context: InitContext, target: int) -> None:
        try:
            null = path.open_in_root(context.root, b"/dev/null", os.O_PATH | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise self._no_null("does not exist") from None
        try:
            if not is_null(os.fstat(null)):
                raise self._no_null("is not the null device (char 1:3)")
            tree = mount.clone_tree(null)
            mount.set_attributes(tree, propagation=MS_PRIVATE)
            mount.attach(tree, target)
            os.close(tree)
        finally:
            os.close(null)

    def _root(self) -> StepError:
        return StepError(
            f"unable to mask {self.path}: it is the container's root",
            hint="a mount over the root hides nothing from the container",
        )

    def _no_null(self, why: str) -> StepError:
        return StepError(
            f"unable to mask {self.path}: /dev/null in the container {why}",
            hint="files are masked with the container's /dev/null; mount a tmpfs or the host's devices on /dev",
        )


class CloseMask(InitStep):
    """Close the descriptor of the shared tmpfs that masks directories."""

    pointer: str = "/linux/maskedPaths"

    def describe(self) -> str:
        return "close the mask"

    def execute(self, context: InitContext) -> None:
        descriptor = context.descriptors.pop("mask", None)
        if descriptor is not None:
            os.close(descriptor)


class MakePathReadOnly(InitStep):
    """Bind a path on itself, read-only; what is mounted below it stays as it is, as with runc.

    The root itself is changed in its place: a bind mount over it would leave the container in the one below.
    """

    path: str

    def describe(self) -> str:
        return f"make {self.path} read-only"

    def execute(self, context: InitContext) -> None:
        target = _find(context, self.path)
        if target is None:
            return
        try:
            if _is_root(context, target, os.fstat(target)):
                mount.set_attributes(context.root, set=MOUNT_ATTR_RDONLY)
                return
            tree = mount.clone_tree(target, recursive=True)
            mount.set_attributes(tree, set=MOUNT_ATTR_RDONLY)
            mount.attach(tree, target)
            os.close(tree)
        finally:
            os.close(target)
