"""linux.namespaces, linux.uidMappings, linux.gidMappings, linux.timeOffsets (config-linux.md, "Namespaces" ff.)."""

from __future__ import annotations

from ..record import Record


class Namespace(Record):
    pointer: str
    type: str  # "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
    path: str = ""  # "" = a new one
    flag: int = 0  # CLONE_NEW*; 0 for a type that does not exist (rules.py reports it)


class IdMapping(Record):
    pointer: str
    container_id: int
    host_id: int
    size: int


class TimeOffset(Record):
    pointer: str
    clock: str  # "monotonic" or "boottime"
    secs: int = 0
    nanosecs: int = 0
