"""linux.netDevices: devices of the runtime's network namespace, moved into the container's (config-linux.md, "Network
Devices"). By the runtime, which alone may, once the container's namespace exists. The kernel takes them back when that
goes; the runtime does so only if the container does not come about."""

from __future__ import annotations

from errno import EEXIST

from pyoci import os
from pyoci.config.linux import NetDevice
from pyoci.errors import Error, StepError, os_error_text, system_call
from pyoci.steps.host.context import HostContext, HostStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.kernel.links import Link


class MoveNetDevice(HostStep):
    """Move one device, rename it, give it its addresses, set it up.

    `namespace` is the pointer of a network namespace that is joined, and open, and `path` its name on the host; "": the
    container's process has its own.
    """

    device: NetDevice
    namespace: str = ""
    path: str = ""

    def describe(self) -> str:
        name = self.device.name
        return f"move the network device {self.device.device}" + (f", to be called {name}" if name else "")

    def execute(self, context: HostContext) -> None:
        try:
            from pyoci.kernel import links
        except ImportError as error:
            raise Error(
                f"linux.netDevices needs the Python package {error.name}",
                hint="python3-pyroute2 in Debian, pyroute2 on PyPI",
            ) from None
        wanted = self.device
        ours = os.open("self/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.proc)
        context.undo.add(os.close, ours)
        theirs = context.init.descriptors[self.namespace] if self.namespace else self._open(context)
        link = links.find(wanted.device)
        if link is None:
            hint = "`ip link` shows the devices of the runtime's network namespace"
            raise self._failed(
                context, f"link not found for interface {wanted.device} on runtime namespace", None, hint
            )
        name = wanted.name or wanted.device
        with links.Inside(theirs, ours):
            before = links.names()
        what = f"fail to move network device {wanted.device} to network namespace"
        if name in before:  # to be sure before it is down, and has lost addresses for it
            hint = f"the container has a device {name} already"
            raise self._failed(context, what, OSError(EEXIST, os.strerror(EEXIST)), hint)
        context.undo.add(_restore, link)
        # Also when the move fails: the kernel moves first and then renames.
        context.undo.add(_bring_back, link, name, before, theirs, ours)
        try:
            links.send(link, name, theirs)
        except OSError as error:
            raise self._failed(context, what, error, "some devices cannot leave their network namespace") from None
        with links.Inside(theirs, ours):
            arrived = _arrived(link, name, before)
            try:
                links.receive(link, arrived)
            except OSError as error:
                raise self._failed(context, f"fail to set up interface {arrived} in the container", error, "") from None

    def _open(self, context: HostContext) -> int:
        descriptor = os.open(f"{context.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.proc)
        context.undo.add(os.close, descriptor)
        return descriptor

    def _failed(self, context: HostContext, what: str, error: OSError | None, hint: str) -> StepError:
        """runc's words."""
        where = self.path or f"/proc/{context.pid}/ns/net"
        why = os_error_text(error) if error else "Link not found"
        said = f"move netDevice {self.device.device} to namespace {where}: {what}: {why}"
        return StepError(
            f"error creating network interfaces: {said}",
            call=system_call(error) if error else "",
            errno=(error.errno or 0) if error else 0,
            hint=hint,
        )


def _arrived(link: Link, name: str, before: set[str]) -> str:
    """What the device is called in this namespace, whose names were `before`; "" if it is not there."""
    from pyoci.kernel import links

    prefix, numbered, _ = name.partition("%")
    for found in links.names() - before:
        if found in (name, link.name) or (numbered and found.startswith(prefix)):
            return found
    return ""


def _bring_back(link: Link, name: str, before: set[str], theirs: int, ours: int) -> None:
    """Undo of the move: the device goes back where it was; its state and addresses follow in _restore."""
    from pyoci.kernel import links

    with links.Inside(theirs, ours):
        found = links.find(_arrived(link, name, before))
        if found is not None:
            links.send(found, link.name, ours)


def _restore(link: Link) -> None:
    """Undo of setting it down: its lasting addresses, as far as they are gone, and its state."""
    from pyoci.kernel import links

    found = links.find(link.name)
    if found is not None:
        lost = tuple(one for one in link.addresses if one not in found.addresses)
        links.receive(link.replace(addresses=lost), link.name, up=link.up)
