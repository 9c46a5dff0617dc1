"""The source of a bind mount, opened as a detached copy: by whoever may, the runtime (host/sources.py) or, if it has no
privileges, the container's process."""

from __future__ import annotations

import stat
from errno import ESTALE, EXDEV

from pyoci import os, pathname
from pyoci.config.filesystem import Mount
from pyoci.kernel import mount, path
from pyoci.kernel.constants import MS_SLAVE
from pyoci.steps.init import attributes, binds, targets
from pyoci.steps.init.context import InitContext, InitStep
from pyoci.steps.step import Step

ON_THIS_HOST = "the source of a bind mount has to be on this host"


class SourceStep(Step):
    """Open the source of a bind mount as a detached copy, with its attributes set, for the step BindMount.

    A source that turns out to lead below the container's root file system is left to BindMount.
    """

    mount: Mount
    source: str
    rootfs: str = ""  # the root file system's name without links
    propagation: int = MS_SLAVE  # of the whole copy; 0: as it is
    locked: bool = False  # what a container with a user namespace may not change stays as it is on the host

    def describe(self) -> str:
        return f"open {self.source} for {self.mount.destination}"

    def open(self, proc: int, context: InitContext) -> None:
        """Put the copy, or the name below the container's root, where BindMount looks for it. Raises OSError."""
        place = _open(self.source, self.rootfs, proc)
        if isinstance(place, str):
            context.inside[self.mount.pointer] = place
            return
        view = attributes.View(proc, context.locks)
        mappings = context.descriptors.get(f"{self.mount.pointer}/uidMappings", -1)
        try:
            copy = binds.copy(view, self, self.mount, place, self.propagation, self.locked, mappings)
        finally:
            os.close(place)
        context.trees[self.mount.pointer] = copy


class OpenSourceInside(SourceStep, InitStep):
    """As OpenSource, in the mount namespace of the container: for a runtime without privileges."""

    def execute(self, context: InitContext) -> None:
        self.open(context.proc, context)


def _open(source: str, rootfs: str, proc: int) -> int | str:
    """A descriptor of the source, or its name below the container's root, for BindMount to open."""
    try:
        place = mount.open_place(source.encode("utf-8", "surrogateescape"))
    except FileNotFoundError as error:
        found = through_root(source, rootfs)
        if found is None:
            error.add_note(f"{ON_THIS_HOST}: {missing(source)}")
            raise
    else:
        if os.readlink(f"self/fd/{place}", dir_fd=proc) == pathname.absolute(source):
            return place  # no link on the way
        found = through_root(source, rootfs)
        if found is None:
            return place
        os.close(place)
    directory, name = found
    if directory == rootfs:
        return name
    # The same directory, mounted a second time: nothing of the container's comes there, but links of the image do.
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not os.path.samestat(os.fstat(root), os.stat(rootfs)):
            raise OSError(ESTALE, "was replaced while it was looked at", directory)
        return path.open_in_root(root, targets.encode(name))
    finally:
        os.close(root)


def missing(source: str) -> str:
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
