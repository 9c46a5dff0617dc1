"""The state.json files of tests/container/states, filled in: those of earlier versions of pyoci, and of runcs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

STATES = Path(__file__).with_name("states")
FILES = sorted(STATES.glob("*.json")) + sorted((STATES / "runc").glob("*.json"))


def filled(
    file: Path, pid: int, start: int, cgroups: dict[str, str], bundle: str = "/b", rootfs: str = "/b/rootfs"
) -> dict[str, Any]:
    """The value in the file, of a container whose first process is `pid`."""
    text = file.read_text().replace('"@PID@"', str(pid)).replace('"@START@"', str(start))
    text = text.replace("@ROOTFS@", rootfs).replace("@BUNDLE@", bundle).replace('"@CGROUPS@"', json.dumps(cgroups))
    value: dict[str, Any] = json.loads(text)
    return value


def pointers(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every member of an object or array, at any depth."""
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*before, key)
            yield from pointers(child, (*before, key))


def changed(value: Any, way: tuple[str | int, ...], new: Any) -> Any:
    """A copy of `value` with another member; with `Ellipsis` without it."""
    if not way:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if len(way) == 1 and new is ...:
        del copy[way[0]]
    else:
        copy[way[0]] = changed(copy[way[0]], way[1:], new)
    return copy
