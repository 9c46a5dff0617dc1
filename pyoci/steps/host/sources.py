"""Sources of bind mounts, opened before the container's process exists: those of the host."""

from __future__ import annotations

from pyoci import os
from pyoci.errors import Error
from pyoci.kernel import mount
from pyoci.steps.host.context import HostContext, HostStep
from pyoci.steps.init.sources import SourceStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.channel import Message


class OpenSource(SourceStep, HostStep):
    """In the runtime, which has the privileges for it, before the container's process exists."""

    def execute(self, context: HostContext) -> None:
        self.open(context.proc, context.init)


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
