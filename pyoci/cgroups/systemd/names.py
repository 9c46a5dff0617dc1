"""linux.cgroupsPath -> the unit that systemd makes, and where its cgroup will be. Pure but for is_forgotten().

Spec: none speaks of it; the form `slice:prefix:name` and its defaults are runc's, and every engine writes it so.
"""

from __future__ import annotations

from pyoci import os
from pyoci.errors import ConfigError
from pyoci.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pyoci.cgroups.hierarchies import Layout

_POINTER = "/linux/cgroupsPath"
_SLICE = ".slice"
_SYSTEM = ("unix:path=/run/systemd/private", "unix:path=/run/dbus/system_bus_socket")


class Unit(Record):
    """name: "docker-1234.scope", or a slice. slice: the one above it. user: of a user's systemd, not the system's.

    buses: the sockets where that systemd may be reached, in the order of trying (addresses()). They are
    kept with the container, because whoever deletes it may have another environment.
    """

    name: str
    slice: str
    user: bool
    buses: tuple[str, ...]


def unit(cgroups_path: str | None, id: str, user: bool, buses: tuple[str, ...]) -> Unit:
    """The unit for `slice:prefix:name`, by default runc-ID.scope; a name that ends with ".slice" is a slice itself.

    An empty slice is system.slice, or user.slice of a user's systemd. Raises ConfigError.
    """
    slice, prefix, name = "", "runc", id
    if cgroups_path:
        parts = cgroups_path.split(":")
        if len(parts) != 3:
            raise ConfigError(
                'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, '
                f'got "{cgroups_path}" instead',
                pointer=_POINTER,
                hint="such as system.slice:pyoci:web; a path is for the cgroupfs driver, without --systemd-cgroup",
            )
        slice, prefix, name = parts
    slice = slice or ("user.slice" if user else "system.slice")
    expand_slice(slice)
    full = name if name.endswith(_SLICE) else f"{prefix}-{name}.scope"
    if full.endswith(_SLICE):
        if not expand_slice(full):
            raise ConfigError(
                f"cgroupsPath {cgroups_path!r} names no cgroup of its own",
                pointer=_POINTER,
                hint="-.slice is the root of all; give it a cgroup of its own, such as system.slice:pyoci:web",
            )
    elif "/" in full:
        raise ConfigError(f"invalid unit name: {full}", pointer=_POINTER, hint="the name of a unit has no slash")
    return Unit(name=full, slice=slice, user=user, buses=buses)


def stored(members: dict[str, Any]) -> Unit:
    """The unit as state.json keeps it."""
    return Unit(**{**members, "buses": tuple(members["buses"])})


def is_forgotten(unit: Unit) -> bool:
    """Whether systemd has unloaded the unit already, as it does with a scope whose last process has ended well.

    It keeps a file for every transient unit that it knows, also for one that has failed. False if that cannot be seen.
    """
    place, private, _ = unit.buses[0].partition("/systemd/private") if unit.buses else ("", "", "")
    directory = f"{place.removeprefix('unix:path=')}/systemd/transient"
    return bool(private) and os.path.isdir(directory) and not os.path.lexists(f"{directory}/{unit.name}")


def expand_slice(name: str) -> str:
    """The path of a slice: expand_slice("a-b.slice") == "/a.slice/a-b.slice"; "" for "-.slice", the root.

    Raises ConfigError. systemd.slice(5).
    """
    stem = name[: -len(_SLICE)]
    if name == f"-{_SLICE}":
        return ""
    parts = stem.split("-")
    if not name.endswith(_SLICE) or "/" in name or not all(parts):
        raise ConfigError(
            f"invalid slice name: {name}", pointer=_POINTER, hint="such as a-b.slice, which is a part of a.slice"
        )
    return "".join(f"/{'-'.join(parts[: end + 1])}{_SLICE}" for end in range(len(parts)))


def control_group(unit: Unit, manager: str) -> str:
    """The unit's cgroup, below the root of every hierarchy; `manager`: that of its systemd, "" for the system's."""
    if unit.name.endswith(_SLICE):  # whose place its own name tells
        return manager + expand_slice(unit.name)
    return f"{manager}{expand_slice(unit.slice)}/{unit.name}"


def planned(layout: Layout, unit: Unit, uid: int) -> dict[str, str]:
    """Controller ("" for v2) -> the directory where the unit's cgroup is expected.

    Where a user's systemd lives is known for sure only when the unit is there; until then it is where this process
    belongs to one, or where systemd puts that of `uid`.
    """
    group = control_group(unit, user_manager(layout.own.get("", "/"), uid) if unit.user else "")
    return directories(layout, group)


def directories(layout: Layout, group: str) -> dict[str, str]:
    """The same path in every hierarchy."""
    return {controller: f"{'' if mount == '/' else mount}{group}" for controller, mount in layout.mounts.items()}


def user_manager(own: str, uid: int) -> str:
    """The cgroup of the user's systemd, guessed from that of this process."""
    head, found, _ = own.partition("/user@")
    if found:
        service = own[len(head) + 1 :].partition("/")[0]
        if service.endswith(".service"):
            return f"{head}/{service}"
    return f"/user.slice/user-{uid}.slice/user@{uid}.service"


def addresses(user: bool, environment: Mapping[str, str], uid: int, nested: bool) -> tuple[str, ...]:
    """Where to look for systemd, the best place first.

    `environment`: the caller's. `nested`: this process is in a user namespace, where `uid` says nothing.
    """
    if not user:
        return _SYSTEM[0], environment.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM[1]
    own = environment.get("XDG_RUNTIME_DIR") or ("" if nested else f"/run/user/{uid}")
    given = [one for one in environment.get("DBUS_SESSION_BUS_ADDRESS", "").split(";") if one]
    usual = [f"unix:path={own}/systemd/private", f"unix:path={own}/bus"] if own else []
    if given and not any(one.partition(",")[0] == f"unix:path={own}/bus" for one in given):
        return tuple(given)  # of somebody who wants another one
    return tuple(usual)
