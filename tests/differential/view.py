"""What a container sees, freed of what differs from run to run, so that two runtimes can be compared."""

from __future__ import annotations

import re
from typing import Any

# Numbers that the kernel hands out, and times.
_FLEETING: tuple[str, ...] = (
    "namespaces",
    "monotonic",
    "boottime",
    "session_keyring",
    "session_keyring_description",
    "pid",
    "ppid",
)
_FLEETING += ("pgid", "sid", "fds")  # fds: `run` of runc puts pipes between the caller and the container
_FLEETING_OF_A_FILE = ("inode", "device")
_COUNTED = ("SigQ", "NStgid")


def normal(report: dict[str, Any], places: dict[str, str]) -> dict[str, Any]:
    """A report of tests/reporter, `places` (paths of this run) replaced by names."""
    found = {key: value for key, value in report.items() if key not in _FLEETING}
    found["status"] = {key: value for key, value in report["status"].items() if key not in _COUNTED}
    found["files"] = {name: _file(file) for name, file in report["files"].items()}
    found["mounts"] = mounts(found.pop("mountinfo"), places)
    found["cgroup"] = [_replace(line, places) for line in report["cgroup"]]
    replaced: dict[str, Any] = _everywhere(found, places)
    return replaced


def _file(file: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in file.items() if key not in _FLEETING_OF_A_FILE}
    if "entries" in kept:
        kept["entries"] = sorted(kept["entries"])
    return kept


def mounts(lines: list[str], places: dict[str, str]) -> list[str]:
    """One line per mount: point, root, options, propagation, type, source, options of the file system; sorted.

    Peer groups lose their numbers. Mounts on top of each other keep their order by a number.
    """
    found: list[str] = []
    depth: dict[str, int] = {}
    for line in lines:
        fields, _, rest = line.partition(" - ")
        _, _, _, root, point, options, *propagation = fields.split(" ")
        kind, source, *super_options = rest.split(" ")
        depth[point] = depth.get(point, 0) + 1
        tags = " ".join(re.sub(r"\d+", "N", tag) for tag in propagation)
        stacked = f" ({depth[point]})" if depth[point] > 1 else ""
        if kind in ("cgroup", "cgroup2"):
            source = kind  # a word without a meaning
        text = f"{point}{stacked} root={root} {options} [{tags}] {kind} {source} {','.join(super_options)}"
        found.append(_replace(text, places))
    return sorted(found)


def _replace(text: str, places: dict[str, str]) -> str:
    for path, name in places.items():
        text = text.replace(path, name)
    return text


def _everywhere(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, str):
        return _replace(value, places)
    if isinstance(value, list):
        return [_everywhere(one, places) for one in value]
    if isinstance(value, dict):
        return {key: _everywhere(one, places) for key, one in value.items()}
    return value


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """One line per value that is not the same: "fds/1/mode: 384 instead of 420" (ours, theirs)."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = []
        for key in sorted(ours.keys() | theirs.keys()):
            found += differences(ours.get(key), theirs.get(key), f"{where}/{key}" if where else key)
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and all(isinstance(one, str) for one in ours + theirs):
        return [f"{where}: + {one}" for one in ours if one not in theirs] + [
            f"{where}: - {one}" for one in theirs if one not in ours
        ]
    return [] if ours == theirs else [f"{where}: {ours!r} instead of {theirs!r}"]
