"""What resctrl counts for a container's group, and what the group may have: "intel_rdt" in the JSON of `events`.

Names and what is left out are runc's (types/events.go). Imported only for a container with linux.intelRdt.
"""

from __future__ import annotations

from pyoci import os
from pyoci.errors import Error, os_error_text, system_call
from pyoci.kernel import textfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Resource -> the beginning of its names in the JSON, and what is said of the hardware.
_RESOURCES = {
    "L3": ("l3_cache", ("min_cbm_bits", "num_closids")),
    "MB": ("mem_bw", ("bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids")),
}


def statistics(mount: str, group: str, monitor: str = "") -> dict[str, Any]:
    """Of the directory `group` of the resctrl at `mount`, "" if it is mounted no more: then nothing is known.

    monitor: its directory that counts, if the container has one of its own. Raises Error.
    """
    if not mount:
        return {}
    try:
        return {**_allocated(mount, group), **_counted(mount, monitor or group)}
    except (OSError, ValueError) as error:
        text = os_error_text(error) if isinstance(error, OSError) else str(error)
        raise Error(
            f"unable to get container Intel RDT stats: {text}",
            call=system_call(error) if isinstance(error, OSError) else "",
            errno=error.errno or 0 if isinstance(error, OSError) else 0,
        ) from error


def _allocated(mount: str, group: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for resource, (name, numbers) in _RESOURCES.items():
        info = f"{mount}/info/{resource}"
        if not os.path.isdir(info):
            continue
        facts: dict[str, Any] = (
            {"cbm_mask": os.fsdecode(textfile.read(f"{info}/cbm_mask").strip())} if resource == "L3" else {}
        )
        facts |= {one: int(textfile.read(f"{info}/{one}")) for one in numbers}
        found[f"{name}_info"] = {key: value for key, value in facts.items() if value}
        for key, directory in ((f"{name}_schema_root", mount), (f"{name}_schema", group)):
            if line := _line(directory, resource):
                found[key] = line
    return found


def _line(directory: str, resource: str) -> str:
    """A line such as "L3:0=ff;1=ff", one of those of schemata, which the kernel indents; "" if there is none."""
    for line in textfile.lines(textfile.read(f"{directory}/schemata")):
        if line.strip().startswith(f"{resource}:".encode()):
            return os.fsdecode(line.strip())
    return ""


def _counted(mount: str, group: str) -> dict[str, Any]:
    """Memory bandwidth (mbm) and occupied cache (cmt), each an entry for each L3 cache of the machine."""
    if not os.path.isdir(f"{mount}/info/L3_MON"):
        return {}
    features = textfile.lines(textfile.read(f"{mount}/info/L3_MON/mon_features"))
    caches = sorted(os.listdir(f"{group}/mon_data"))
    found = {}
    for name, files in (("mbm_stats", ("mbm_total_bytes", "mbm_local_bytes")), ("cmt_stats", ("llc_occupancy",))):
        if any(file.encode() in features for file in files):
            found[name] = [
                {
                    file: _number(f"{group}/mon_data/{cache}/{file}") if file.encode() in features else 0
                    for file in files
                }
                for cache in caches
            ]
    return found


def _number(path: str) -> int:
    """0 where the hardware cannot tell at the moment ("Unavailable")."""
    text = textfile.read(path).strip()
    return int(text) if text.isdigit() else 0
