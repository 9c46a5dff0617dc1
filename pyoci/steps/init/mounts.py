"""`mounts`: new filesystems, made detached and moved onto descriptors, and changes (config.md, "Mounts")."""

from __future__ import annotations

import stat
from errno import EBUSY, ENODEV, EPERM

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.config.mount_options import split_data
from pyoci.errors import StepError
from pyoci.kernel import mount, path, textfile
from pyoci.kernel.constants import (
    AT_FDCWD,
    MOUNT_ATTR_RDONLY,
    MS_DIRSYNC,
    MS_LAZYTIME,
    MS_MANDLOCK,
    MS_RDONLY,
    MS_REC,
    MS_SLAVE,
    MS_SYNCHRONOUS,
)
from pyoci.near import did_you_mean
from pyoci.steps.init import attributes, targets
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import Step, failed

# Filesystems of the kernel itself: their "ro" is the mount's, not the superblock's.
VIRTUAL = frozenset(("tmpfs", "proc", "sysfs", "mqueue", "devpts", "cgroup", "cgroup2"))

# What mount(2) takes for the flags that fsconfig(2) takes by name.
_LEGACY_FLAGS = {"sync": MS_SYNCHRONOUS, "mand": MS_MANDLOCK, "dirsync": MS_DIRSYNC, "lazytime": MS_LAZYTIME}


def set_propagation(tree: int, wanted: Mount) -> None:
    """Apply the mount's own propagation options, in the order they were written, now that it is attached."""
    for flags in wanted.propagation:
        mount.set_attributes(tree, propagation=flags & ~MS_REC, recursive=bool(flags & MS_REC))


_NO_PROC = (
    "a new procfs takes a pid namespace that the container's user namespace owns, and a /proc outside of which nothing "
    "is covered (`grep ' /proc' /proc/self/mountinfo`); else bind that /proc"
)


class MountFilesystem(InitStep):
    """Mount a new filesystem. Read-only is left to a later step where the content is still to be made."""

    mount: Mount
    read_only_later: bool = False
    locked: bool = False  # in a container with a user namespace others may have locked attributes; this one has none

    def describe(self) -> str:
        return f"mount {self.mount.type} on {self.mount.destination}"

    def execute(self, context: InitContext) -> None:
        wanted = self.mount
        existed = True
        if wanted.type in ("proc", "sysfs"):
            target = targets.find_ordinary_directory(context, self, wanted.type, wanted.destination)
        else:
            target, existed = targets.find(context, wanted.destination, directory=True)
        try:
            targets.check(context, self, wanted.destination, target, wanted.type == "proc")
            self._mount(context, target, existed)
        finally:
            os.close(target)

    def _mount(self, context: InitContext, target: int, existed: bool) -> None:
        wanted = self.mount
        data = wanted.data
        if wanted.type == "tmpfs" and existed and not any(item.startswith("mode=") for item in data):
            data = (f"mode={stat.S_IMODE(os.fstat(target).st_mode):o}", *data)
        if any(len(item) > mount.FSCONFIG_MAX for item in data):
            tree = self._mount_long(context, target, data)
        else:
            tree = self._new(context, data)
            self.complete(context, tree)
            if existed:
                self.fill(context, tree, target)
            targets.attach(tree, target, wanted.destination)
        later = MOUNT_ATTR_RDONLY if self.read_only_later else 0
        if wanted.rec_attr_set & ~later or wanted.rec_attr_clr:
            mount.set_attributes(tree, wanted.rec_attr_set & ~later, wanted.rec_attr_clr, recursive=True)
        set_propagation(tree, wanted)
        if self.locked:
            context.locks[attributes.mount_id(attributes.View(context.proc, context.locks), tree)] = 0
        os.close(tree)

    def complete(self, context: InitContext, tree: int) -> None:
        """What the new file system needs beside its options: nothing."""

    def fill(self, context: InitContext, tree: int, target: int) -> None:
        """What goes into the new filesystem before it covers `target`: nothing."""

    def _attributes(self) -> int:
        return self.mount.attr_set & ~(MOUNT_ATTR_RDONLY if self.read_only_later else 0)

    def _new(self, context: InitContext, data: tuple[str, ...]) -> int:
        wanted = self.mount
        flags = wanted.super_flags
        if wanted.attr_set & MOUNT_ATTR_RDONLY and wanted.type not in VIRTUAL:
            flags = ("ro", *flags)
        try:
            return mount.new_filesystem(wanted.type, wanted.source or wanted.type, data, flags, self._attributes())
        except OSError as error:
            if wanted.type == "proc" and error.errno == EPERM:
                raise failed(self, error, _NO_PROC) from error
            if wanted.type != "sysfs" or error.errno not in (EPERM, EBUSY):
                raise refused(context, self, wanted, error) from error
        # A user namespace that does not own the network namespace gets no sysfs of its own: the host's, then, with
        # every attribute that was asked for. What is mounted below (cgroups above all) is nothing to write to.
        tree = mount.clone_tree(AT_FDCWD, b"/sys", recursive=True)
        mount.set_attributes(tree, propagation=MS_SLAVE, recursive=True)
        mount.set_attributes(tree, wanted.attr_set | MOUNT_ATTR_RDONLY, wanted.attr_clr, recursive=True)
        if not wanted.attr_set & MOUNT_ATTR_RDONLY:
            mount.set_attributes(tree, clear=MOUNT_ATTR_RDONLY)
        return tree

    def _mount_long(self, context: InitContext, target: int, data: tuple[str, ...]) -> int:
        """mount(2) through the private procfs: fsconfig(2) takes no string as long as overlay's lowerdir may be."""
        wanted = self.mount
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        try:
            os.fchdir(context.proc)
            flags = sum(_LEGACY_FLAGS[name] for name in wanted.super_flags)
            flags |= MS_RDONLY if wanted.attr_set & MOUNT_ATTR_RDONLY else 0
            source = wanted.source or wanted.type
            text = ",".join([_quoted(item) for item in data])
            mount.mount_long_data(wanted.type, source, f"self/fd/{target}".encode(), text, flags)
        finally:
            os.fchdir(here)
            os.close(here)
        found, _ = targets.find(context, wanted.destination, directory=True)  # what is on top now
        mount.set_attributes(found, self._attributes())
        return found


def _quoted(item: str) -> str:
    """SELinux contexts contain commas, for which mount(2) wants quotes; the file system's own options have none."""
    key, _, value = item.partition("=")
    return f'{key}="{value}"' if key.endswith("context") and value[:1] != '"' else item


def refused(context: InitContext, step: Step, wanted: Mount, error: OSError) -> StepError:
    """What the kernel says to the type or to an option of a file system, with the place in config.json."""
    failure = failed(step, error)
    if error.errno == ENODEV and error.filename == wanted.type:
        failure.pointer = f"{step.pointer}/type"
        failure.hint = ": ".join(filter(None, unknown(wanted.type, textfile.read("filesystems", context.proc))))
    for number, option in enumerate(wanted.options):
        if error.filename == option or error.filename in split_data(option):
            failure.pointer = f"{step.pointer}/options/{number}"
    return failure


def unknown(kind: str, filesystems: bytes) -> tuple[str, str]:
    """Why the kernel may not know a file system, and what to do; `filesystems`: /proc/filesystems has those it does.

    ("", "") if it stands there; of those with a subtype the kernel reads fuse's, as "fuse.sshfs".
    """
    known = [os.fsdecode(line.rpartition(b"\t")[2]) for line in textfile.lines(filesystems)]
    base, _, subtype = kind.partition(".")
    if kind in known or (subtype and base in known and base in ("fuse", "fuseblk")):
        return "", ""
    hint = did_you_mean(kind, known) or "its module may have to be loaded"
    return f"/proc/filesystems has no {kind!r}", hint


class ChangeMount(InitStep):
    """Change what is mounted already (option "remount"): its attributes, and of the file system what is named."""

    mount: Mount
    locked: bool = False  # in a container with a user namespace: what that would keep from being changed stays

    def describe(self) -> str:
        return f"change the mount on {self.mount.destination}"

    def execute(self, context: InitContext) -> None:
        wanted = self.mount
        target = path.open_in_root(context.root, targets.encode(wanted.destination))
        try:
            if not wanted.bind and (wanted.data or wanted.super_flags):
                try:
                    mount.reconfigure(target, wanted.data, wanted.super_flags)
                except OSError as error:
                    raise refused(context, self, wanted, error) from error
            view = attributes.View(context.proc, context.locks)
            held = attributes.locks_of(view, target) if self.locked else 0
            attributes.change(view, self, target, wanted, target, held)
            set_propagation(target, wanted)
        finally:
            os.close(target)
