"""linux.namespaces, linux.uidMappings, linux.gidMappings, linux.timeOffsets (config-linux.md, "Namespaces" ff.)."""

from __future__ import annotations

from pyoci.config.node import INT64, UINT32
from pyoci.kernel.constants import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.config.node import Node

FLAGS = {
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "mount": CLONE_NEWNS,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}


CLOCKS = ("monotonic", "boottime")


class Namespace(Record):
    """A namespace that the container does not share with the runtime."""

    pointer: str
    type: str  # "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
    path: str = ""  # "" = a new one
    flag: int  # CLONE_NEW*


class IdMapping(Record):
    """`size` ids from `container_id` on are the host's ids from `host_id` on (user_namespaces(7))."""

    pointer: str
    container_id: int
    host_id: int
    size: int


class TimeOffset(Record):
    """What is added to one clock in a new time namespace (time_namespaces(7))."""

    pointer: str
    clock: str  # one of CLOCKS; another one that somebody wrote is reported by a rule
    secs: int = 0
    nanosecs: int = 0


def read_namespace(node: Node) -> Namespace:
    """One entry of `linux.namespaces`. Raises ConfigError for a type that the specification does not have."""
    type = node.word("type", FLAGS)
    return Namespace(pointer=node.pointer, type=type, path=node.string("path"), flag=FLAGS[type])


def read_mappings(node: Node, key: str) -> tuple[IdMapping, ...]:
    """The id mappings in member `key` ("uidMappings", "gidMappings"), of `linux` or of a mount."""
    return tuple(
        [
            IdMapping(
                pointer=mapping.pointer,
                container_id=mapping.required_integer("containerID", UINT32),
                host_id=mapping.required_integer("hostID", UINT32),
                size=mapping.required_integer("size", UINT32),
            )
            for mapping in node.children(key)
        ]
    )


def read_time_offsets(node: Node | None) -> tuple[TimeOffset, ...]:
    """`linux.timeOffsets`, one TimeOffset for each clock. Unknown clocks come last, for a rule to refuse."""
    if node is None:
        return ()
    offsets = []
    for clock in (*CLOCKS, *(name for name in node.value if name not in CLOCKS)):
        offset = node.child(clock)
        if offset is not None:
            secs, nanosecs = offset.integer("secs", INT64), offset.integer("nanosecs", UINT32)
            offsets.append(TimeOffset(pointer=offset.pointer, clock=clock, secs=secs, nanosecs=nanosecs))
    return tuple(offsets)
