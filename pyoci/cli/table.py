"""Tables for people, laid out as runc's (Go's text/tabwriter)."""

from __future__ import annotations

from pyoci.log import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEADER = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
_MIN_WIDTH, _PADDING = 12, 3  # of every column but the last


def table(rows: list[dict[str, Any]]) -> str:
    """One line per container. rows: the members of `state` by name. No cell can break the line or steer a terminal."""
    keys = [name.lower() for name in _HEADER]
    lines = [list(_HEADER), *([_cell(str(row[key])) for key in keys] for row in rows)]
    widths = [max(_MIN_WIDTH, _PADDING + max(len(line[column]) for line in lines)) for column in range(len(keys) - 1)]
    text = ""
    for line in lines:
        text += "".join(f"{cell:<{width}}" for cell, width in zip(line[:-1], widths, strict=True)) + f"{line[-1]}\n"
    return text


def _cell(text: str) -> str:
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
