"""What can be judged of a config.json in which something is broken: all that has nothing to do with that.

Whatever is broken is taken out, with the smallest part around it whose values mean nothing without each other, and
what the rest breaks is told unless it may come of what is not there. Pure; for report.py.
"""

from __future__ import annotations

from pyoci import config
from pyoci.config.namespaces import FLAGS
from pyoci.config.node import GONE
from pyoci.config.rules import rules
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pyoci.config import Config

# What is judged by itself and may be missing alone: keys of its pointer, any one where there is an empty string.
_PARTS = (
    ("linux", "resources", "devices", ""),
    ("linux", "resources", "hugepageLimits", ""),
    ("linux", "resources", "rdma", ""),
    ("linux", "resources", "unified", ""),
    ("linux", "seccomp", "syscalls", ""),
    ("linux", "devices", ""),
    ("linux", "netDevices", ""),
    ("linux", "sysctl", ""),
    ("linux", "resources", ""),
    ("process", "rlimits", ""),
    ("hooks", "", ""),
    ("hooks", ""),
    ("annotations", ""),
    ("linux", ""),
    ("mounts", ""),
    ("process", ""),
)
_TOGETHER = {"/process/terminal": "/process/consoleSize"}  # the second means nothing without the first
_NAMESPACES = ("/linux", "/linux/namespaces")
_MOST = 100  # values that the reader refuses


class Sound:
    """The sound rest of `raw`. config: what was read of it, None if nothing can be; faults: what the reader refused."""

    def __init__(self, raw: Any, pointers: Iterable[str]) -> None:
        """pointers: of what is broken, or is missing."""
        self.faults: list[ConfigError] = []
        self.config: Config | None = None
        self._gone: set[str] = set()
        for pointer in pointers:
            raw = self._take_out(raw, pointer)
        while self.config is None and type(raw) is dict and len(self.faults) < _MOST:
            try:
                self.config = config.read(raw)
            except ConfigError as error:  # the reader stops at the first value that it cannot take
                self.faults.append(error)
                if (rest := self._take_out(raw, error.pointer)) == raw:
                    return
                raw = rest
        self._rest: dict[str, Any] = raw

    def violations(self) -> list[ConfigError]:
        """What the rules say of the rest, and would say of the whole file too.

        Many rules ask which namespaces there are. If nobody knows, what counts is what they say without any namespace,
        and with new ones, and with joined ones.
        """
        if self.config is None:
            return []
        found = [one for one in rules.violations(self.config) if self.is_there(one.pointer)]
        if self._gone.intersection(_NAMESPACES):
            for path in ("", "/path"):
                every = [{"type": type, "path": path} for type in FLAGS]
                linux = {**self._rest.get("linux", {}), "namespaces": every}
                said = {str(one) for one in rules.violations(config.read({**self._rest, "linux": linux}))}
                found = [one for one in found if str(one) in said]
        return found

    def is_there(self, pointer: str) -> bool:
        """Whether `pointer` itself has nothing to do with what is broken."""
        return not any(_meet(pointer, other) for other in self._gone)

    def _take_out(self, raw: Any, pointer: str) -> Any:
        part = _part(pointer)
        for one in (part, _TOGETHER.get(part)):
            if one is not None and one not in self._gone:
                self._gone.add(one)
                raw = _without(raw, one)
        return raw


def _part(pointer: str) -> str:
    """What to take out for what is broken at `pointer`."""
    keys = pointer.split("/")[1:]
    for part in _PARTS:
        if len(keys) >= len(part) and all(wanted in ("", key) for wanted, key in zip(part, keys, strict=False)):
            return "".join(f"/{key}" for key in keys[: len(part)])
    return "/".join(pointer.split("/")[:2])


def _without(value: Any, pointer: str) -> Any:
    """A copy as far as it differs."""
    key, slash, rest = pointer[1:].partition("/")
    if not pointer:
        return None
    if type(value) is list:
        return [
            (_without(item, f"/{rest}") if slash else GONE) if str(index) == key else item
            for index, item in enumerate(value)
        ]
    if type(value) is not dict:
        return value
    for name, member in value.items():
        if escape(name) == key:
            changed = dict(value)
            if slash:
                changed[name] = _without(member, f"/{rest}")
            else:
                del changed[name]
            return changed
    return value


def _meet(pointer: str, other: str) -> bool:
    """Whether `other` is `pointer`, lies in it, or has it in it."""
    return f"{pointer}/".startswith(f"{other}/") or (f"{other}/".startswith(f"{pointer}/") and pointer != "")
