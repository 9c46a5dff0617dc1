"""The mount of type "cgroup": the container's own cgroups, on v2 one filesystem, on v1 a tmpfs of controllers."""

from __future__ import annotations

from errno import EBUSY, ENOENT, EPERM

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.kernel import mount
from pyoci.kernel.constants import (
    AT_FDCWD,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_SLAVE,
)
from pyoci.steps.init import targets
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.mounts import set_propagation


class MountCgroup2(InitStep):
    """Mount cgroup2, or where that is not allowed bind what the container may see of the host's.

    `own` is the container's cgroup on the host, or "" when it keeps the host's cgroup namespace. Without a namespace of
    its own the host's mount is bound: a fresh mount from the initial cgroup namespace costs 5 to 30 ms on an idle host.
    """

    mount: Mount
    host: str  # where cgroup2 is mounted on the host
    own: str
    private: bool  # the container has a cgroup namespace
    label: str = ""  # SELinux's, of a tmpfs in its place

    def describe(self) -> str:
        return f"mount cgroup2 on {self.mount.destination}"

    def execute(self, context: InitContext) -> None:
        target, _ = targets.find(context, self.mount.destination, directory=True)
        try:
            tree = self._tree()
            mount.attach(tree, target)
        finally:
            os.close(target)
        set_propagation(tree, self.mount)
        os.close(tree)

    def _tree(self) -> int:
        wanted = self.mount
        if self.private:
            try:
                return mount.new_filesystem("cgroup2", "cgroup", wanted.data, (), wanted.attr_set)
            except OSError as error:
                if error.errno not in (EPERM, EBUSY):
                    raise
        return _bind(self.own if self.private and self.own else self.host, wanted, self.label)


def _bind(source: str, wanted: Mount, label: str) -> int:
    """A bind of a part of the host's cgroup tree with all attributes; an empty read-only tmpfs if it is gone."""
    try:
        tree = mount.clone_tree(AT_FDCWD, source.encode(), recursive=True)
    except OSError as error:
        if error.errno != ENOENT:
            raise
        return mount.new_filesystem(
            "tmpfs", "tmpfs", ("nr_inodes=2", *_context(label)), (), wanted.attr_set | MOUNT_ATTR_RDONLY
        )
    mount.set_attributes(tree, propagation=MS_SLAVE, recursive=True)
    mount.set_attributes(tree, wanted.attr_set, wanted.attr_clr)
    return tree


def _context(label: str) -> tuple[str, ...]:
    return (f"context={label}",) if label else ()


class MountCgroup1(InitStep):
    """A tmpfs with one mount per hierarchy, and links for controllers that share one (cpu -> cpu,cpuacct).

    `hierarchies`: name of the directory, options of the hierarchy, the container's cgroup on the host, the runtime's.
    The last is where the container's process is if it could not have one of its own (`optional`).
    """

    mount: Mount
    hierarchies: tuple[tuple[str, str, str, str], ...]
    links: tuple[tuple[str, str], ...]
    private: bool
    optional: bool = False
    label: str = ""  # SELinux's, of the tmpfs

    def describe(self) -> str:
        return f"mount {len(self.hierarchies)} cgroup hierarchies on {self.mount.destination}"

    def execute(self, context: InitContext) -> None:
        wanted = self.mount
        target, _ = targets.find(context, wanted.destination, directory=True)
        try:
            attributes = wanted.attr_set & ~MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
            tmpfs = mount.new_filesystem("tmpfs", "tmpfs", ("mode=755", *_context(self.label)), (), attributes)
            mount.attach(tmpfs, target)
        finally:
            os.close(target)
        without = self.optional and not context.has_cgroups
        for name, options, own, runtimes in self.hierarchies:
            os.mkdir(name, 0o755, dir_fd=tmpfs)
            inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=tmpfs)
            try:
                tree = self._tree(options, runtimes if without else own)
                mount.attach(tree, inner)
                os.close(tree)
            finally:
                os.close(inner)
        for name, hierarchy in self.links:
            os.symlink(hierarchy, name, dir_fd=tmpfs)
        if wanted.attr_set & MOUNT_ATTR_RDONLY:
            mount.set_attributes(tmpfs, set=MOUNT_ATTR_RDONLY)
        set_propagation(tmpfs, wanted)
        os.close(tmpfs)

    def _tree(self, options: str, own: str) -> int:
        wanted = self.mount
        if not self.private:
            return _bind(own, wanted, self.label)
        if not options:
            return mount.new_filesystem("cgroup2", "cgroup", (), (), wanted.attr_set)
        return mount.new_filesystem("cgroup", "cgroup", tuple(options.split(",")), (), wanted.attr_set)
