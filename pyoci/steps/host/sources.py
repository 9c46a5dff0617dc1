"""Sources of bind mounts, opened before the container's process exists: those of the host."""

from __future__ import annotations

from pyoci import os
from pyoci.config.filesystem import Mount
from pyoci.errors import Error
from pyoci.kernel import mount
from pyoci.kernel.constants import MS_SLAVE
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.init import attributes
from pyoci.steps.init.sources import keep, open_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.channel import Message


class OpenSource(HostStep):
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

    def execute(self, context: HostContext) -> None:
        view = attributes.View(context.proc, context.init.locks)
        mappings = context.init.descriptors.get(f"{self.mount.pointer}/uidMappings", -1)
        opened = open_source(self, self.mount, self.source, self.rootfs, view, self.propagation, self.locked, mappings)
        keep(opened, self.mount, context.init)


def map_for(context: HostContext, message: Message) -> None:
    """The runtime's side of it: map the ids of the mount that came along, and say how that went.

    The mappings are those that were opened for this mount of config.json, and no others. Raises Error.
    """
    pointer, kind = message.fields
    mappings = context.init.descriptors.get(f"{pointer}/uidMappings")
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
