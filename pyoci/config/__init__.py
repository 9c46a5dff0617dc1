"""config.json as Records: what the rest of pyoci knows of a container's configuration. Pure, no system call.

One file per chapter of the specification: filesystem (Root, Mount), process (Process, User, Rlimit, Scheduler,
IoPriority, ExecCpuAffinity), capabilities, hooks (Hooks, Hook), namespaces (Namespace, IdMapping, TimeOffset),
linux (Linux, Device, Path, Sysctl, NetDevice, Personality, IntelRdt, MemoryPolicy), resources (Resources, DeviceRule),
seccomp (Seccomp, SyscallRule, SyscallArg). The rules check what spans properties.
"""

from __future__ import annotations

from pyoci.config.filesystem import read_mount, read_root
from pyoci.config.hooks import Hooks, read_hooks
from pyoci.config.linux import Linux, read_linux
from pyoci.config.node import Node
from pyoci.config.process import read_process
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.filesystem import Mount, Root
    from pyoci.config.process import Process

NOTHING: dict[str, str] = {}


class Config(Record):
    """All of config.json. An absent property has its default; a Record's `pointer` says where it stood."""

    oci_version: str = ""
    root: Root | None = None
    hostname: str | None = None
    domainname: str | None = None
    process: Process | None = None
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    annotations: dict[str, str] = NOTHING
    linux: Linux = Linux()


def read(raw: dict[str, Any]) -> Config:
    """The Config of a parsed config.json. Raises ConfigError with the pointer of a value of the wrong type.

    Members that no chapter knows (and those for other platforms) are ignored, as the specification demands.
    """
    node = Node(raw, "")
    return Config(
        oci_version=node.string("ociVersion"),
        root=read_root(node.child("root")),
        hostname=node.optional_string("hostname"),
        domainname=node.optional_string("domainname"),
        process=read_process(node.child("process")),
        mounts=tuple([read_mount(mount) for mount in node.children("mounts")]),
        hooks=read_hooks(node.child("hooks")),
        annotations=node.table("annotations"),
        linux=read_linux(node.child("linux")),
    )
