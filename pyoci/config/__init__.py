"""config.json as Records: what the rest of pyoci knows of a container's configuration. Pure, no system call.

One file per chapter of the specification: filesystem (Root, Mount), process (Process, User, Rlimit, Scheduler,
IoPriority, ExecCpuAffinity), capabilities, hooks (Hooks, Hook), namespaces (Namespace, IdMapping, TimeOffset),
linux (Linux, Device, Path, Sysctl, NetDevice, Personality, IntelRdt, MemoryPolicy), resources (Resources, DeviceRule),
seccomp (Seccomp, SyscallRule, SyscallArg). rules.py checks what spans properties.
"""

from __future__ import annotations

from ..record import Record
from .hooks import Hooks
from .linux import Linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .filesystem import Mount, Root
    from .process import Process

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
    """The Config of a parsed config.json. Raises ConfigError with the pointer of a value of the wrong type."""
    raise NotImplementedError
