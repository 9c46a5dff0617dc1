"""resctrl, the file system of cache and memory bandwidth allocation (Documentation/filesystems/resctrl.rst).

A group is a directory: `tasks` takes process ids, `schemata` a line per resource, `mon_groups` holds groups that only
count. The kernel fills a new directory by itself and empties it again before it goes.
"""

from __future__ import annotations

from pyoci import os
from pyoci.kernel import mountinfo, textfile
from pyoci.kernel.constants import RDTGROUP_SUPER_MAGIC
from pyoci.kernel.path import filesystem_type

PLACE = (
    "/sys/fs/resctrl"  # made by a kernel that can; what is mounted there, and whether, is the administrator's choice
)


def find() -> str:
    """Where resctrl is mounted: the usual place or, by mountinfo, another one; "" if it is not."""
    try:
        place = os.open(PLACE, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""  # the machine has no such thing
    try:
        if filesystem_type(place) == RDTGROUP_SUPER_MAGIC:
            return PLACE
    finally:
        os.close(place)
    mounted = mountinfo.mounts(textfile.read("/proc/self/mountinfo"))
    return next((mountinfo.unescape(one.point) for one in mounted if one.kind == "resctrl"), "")


def make_group(path: str) -> None:
    """mkdir(2); FileExistsError if there is one, ENOSPC if the hardware has no more."""
    os.mkdir(path, 0o755)


def remove_group(path: str) -> None:
    """rmdir(2): processes that are still in it fall back to the group above. Nothing there: nothing to do."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def write(path: str, value: str | bytes) -> None:
    """One write(2), as these files want it. Raises OSError, with what the kernel says of it as its second note."""
    file = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(file, os.fsencode(value))
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(file)


def last_status(mount: str) -> str:
    """What the kernel says about the last change: "ok", or why it was refused; "" if it does not say."""
    try:
        return os.fsdecode(textfile.read(f"{mount}/info/last_cmd_status").strip())
    except OSError:
        return ""


def resources(schemata: bytes) -> dict[str, dict[str, str]]:
    """Schemata by resource and cache id, comparable: {"L3": {"0": "ff"}}, without leading zeros and blanks."""
    found: dict[str, dict[str, str]] = {}
    for line in textfile.lines(schemata):
        name, colon, values = line.partition(b":")
        if colon:
            members = [value.partition(b"=") for value in values.split(b";") if value.strip()]
            numbers = {_number(id): _number(value) for id, _, value in members}
            found.setdefault(os.fsdecode(name.strip()), {}).update(numbers)
    return found


def _number(digits: bytes) -> str:
    return os.fsdecode(digits.strip().lower().lstrip(b"0")) or "0"
