"""A body in a process and namespaces of its own: whatever it mounts, joins or drops ends with it."""

from __future__ import annotations

import os
import pickle
import select
import signal
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from pyoci.kernel import mount, namespace
from pyoci.kernel.constants import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_PRIVATE,
)

# Flags of mount(2) that pyoci does without.
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 1 << 1, 1 << 2, 1 << 3, 1 << 12

__all__ = ["CLONE_NEWCGROUP", "CLONE_NEWIPC", "CLONE_NEWNET", "CLONE_NEWNS", "CLONE_NEWPID", "CLONE_NEWTIME"]
__all__ += ["MS_BIND", "MS_NODEV", "MS_NOEXEC", "MS_NOSUID"]
__all__ += ["CLONE_NEWUSER", "CLONE_NEWUTS", "in_namespace", "mountinfo", "top_mount", "user_namespace"]

LIMIT = 60  # seconds: only a hang takes so long
MAP = "0 100000 65536\n"

T = TypeVar("T")


def in_namespace(body: Callable[[], T], flags: int = CLONE_NEWNS, id_map: str = MAP) -> T:
    """Run `body` as root of new namespaces in a forked process; return what it returns, raise what it raises.

    The mount namespace is private. With CLONE_NEWPID the body is pid 1; with CLONE_NEWUSER its ids are mapped by
    `id_map`. flags 0: a process of its own and nothing else. What comes back is pickled.
    """
    reading, writing = os.pipe()
    asking, answering = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(body, flags, writing, asking[1], answering[0])
    os.close(writing)
    os.close(asking[1])
    os.close(answering[0])
    try:
        if os.read(asking[0], 1):
            for kind in ("uid", "gid"):
                with open(f"/proc/{pid}/{kind}_map", "w") as file:
                    file.write(id_map)
            os.write(answering[1], b"x")
        data = _read(reading, pid)
    finally:
        for descriptor in (reading, asking[0], answering[1]):
            os.close(descriptor)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not data:
        raise AssertionError(f"the process ended with status {status} and without a result")
    kind, value = pickle.loads(data)
    if kind == "raised":
        raise value
    returned: T = value
    return returned


def _read(descriptor: int, pid: int) -> bytes:
    data = b""
    while True:
        if not select.select([descriptor], [], [], LIMIT)[0]:
            os.kill(pid, signal.SIGKILL)
            raise AssertionError(f"the process has not ended after {LIMIT} s")
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return data
        data += chunk


def _child(body: Callable[[], object], flags: int, result: int, asking: int, answer: int) -> NoReturn:
    try:
        if flags & CLONE_NEWUSER:
            namespace.unshare(CLONE_NEWUSER)
            os.write(asking, b"x")
            os.read(answer, 1)
            os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        os.close(asking)
        if flags & ~CLONE_NEWUSER:
            namespace.unshare(flags & ~CLONE_NEWUSER)
        if flags & (CLONE_NEWPID | CLONE_NEWTIME):
            pid = os.fork()
            if pid:
                os.close(result)
                os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
        if flags & CLONE_NEWNS:
            root = os.open("/", os.O_PATH)
            mount.set_attributes(root, propagation=MS_PRIVATE, recursive=True)
            os.close(root)
        outcome: tuple[str, object] = ("returned", body())
    except BaseException as error:
        outcome = ("raised", error)
    try:
        data = pickle.dumps(outcome)
    except Exception as error:
        data = pickle.dumps(("raised", AssertionError(f"{outcome[1]!r} cannot be pickled: {error}")))
    view = memoryview(data)
    while view:
        view = view[os.write(result, view) :]
    os._exit(0)


def user_namespace(id_map: str = MAP, owner: int = 0, groups: bool = True) -> int:
    """A descriptor of a user namespace that nobody is in: the user `owner` has made it; setgroups(2) is allowed, or
    forbidden for good."""
    asking, answering = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        if owner:
            os.setgroups([])
            os.setresgid(owner, owner, owner)
            os.setresuid(owner, owner, owner)
        namespace.unshare(CLONE_NEWUSER)
        os.write(asking[1], b"x")
        os.read(answering[0], 1)
        os._exit(0)
    try:
        os.read(asking[0], 1)
        for name, text in (("setgroups", "allow" if groups else "deny"), ("uid_map", id_map), ("gid_map", id_map)):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(text)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.write(answering[1], b"x")
        for descriptor in (*asking, *answering):
            os.close(descriptor)
        os.waitpid(pid, 0)


def mountinfo(below: str = "/") -> list[dict[str, Any]]:
    """The mounts of this process's namespace at or below a path, oldest first: fields of proc(5)."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.rstrip("\n").partition(" - ")
            id, parent, _, root, point, options, *propagation = fields.split(" ")
            kind, source, super_options = rest.split(" ")
            if point == below or point.startswith(below.rstrip("/") + "/"):
                found.append(
                    {
                        "id": int(id),
                        "parent": int(parent),
                        "root": root,
                        "point": point,
                        "options": set(options.split(",")),
                        "propagation": propagation,
                        "type": kind,
                        "source": source,
                        "super": set(super_options.split(",")),
                    }
                )
    return found


def top_mount(point: str) -> dict[str, Any]:
    """The mount that is on top at exactly this point."""
    return [one for one in mountinfo(point) if one["point"] == point][-1]
