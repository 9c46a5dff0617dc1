"""Which cgroup hierarchies there are, where they are mounted, and where this process is in them.

v2       one hierarchy, at /sys/fs/cgroup: the file system's magic number says so
hybrid   v1 hierarchies below /sys/fs/cgroup and a v2 one at /sys/fs/cgroup/unified
v1       v1 hierarchies only

/proc/self/cgroup names the active v1 hierarchies, and by custom (Linux-PAM, systemd, docker, OpenRC) each is mounted at
/sys/fs/cgroup/<its controllers>; so mountinfo, which costs milliseconds on a busy host, is read only where that custom
was not kept, or in a container that sees a part of a hierarchy. cgroups(7).

The decision: docs/decisions/no-traces-on-the-host.md.
"""

from __future__ import annotations

from pyoci import os
from pyoci.cgroups.files import ROOT
from pyoci.errors import Error
from pyoci.kernel import mountinfo, textfile
from pyoci.kernel.constants import CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC
from pyoci.kernel.mountinfo import unescape
from pyoci.kernel.path import filesystem_type
from pyoci.pathname import below
from pyoci.record import Record

_SYSTEMD = "name=systemd"
_MAGIC = (CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC)  # of a hierarchy without and with controllers in /proc/self/cgroup


class Layout(Record):
    """mounts: controller -> mount point, "" for the v2 hierarchy, "name=systemd" for systemd's own on v1.

    own: controller -> this process's cgroup, an absolute path below that mount point.
    """

    version: str
    mounts: dict[str, str]
    own: dict[str, str]


def detect() -> Layout:
    """Look at /sys/fs/cgroup and /proc/self/cgroup. Error where no hierarchy is mounted."""
    own = parse_own(textfile.read("/proc/self/cgroup"))
    if magic(ROOT) == CGROUP2_SUPER_MAGIC:
        return Layout(version="v2", mounts={"": ROOT}, own={"": own.get(frozenset(), "/")})
    found = _customary(own) or _scanned(own)
    if not found:
        raise Error("mountpoint for cgroup not found", hint=f"no cgroup file system is mounted at or below {ROOT}")
    return _layout(found)


def magic(path: str) -> int:
    """The file system's magic number; 0 where there is no such path."""
    try:
        directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return filesystem_type(directory)
    finally:
        os.close(directory)


def parse_own(content: bytes) -> dict[frozenset[str], str]:
    """/proc/PID/cgroup: the set of controllers of each hierarchy (empty: v2) -> path of the cgroup."""
    own: dict[frozenset[str], str] = {}
    for line in textfile.lines(content):
        _, names, path = line.split(b":", 2)
        controllers = os.fsdecode(names)
        own[frozenset(controllers.split(",") if controllers else ())] = os.fsdecode(path)
    return own


def _wanted(own: dict[frozenset[str], str]) -> list[frozenset[str]]:
    """The hierarchies a container gets a cgroup in. Of the named ones, which limit nothing, that is systemd's only."""
    return [
        controllers
        for controllers in own
        if controllers == {_SYSTEMD} or not any(name.startswith("name=") for name in controllers)
    ]


def _customary(own: dict[frozenset[str], str]) -> dict[frozenset[str], tuple[str, str]]:
    """Hierarchies mounted where custom has them: controllers -> (mount point, own path); empty if one is not."""
    try:
        names = {frozenset(name.split(",")): name for name in os.listdir(ROOT)}
    except FileNotFoundError:
        return {}
    found = {}
    for controllers in _wanted(own):
        spelled = frozenset(name.removeprefix("name=") for name in controllers) or frozenset(("unified",))
        point = f"{ROOT}/{names.get(spelled, '')}"
        if spelled not in names or magic(point) != _MAGIC[bool(controllers)]:
            if controllers:
                return {}
            continue
        if own[controllers] != "/" and not os.path.isdir(point + own[controllers]):
            return {}  # the mount shows a part of the hierarchy: mountinfo knows which
        found[controllers] = (point, own[controllers])
    return found


def _scanned(own: dict[frozenset[str], str]) -> dict[frozenset[str], tuple[str, str]]:
    """The same from mountinfo, where later lines cover earlier ones; a mount that shows our own cgroup is preferred."""
    visible = {
        point: (root, point, options) for root, point, options in cgroup_mounts(textfile.read("/proc/self/mountinfo"))
    }
    found = {}
    for controllers in _wanted(own):
        shown = [
            (point, inside(own[controllers], root))
            for root, point, options in visible.values()
            if _shows(controllers, options) and magic(point) == _MAGIC[bool(controllers)]
        ]
        if shown:
            point, path = next((one for one in shown if one[1]), shown[0])
            found[controllers] = (point, path or "/")
    return found


def _shows(controllers: frozenset[str], options: frozenset[str] | None) -> bool:
    return not controllers if options is None else bool(controllers) and controllers <= options


def inside(path: str, root: str) -> str:
    """`path` as seen at a mount that shows the hierarchy from `root` on, "" if it is not seen there."""
    if root == "/":
        return path
    return below(path, root)


def cgroup_mounts(content: bytes) -> list[tuple[str, str, frozenset[str] | None]]:
    """The cgroup mounts of /proc/PID/mountinfo: root, mount point, and options of the v1 hierarchy, None for v2."""
    return [
        (
            unescape(one.root),
            unescape(one.point),
            frozenset(one.superblock.split(",")) if one.kind == "cgroup" else None,
        )
        for one in mountinfo.mounts(content)
        if one.kind in ("cgroup", "cgroup2")
    ]


def _layout(found: dict[frozenset[str], tuple[str, str]]) -> Layout:
    mounts: dict[str, str] = {}
    inside: dict[str, str] = {}
    for controllers, (point, path) in found.items():
        for name in sorted(controllers) or [""]:
            mounts[name], inside[name] = point, path
    version = "v1" if "" not in mounts else "v2" if len(mounts) == 1 else "hybrid"
    return Layout(version=version, mounts=mounts, own=inside)
