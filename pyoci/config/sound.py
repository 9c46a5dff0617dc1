"""What can be judged of a config.json in which something breaks the schema: all that has nothing to do with that.

Whatever is broken is taken out, with the smallest property around it whose values mean nothing without each other, and
what the rest breaks is told unless it may come of what is not there. Pure; for report.py.
"""

from __future__ import annotations

from pyoci import config
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pyoci.config import Config

# Of every other property the rules may ask which namespaces there are, and who is mapped into them.
_ASKED_BY_MANY = ("/linux", "/linux/namespaces", "/linux/uidMappings", "/linux/gidMappings", "/process/user")
_ASK_NOBODY = ("/process", "/hooks", "/linux/resources", "/linux/seccomp")
_MOST = 100  # values that the reader refuses


class Sound:
    """The sound rest of `raw`. config: what was read of it, None if nothing can be; faults: what the reader refused."""

    def __init__(self, raw: Any, pointers: Iterable[str]) -> None:
        """pointers: of what breaks the schema, or is missing by it."""
        self.faults: list[ConfigError] = []
        self.config: Config | None = None
        self._gone = {_property(pointer) for pointer in pointers}
        for property in self._gone:
            raw = _without(raw, property)
        while self.config is None and type(raw) is dict and len(self.faults) < _MOST:
            try:
                self.config = config.read(raw)
            except ConfigError as error:  # the reader stops at the first value that it cannot take
                self.faults.append(error)
                property = _property(error.pointer)
                self._gone.add(property)
                if (rest := _without(raw, property)) == raw:
                    return
                raw = rest

    def counts(self, pointer: str) -> bool:
        """Whether what a rule says of `pointer` is true of the whole file, too."""
        if _meet(pointer, self._gone):
            return False
        alone = _meet(pointer, _ASK_NOBODY) and not _meet(pointer, ("/process/user",))
        return alone or not any(property in self._gone for property in _ASKED_BY_MANY)

    def is_there(self, pointer: str) -> bool:
        """Whether `pointer` itself has nothing to do with what is broken, for what is said of it alone."""
        return not _meet(pointer, self._gone)


def _property(pointer: str) -> str:
    """The property to take out: of `process` and `linux` one member, of `linux.resources` one controller."""
    keys = pointer.split("/")
    if keys[1:3] == ["linux", "resources"]:
        return "/".join(keys[:4])
    return "/".join(keys[:3] if keys[1:2] in (["process"], ["linux"]) else keys[:2])


def _without(value: Any, pointer: str) -> Any:
    """A copy as far as it differs."""
    key, slash, rest = pointer[1:].partition("/")
    if not pointer or type(value) is not dict:
        return None if not pointer else value
    for name, member in value.items():
        if escape(name) == key:
            changed = dict(value)
            if slash:
                changed[name] = _without(member, f"/{rest}")
            else:
                del changed[name]
            return changed
    return value


def _meet(pointer: str, others: Iterable[str]) -> bool:
    """Whether one of the others is `pointer`, lies in it, or has it in it."""
    return any(
        f"{pointer}/".startswith(f"{other}/") or (f"{other}/".startswith(f"{pointer}/") and pointer) for other in others
    )
