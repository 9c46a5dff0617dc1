"""Bind mounts: the source is opened and copied first, with its attributes, and then put onto its destination.

Sources of the host are opened before the container's process exists. Those that lie below the container's root file
system are opened when it is their turn, because an earlier entry of `mounts` may have put them there; by then they are
names that an image has made, and lead nowhere but below that root.
"""

from __future__ import annotations

import stat
from errno import EINVAL, ESTALE, EXDEV

from pyoci import os, pathname
from pyoci.config.filesystem import Mount
from pyoci.errors import Error, StepError, os_error_text, system_call
from pyoci.kernel import mount, path
from pyoci.kernel.constants import MS_SLAVE
from pyoci.kernel.procfs import root_is_procfs
from pyoci.steps.init import attributes, targets
from pyoci.steps.init.mounts import set_propagation
from pyoci.steps.step import Context, Step, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.channel import Message


class OpenSource(Step):
    """Open the source of a bind mount as a detached copy, with its attributes set.

    A source that turns out to lead below the container's root file system is left to BindMount.
    """

    mount: Mount
    source: str
    rootfs: str = ""  # the root file system's name without links
    propagation: int = MS_SLAVE  # of the whole copy; 0: as it is
    locked: bool = False  # what a container with a user namespace may not change stays as it is on the host

    def describe(self) -> str:
        return f"open {self.source} for {self.mount.destination}"

    def execute(self, context: Context) -> None:
        place = self._open(context)
        if place < 0:
            return
        try:
            tree = copy(context, self, place, self.propagation, self.locked)
        finally:
            os.close(place)
        context.trees[self.mount.pointer] = tree

    def _open(self, context: Context) -> int:
        """A descriptor of the source, or -1 if it is for BindMount to open."""
        try:
            place = mount.open_place(self.source.encode("utf-8", "surrogateescape"))
        except FileNotFoundError as error:
            found = through_root(self.source, self.rootfs)
            if found is None:
                error.add_note(f"the source of a bind mount has to be on this host: {_missing(self.source)}")
                raise
        else:
            if os.readlink(f"self/fd/{place}", dir_fd=context.proc) == pathname.absolute(self.source):
                return place  # no link on the way
            found = through_root(self.source, self.rootfs)
            if found is None:
                return place
            os.close(place)
        directory, name = found
        if directory == self.rootfs:
            context.inside[self.mount.pointer] = name
            return -1
        # The same directory, mounted a second time: nothing of the container's comes there, but links of the image do.
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not os.path.samestat(os.fstat(root), os.stat(self.rootfs)):
                raise OSError(ESTALE, "was replaced while it was looked at", directory)
            return path.open_in_root(root, targets.encode(name))
        finally:
            os.close(root)


def _missing(source: str) -> str:
    """What of the source is not there: the first directory of the way, or what a link at its end leads to."""
    path = ""
    for part in source.split("/"):
        path += part
        if path and not os.path.lexists(path):
            return f"there is no {path}"
        path += "/"
    return f"{source} is a link to what is not there"


def through_root(source: str, rootfs: str) -> tuple[str, str] | None:
    """Where `source`, by links of the host, comes to the directory `rootfs`: its name there, and the rest of the way.

    None if it does not, or leaves it at once by "..". Names of the image are not looked at: OSError (EXDEV) for a way
    that takes some of them before it leaves.
    """
    if not rootfs:
        return None
    root = os.stat(rootfs)
    pending = [part for part in source.split("/") if part not in ("", ".")][::-1]
    here = ""
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        here = f"{here}/{part}"
        try:
            status = os.lstat(here)
        except OSError:
            return None
        if os.path.samestat(status, root):
            if not _climbs(pending):
                return here, "/" + "/".join(reversed(pending))
            if pending[-1] != "..":
                raise OSError(EXDEV, "leads into the container's root file system and out of it again", source)
        if not stat.S_ISLNK(status.st_mode):
            continue
        links += 1
        if links > path.MAX_LINKS or here.startswith("/proc/"):  # links of procfs lead where their text does not say
            return None
        target = os.readlink(here)
        here = "" if target.startswith("/") else here.rpartition("/")[0]
        pending += [part for part in target.split("/") if part not in ("", ".")][::-1]
    return None


def _climbs(pending: list[str]) -> bool:
    """Whether these parts, the first one last, lead above where they begin."""
    depth = 0
    for part in reversed(pending):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


class BindMount(Step):
    """Put a source onto its destination: one that is open already, or one of the container's own file system."""

    mount: Mount
    inside: str = ""  # the source's name below the container's root
    propagation: int = MS_SLAVE  # these two are for such a source; see OpenSource
    locked: bool = False

    def describe(self) -> str:
        return f"bind {self.mount.source} on {self.mount.destination}"

    def execute(self, context: Context) -> None:
        tree = self._tree(context)
        directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        target, _ = targets.find(context, self.mount.destination, directory)
        try:
            targets.check(context, self, self.mount.destination, target, root_is_procfs(tree))
            targets.attach(tree, target, self.mount.destination)
        finally:
            os.close(target)
        set_propagation(tree, self.mount)
        os.close(tree)

    def _tree(self, context: Context) -> int:
        pointer = self.mount.pointer
        inside = self.inside or context.inside.pop(pointer, "")
        if not inside:
            return context.trees.pop(pointer)
        try:
            place = path.open_in_root(context.root, targets.encode(inside))
        except OSError as error:
            error.filename = self.mount.source
            failure = failed(
                self,
                error,
                f"it was looked for as {inside} of the container's root file system, whose links lead nowhere else, "
                "once the entries of `mounts` before it were there",
            )
            failure.pointer = f"{pointer}/source"
            raise failure from None
        try:
            return copy(context, self, place, self.propagation, self.locked)
        finally:
            os.close(place)


def copy(context: Context, step: OpenSource | BindMount, place: int, propagation: int, locked: bool) -> int:
    """A detached copy of what is at `place`, as the bind mount wants it.

    It leaves the peer group of its original before it leaves our hands, unless a shared one is asked for: else what the
    container mounts below it would appear on the host.
    """
    wanted = step.mount
    try:
        tree = mount.clone_tree(place, recursive=wanted.recursive)
    except OSError as error:
        error.filename = wanted.source
        raise
    try:
        if propagation:
            mount.set_attributes(tree, propagation=propagation, recursive=True)
        if wanted.id_map:
            _set_idmap(context, step, tree)
        held = attributes.locks_of(context, place) if locked else 0
        attributes.change(context, step, tree, wanted, place, held)
        if locked:
            context.locks[attributes.mount_id(context, tree)] = held
    except BaseException:
        os.close(tree)
        raise
    return tree


def _set_idmap(context: Context, step: OpenSource | BindMount, tree: int) -> None:
    """Translate the owners. Raises StepError with runc's words."""
    wanted = step.mount
    try:
        try:
            mount.set_idmap(tree, context.descriptors[f"{wanted.pointer}/uidMappings"], wanted.id_map == "ridmap")
        except PermissionError:
            if not (step.locked and isinstance(step, BindMount)):
                raise
            _ask_for_idmap(context, wanted, tree)
    except OSError as error:
        refused = error.errno == EINVAL
        maybe = " (maybe the filesystem used doesn't support idmap mounts on this kernel?)" if refused else ""
        below = ", or what is mounted below it," if wanted.id_map == "ridmap" else ""
        raise StepError(
            f"failed to set MOUNT_ATTR_IDMAP on {wanted.source}: {os_error_text(error)}{maybe}",
            pointer=wanted.pointer,
            step=type(step).__name__,
            call=system_call(error),
            errno=error.errno or 0,
            hint=f"{wanted.source}{below} is on a file system without id-mapped mounts; see /proc/self/mountinfo"
            if refused
            else "",
        ) from None


def _ask_for_idmap(context: Context, wanted: Mount, tree: int) -> None:
    """Let the runtime do it: the file system is the host's, and we are in a user namespace."""
    context.channel.send("map", wanted.pointer, wanted.id_map, descriptors=(tree,))
    message = context.channel.receive()
    if message.kind != "mapped":
        raise Error(f"the runtime said {message.kind!r} instead of 'mapped'")
    errno = int(message.fields[0])
    if errno:
        raise OSError(errno, os.strerror(errno))


def map_for(context: Context, message: Message) -> None:
    """The runtime's side of it: map the ids of the mount that came along, and say how that went.

    The mappings are those that were opened for this mount of config.json, and no others. Raises Error.
    """
    pointer, kind = message.fields
    mappings = context.descriptors.get(f"{pointer}/uidMappings")
    if len(message.descriptors) != 1 or mappings is None:
        raise Error("the container's process sent a mount that is none")
    errno = 0
    try:
        mount.set_idmap(message.descriptors[0], mappings, kind == "ridmap")
    except OSError as error:
        errno = error.errno or 0
    finally:
        os.close(message.descriptors[0])
    context.channel.send("mapped", str(errno))
