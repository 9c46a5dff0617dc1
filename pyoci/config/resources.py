"""linux.resources: what the container's cgroup limits (config-linux.md, "Control groups")."""

from __future__ import annotations

from pyoci.config.node import INT64
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.limits import BlockIO, Cpu, HugepageLimit, Memory, Network, Rdma, Unified
    from pyoci.config.node import Node

LISTS = ("hugepageLimits", "rdma", "unified")
CONTROLLERS = ("memory", "cpu", "blockIO", "network")
ZERO_COUNTS = ("swappiness", "burst", "idle")  # for every other member 0 means that it is not set
NOTHING: dict[str, Any] = {}


class DeviceRule(Record):
    """Allow or deny devices; of several rules for a device the last one counts."""

    pointer: str
    allow: bool
    type: str = "a"  # "a" (all), "c", "b"
    major: int = -1  # -1: any
    minor: int = -1
    access: str = ""  # some of "rwm"


class Resources(Record):
    """The limits. A controller of which nothing is said is None."""

    pointer: str = "/linux/resources"
    devices: tuple[DeviceRule, ...] = ()
    pids_limit: int | None = None
    memory: Memory | None = None
    cpu: Cpu | None = None
    block_io: BlockIO | None = None
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: Network | None = None
    rdma: tuple[Rdma, ...] = ()
    unified: tuple[Unified, ...] = ()
    raw: dict[str, Any] = NOTHING  # linux.resources untouched, for state.json

    def limited(self) -> bool:
        """Whether there is anything but device rules."""
        return self.pids_limit is not None or any(
            (
                self.memory,
                self.cpu,
                self.block_io,
                self.hugepage_limits,
                self.network,
                self.rdma,
                self.unified,
            )
        )


def read_resources(node: Node | None) -> Resources:
    """`linux.resources` (config-linux.md, "Control groups"). Records of limits are imported only if there are some."""
    if node is None:
        return Resources()
    pids = node.child("pids")
    limits: dict[str, Any] = {}
    if _says_something(node.value):
        from pyoci.config.limits import read

        limits = read(node)
    return Resources(
        pointer=node.pointer,
        devices=tuple([_device_rule(rule) for rule in node.children("devices")]),
        pids_limit=None if pids is None else pids.optional_integer("limit", INT64),
        raw=node.value,
        **limits,
    )


def _says_something(resources: dict[str, Any]) -> bool:
    """Whether there is a limit at all: engines write empty ones into every file."""
    for key in LISTS:
        if resources.get(key):
            return True
    for key in CONTROLLERS:
        members = resources.get(key)
        if members and type(members) is not dict:
            return True  # for the reader to refuse
        for name, value in members.items() if members else ():
            if value or (value == 0 and value is not False and name in ZERO_COUNTS):
                return True
    return False


def _device_rule(node: Node) -> DeviceRule:
    return DeviceRule(
        pointer=node.pointer,
        allow=node.boolean("allow"),
        type=node.string("type") or "a",
        major=node.integer("major", INT64, -1),
        minor=node.integer("minor", INT64, -1),
        access=node.string("access"),
    )
