"""rtnetlink(7) through pyroute2: network devices, moved from one network namespace to another.

pyroute2 takes 100 ms and more to import, so only what moves devices imports this module. Its sockets belong to the
namespace in which they are opened; this process enters the other one for that, and comes back.

The decision: docs/decisions/network-devices.md.
"""

from __future__ import annotations

from errno import ENODEV
from functools import partial

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pyoci import os
from pyoci.kernel import namespace
from pyoci.kernel.constants import CLONE_NEWNET, IFF_UP
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IFA_F_PERMANENT = 0x80
# What an address may be told besides: NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN.
_IFA_F_GIVEN = 0x02 | 0x10 | 0x100 | 0x200 | 0x400
_RT_SCOPE_UNIVERSE = 0
# Of an address: its own, its peer's, its network's; the metric of the route that comes with it.
_KEPT = ("IFA_ADDRESS", "IFA_LOCAL", "IFA_BROADCAST", "IFA_RT_PRIORITY")


class Link(Record):
    """A network device: its name and number, whether it is up, and the addresses that it takes along.

    An address is (family, prefix length, attributes as rtnetlink names them).
    """

    name: str
    index: int
    up: bool
    addresses: tuple[tuple[int, int, dict[str, Any]], ...] = ()


class Inside:
    """With Inside(descriptor, ours): this process is in the network namespace open as `descriptor`."""

    def __init__(self, descriptor: int, ours: int) -> None:
        self.descriptor = descriptor
        self.ours = ours

    def __enter__(self) -> None:
        namespace.join(self.descriptor, CLONE_NEWNET)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        namespace.join(self.ours, CLONE_NEWNET)


def find(name: str) -> Link | None:
    """The device of this name in our network namespace, with its permanent addresses of global scope."""
    with IPRoute() as route:
        found = _ask(f"get link {name}", lambda: _named(route, name))
        if not found:
            return None
        index, up = found[0]["index"], bool(found[0]["flags"] & IFF_UP)
        addresses = _ask(f"get addresses of {name}", lambda: list(route.addr("dump", index=index)))
        kept = tuple(_address(one) for one in addresses if one["index"] == index and _is_lasting(one))
        return Link(name=name, index=index, up=up, addresses=kept)


def _named(route: Any, name: str) -> list[Any]:
    """RTM_GETLINK of every device: asked for one by name, versions of pyroute2 answer differently."""
    return [link for link in route.link("dump") if link.get_attr("IFLA_IFNAME") == name]


def _is_lasting(address: Any) -> bool:
    return bool(_flags(address) & _IFA_F_PERMANENT) and address["scope"] == _RT_SCOPE_UNIVERSE


def _flags(address: Any) -> int:
    flags = address.get_attr("IFA_FLAGS")
    return int(address["flags"] if flags is None else flags)


def _address(address: Any) -> tuple[int, int, dict[str, Any]]:
    found = {key: address.get_attr(key) for key in _KEPT} | {"IFA_FLAGS": _flags(address) & _IFA_F_GIVEN or None}
    return address["family"], address["prefixlen"], {key: value for key, value in found.items() if value is not None}


def names() -> set[str]:
    """The names of all devices in our network namespace."""
    with IPRoute() as route:
        return {link.get_attr("IFLA_IFNAME") for link in _ask("get links", lambda: list(route.link("dump")))}


def send(link: Link, name: str, target: int) -> None:
    """Move a device into the network namespace open as `target`, under a new name, in one request.

    It is set down first, as the kernel would do: it cannot be renamed while it is up.
    """
    with IPRoute() as route:
        _ask(f"set {link.name} down", lambda: route.link("set", index=link.index, state="down"))
        _ask(
            f"move {link.name} as {name}",
            lambda: route.link("set", index=link.index, ifname=name, net_ns_fd=target),
        )


def receive(link: Link, name: str, up: bool = True) -> None:
    """Give a device that has arrived in our network namespace its addresses back, and set it up."""
    with IPRoute() as route:
        found = _ask(f"get link {name}", lambda: _named(route, name))
        if not found:
            raise OSError(ENODEV, os.strerror(ENODEV), name)
        index = found[0]["index"]
        for family, length, attributes in link.addresses:
            members = {**attributes, "index": index, "family": family, "prefixlen": length}
            _ask(f"add address {members['IFA_ADDRESS']}/{length} to {name}", partial(route.addr, "add", **members))
        if up:
            _ask(f"set {name} up", lambda: route.link("set", index=index, state="up"))


def _ask(what: str, request: Any) -> Any:
    """Send a request; what the kernel answers becomes an OSError whose note says what was asked."""
    try:
        return request()
    except NetlinkError as error:
        failure = OSError(error.code, os.strerror(error.code))
        failure.add_note(f"rtnetlink({what})")
        raise failure from None
