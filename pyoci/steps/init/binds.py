"""Bind mounts: the source is opened and copied first, with its attributes, and then put onto its destination.

Sources of the host are opened before the container's process exists. Those that lie below the container's root file
system are opened when it is their turn, because an earlier entry of `mounts` may have put them there; by then they are
names that an image has made, and lead nowhere but below that root.
"""

from __future__ import annotations

import stat
from errno import EINVAL

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.errors import Error, StepError, os_error_text, system_call
from pyoci.kernel import mount, path
from pyoci.kernel.constants import MS_SLAVE
from pyoci.kernel.procfs import root_is_procfs
from pyoci.steps.init import attributes, targets
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.init.mounts import set_propagation
from pyoci.steps.step import Step, failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class BindMount(InitStep):
    """Put a source onto its destination: one that is open already, or one of the container's own file system."""

    mount: Mount
    inside: str = ""  # the source's name below the container's root
    propagation: int = MS_SLAVE  # these two are for such a source; see OpenSource (host/sources.py)
    locked: bool = False

    def describe(self) -> str:
        return f"bind {self.mount.source} on {self.mount.destination}"

    def execute(self, context: InitContext) -> None:
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

    def _tree(self, context: InitContext) -> int:
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
            view = attributes.View(context.proc, context.locks)
            mappings = context.descriptors.get(f"{pointer}/uidMappings", -1)
            ask = (lambda tree: _ask_for_idmap(context, self.mount, tree)) if self.locked else None
            return copy(view, self, self.mount, place, self.propagation, self.locked, mappings, ask)
        finally:
            os.close(place)


def copy(
    view: attributes.View,
    step: Step,
    wanted: Mount,
    place: int,
    propagation: int,
    locked: bool,
    mappings: int,
    ask: Callable[[int], None] | None = None,
) -> int:
    """A detached copy of what is at `place`, as the bind mount `wanted` has it.

    mappings: a user namespace that holds those of the mount, -1 for none; ask: has them set by somebody who may.

    It leaves the peer group of its original before it leaves our hands, unless a shared one is asked for: else what the
    container mounts below it would appear on the host.
    """
    try:
        tree = mount.clone_tree(place, recursive=wanted.recursive)
    except OSError as error:
        error.filename = wanted.source
        raise
    try:
        if propagation:
            mount.set_attributes(tree, propagation=propagation, recursive=True)
        if wanted.id_map:
            _set_idmap(step, wanted, tree, mappings, ask)
        held = attributes.locks_of(view, place) if locked else 0
        attributes.change(view, step, tree, wanted, place, held)
        if locked:
            view.locks[attributes.mount_id(view, tree)] = held
    except BaseException:
        os.close(tree)
        raise
    return tree


def _set_idmap(step: Step, wanted: Mount, tree: int, mappings: int, ask: Callable[[int], None] | None) -> None:
    """Translate the owners. Raises StepError with runc's words."""
    try:
        try:
            mount.set_idmap(tree, mappings, wanted.id_map == "ridmap")
        except PermissionError:
            if ask is None:
                raise
            ask(tree)
    except OSError as error:
        refused = error.errno == EINVAL
        maybe = " (maybe the filesystem used doesn't support idmap mounts on this kernel?)" if refused else ""
        below = ", or what is mounted below it," if wanted.id_map == "ridmap" else ""
        raise StepError(
            f"failed to set MOUNT_ATTR_IDMAP on {wanted.source}: {os_error_text(error)}{maybe}",
            pointer=wanted.pointer,
            call=system_call(error),
            errno=error.errno or 0,
            hint=f"{wanted.source}{below} is on a file system without id-mapped mounts; see /proc/self/mountinfo"
            if refused
            else "",
        ) from None


def _ask_for_idmap(context: InitContext, wanted: Mount, tree: int) -> None:
    """Let the runtime do it: the file system is the host's, and we are in a user namespace."""
    context.channel.send("map", wanted.pointer, wanted.id_map, descriptors=(tree,))
    message = context.channel.receive()
    if message.kind != "mapped":
        raise Error(f"the runtime said {message.kind!r} instead of 'mapped'")
    errno = int(message.fields[0])
    if errno:
        raise OSError(errno, os.strerror(errno))
