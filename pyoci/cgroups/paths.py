"""linux.cgroupsPath -> a directory in every hierarchy. Pure."""

from __future__ import annotations

from pyoci.errors import ConfigError
from pyoci.pathname import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyoci.cgroups.hierarchies import Layout


def plan(layout: Layout, cgroups_path: str | None, id: str) -> dict[str, str]:
    """Controller ("" for v2) -> absolute directory of the container's cgroup.

    An absolute path starts at the hierarchy's root. A relative one, and the container's id if there is none, starts at
    the runtime's own cgroup on v1 and at its parent on v2, where a cgroup with processes cannot have children with
    controllers. ".." never leads out of the hierarchy.
    Raises ConfigError if nothing is left of the path: the root of a hierarchy is nobody's own cgroup.
    Spec: config-linux.md, "Cgroups Path"; runc decides what relative means.
    """
    wanted = cgroups_path or id
    inner = clean(wanted)
    if inner == "/":
        raise ConfigError(
            f"cgroupsPath {wanted!r} names no cgroup of its own",
            pointer="/linux/cgroupsPath",
            hint="give the container a cgroup of its own, such as /parent/name",
        )
    directories = {}
    for controller, mount in layout.mounts.items():
        base = "" if wanted.startswith("/") else clean(layout.own[controller]).rstrip("/")
        if base and layout.version == "v2":
            base = base.rpartition("/")[0]
        directories[controller] = f"{'' if mount == '/' else mount}{base}{inner}"
    return directories
