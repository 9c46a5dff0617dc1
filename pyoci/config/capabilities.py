"""process.capabilities: five sets of names as five bit masks (config.md, "Linux Process")."""

from __future__ import annotations

from ..record import Record


class Capabilities(Record):
    """Bit N of a mask is the capability NAMES[N] of kernel/capability_names.py. An absent set is empty."""

    pointer: str = "/process/capabilities"
    bounding: int = 0
    effective: int = 0
    inheritable: int = 0
    permitted: int = 0
    ambient: int = 0
    unknown: tuple[str, ...] = ()  # names to warn about once, without repetition, sorted
