"""linux.resources: what the container's cgroup limits (config-linux.md, "Control groups")."""

from __future__ import annotations

from ..record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOTHING: dict[str, Any] = {}


class DeviceRule(Record):
    pointer: str
    allow: bool
    type: str = "a"  # "a" (all), "c", "b"
    major: int = -1  # -1: any
    minor: int = -1
    access: str = ""  # some of "rwm"


class Resources(Record):
    pointer: str = "/linux/resources"
    devices: tuple[DeviceRule, ...] = ()
    pids_limit: int | None = None
    raw: dict[str, Any] = NOTHING  # linux.resources untouched; whoever writes limits reads them from here
