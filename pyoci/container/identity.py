"""Which namespaces and which root are the container's: measured when it is made, compared when exec comes into it.

What its first process shows later is its own choice: any program may leave its namespaces for new ones (unshare(2);
with CLONE_NEWUSER without a capability), and a container without a mount namespace may change its root. Followed there,
exec would give the caller's process, environment and groups to a user namespace of that program's own.

The record is an object in state.json: for each type of /linux/namespaces the device and inode of its file in
/proc/PID/ns and of the user namespace that owns it. The inode alone is not enough: the kernel gives the number of a
namespace that has ended to the next one, so that a process can leave its namespace and get the same number again; but
not the same owner, which cannot end while there is a user namespace below it. "root" is there if there is no mount
namespace.

The decision: docs/decisions/recorded-identity.md.
"""

from __future__ import annotations

from errno import EPERM

from pyoci import os
from pyoci.cgroups.files import ROOT
from pyoci.container.state import Container
from pyoci.errors import Error, StateError
from pyoci.kernel import namespace, textfile
from pyoci.record import Record
from pyoci.steps.host.context import HostContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOT_NAME = "root"  # beside the types of namespaces


def record(names: tuple[str, ...], descriptors: tuple[int, ...]) -> dict[str, list[int]]:
    """What the container's process is in, by the descriptors that it has sent before it was anybody else's."""
    if len(names) != len(descriptors):
        raise Error("the container's process sent its namespaces, and not all of them")
    found = {}
    for name, descriptor in zip(names, descriptors, strict=True):
        found[name] = _inode(os.fstat(descriptor)) if name == ROOT_NAME else _measure(descriptor)
        os.close(descriptor)
    return found


class Place(Record):
    """Where a process of exec goes, compared with the record. The descriptors are in the context: "ns/KIND", "root".

    joins: names below /proc/PID/ns of the namespaces in which the runtime is not; inodes: device and inode of each.
    chroot: there is no mount namespace. set_groups: setgroups(2) is not forbidden there.
    owner: the runtime's ids of the container's root, -1 for one that is not mapped.
    """

    joins: tuple[str, ...]
    inodes: tuple[tuple[int, int], ...]
    chroot: bool
    set_groups: bool
    owner: tuple[int, int]


def find(container: Container, context: HostContext) -> Place:
    """Open what will be joined, and nothing that config.json does not name.

    Raises StateError if the first process is not any more where create has left it, FileNotFoundError or
    ProcessLookupError if it has ended.
    """
    # Read before the namespaces are compared: who has left a user namespace cannot come back, so it was still there.
    maps = _maps(container, context)
    found = {kind: _open(container, kind, context) for kind, _ in container.namespaces}
    own = {kind: _inode(os.stat(f"self/ns/{_file(kind)}", dir_fd=context.proc)) for kind in {*found, "user"}}
    expected = _expected(container, found, own["user"])
    for kind in sorted(found, key=lambda kind: kind != "user"):  # who has left that one owns none of the others
        if found[kind] != expected[kind]:
            raise _left(container, kind, expected[kind], found[kind])
    joined = {kind: inode for kind, inode in found.items() if inode[:2] != own[kind]}
    mapped = "user" in joined
    if "mount" not in found:
        context.init.descriptors["root"] = _open_root(container, context)
    denied = maps["setgroups"] if mapped else textfile.read_if_there("self/setgroups", context.proc)
    return Place(
        joins=tuple(_file(kind) for kind in joined),
        inodes=tuple((inode[0], inode[1]) for inode in joined.values()),
        chroot="mount" not in found,
        set_groups=denied != b"deny\n",
        owner=(_outside(maps["uid_map"]), _outside(maps["gid_map"])) if mapped else (0, 0),
    )


def _file(kind: str) -> str:
    return namespace.FILES.get(kind, kind)


def _inode(status: Any) -> list[int]:
    return [status.st_dev, status.st_ino]


def _measure(descriptor: int) -> list[int]:
    """Device and inode of the namespace, and of its owner, which is left out if it is outside of our user namespace."""
    found = _inode(os.fstat(descriptor))
    try:
        owner = namespace.owner(descriptor)
    except OSError as error:
        if error.errno != EPERM:
            raise
        return found
    try:
        return found + _inode(os.fstat(owner))
    finally:
        os.close(owner)


def _open(container: Container, kind: str, context: HostContext) -> list[int]:
    """Open the first process's namespace, and measure that."""
    name = f"{container.pid}/ns/{_file(kind)}"
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=context.proc)
    except PermissionError as error:
        raise Error(
            f"cannot look at the container's {kind} namespace: permission denied",
            errno=error.errno or 0,
            hint="without privileges a container can be entered once its program runs, and only by its owner",
        ) from None
    context.undo.add(os.close, descriptor)
    context.init.descriptors[f"ns/{_file(kind)}"] = descriptor
    return _measure(descriptor)


def _expected(container: Container, found: dict[str, list[int]], own_user: list[int]) -> dict[str, list[int]]:
    """What has to be found: what create has recorded, or what can be told without, of a container that was made by
    another runtime, or by a pyoci that recorded nothing.

    There a namespace of a path has to be the one at that path, and a new one has to belong to the container's user
    namespace, a new one of those to ours: without the container's privileges no process can make itself such ones.
    A path that is gone, as /proc/PID/ns/net of a process that has ended, tells nothing: then it has to belong to one of
    these two.
    """
    if container.identity:
        return {kind: _recorded(container, kind, path, found, own_user) for kind, path in container.namespaces}
    user = found["user"][:2] if "user" in found else own_user
    expected = {}
    for kind, path in container.namespaces:
        if not path:
            expected[kind] = found[kind][:2] + (own_user if kind == "user" else user)
            continue
        there = _at(path, found[kind])
        if there:
            expected[kind] = found[kind] if there == found[kind][:2] else there
        else:
            owners = (own_user,) if kind == "user" else (own_user, user)
            expected[kind] = found[kind] if found[kind][2:] in owners else []
    return expected


def _at(path: str, found: list[int]) -> list[int]:
    """The namespace at the path, [] if none is there, or one that tells nothing: the number in /proc may have become
    another process's."""
    try:
        there = _inode(os.stat(path))
    except OSError:
        return []
    is_namespace = there[0] == found[0]  # all are files of one file system
    return [] if not is_namespace or (there != found[:2] and path.startswith("/proc/")) else there


def _recorded(
    container: Container, kind: str, path: str, found: dict[str, list[int]], own_user: list[int]
) -> list[int]:
    """Without a user namespace of its own a container is entered with all privileges of ours: then its namespaces, and
    above all that of its mounts, have to be ours, too, and not of a user namespace around the runtime that made it."""
    recorded = container.identity.get(kind)
    if not isinstance(recorded, list):
        return []
    return recorded if path or "user" in found else recorded[:2] + own_user


def _left(container: Container, kind: str, expected: list[int], found: list[int]) -> StateError:
    was, now = _shown(expected), _shown(found)
    return StateError(
        f"cannot exec: the container's first process is not in its {kind} namespace any more",
        pointer="/linux/namespaces",
        hint=f"/proc/{container.pid}/ns/{_file(kind)} has to be {was}, and is {now}; exec does not follow it"
        + ("" if container.identity else " (whatever created the container has not recorded its namespaces)"),
    )


def _shown(namespace: list[int]) -> str:
    owner = f" of user namespace {namespace[3]}" if len(namespace) == 4 else ""
    return f"{namespace[1]}{owner}" if len(namespace) >= 2 else "one that is not there any more"


def _open_root(container: Container, context: HostContext) -> int:
    """The root of a container without a mount namespace, by the name that create has found it by."""
    try:
        root = os.open(container.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(
            f"cannot exec: the container's root is not there any more: {container.rootfs}",
            pointer="/root/path",
            errno=error.errno or 0,
        ) from None
    context.undo.add(os.close, root)
    expected = container.identity.get(ROOT_NAME)
    if expected is None:
        expected = _inode(os.stat(f"{container.pid}/root", dir_fd=context.proc))
    if _inode(os.fstat(root)) != expected:
        raise StateError(
            f"cannot exec: {container.rootfs} is not the directory any more that is the container's root",
            pointer="/root/path",
            hint="it was replaced, or the first process has changed its root",
        )
    return root


def _maps(container: Container, context: HostContext) -> dict[str, bytes]:
    """What the first process's user namespace says of ids and groups."""
    names = ("uid_map", "gid_map", "setgroups")
    return {name: textfile.read_if_there(f"{container.pid}/{name}", context.proc) for name in names}


def _outside(id_map: bytes) -> int:
    """The runtime's id of id 0 of the namespace with this map."""
    for line in textfile.lines(id_map):
        fields = line.split()
        if fields[:1] == [b"0"]:
            return int(fields[1])
    return -1  # fchown(2) leaves it alone


def cgroup_below(container: Container, proc: int) -> str:
    """The directory of the v2 cgroup in which the first process is, "" unless it is below the container's.

    A program that manages cgroups, as systemd does, leaves the one that it was started in, which then takes no process
    any more. But it may be anywhere else by now, too, and exec follows it within the container's cgroup only.
    """
    for line in textfile.lines(textfile.read_if_there(f"{container.pid}/cgroup", proc)):
        path = ROOT + os.fsdecode(line[3:])
        if line.startswith(b"0::/") and path.startswith(f"{container.cgroups['']}/"):
            return path
    return ""
