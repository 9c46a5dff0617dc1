"""A container whose first process is hostile (hostile.c): it leaves its namespaces, changes its name, its root or its
cgroup, freezes itself, or ends its main thread, and what it shows from then on is what the runtime must not believe.

The fixtures are in conftest.py: `hostile(*actions)` starts one and returns when it has done its worst, and
`hostile(NOTHING)` is the positive control: the same program, which does none of it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.container.box import until
from tests.security.harness import Arena, helper

Change = Callable[[dict[str, Any]], object]

NOTHING = "say"  # the action of the positive control
WAITING = "name=" + b"pyoci:init".hex()  # the name of a process that waits for start

# Names that break a parser: of lines, of /proc/PID/stat, of /proc/PID/status, of UTF-8.
NAMES = (
    b"pyoci:init",
    b"a\nTgid:\t1\nb",
    b"x) Z 1 1 1",
    b"\rb\x0bc\x0cd",
    b"a\xe2\x80\xa8b\xc2\x85c",
    b"\xff\xfe\x80",
    b"",
)


class Hostile:
    """One such container. `pid`: its first process, by the host's number."""

    def __init__(self, arena: Arena, id: str, bundle: Path) -> None:
        self.arena = arena
        self.id = id
        self.bundle = bundle
        self.pid = int(self.record()["init_process_pid"])

    def record(self) -> dict[str, Any]:
        """Its state.json."""
        found: dict[str, Any] = json.loads((self.arena.root / self.id / "state.json").read_text())
        return found

    def namespace(self, kind: str) -> str:
        """What /proc/PID/ns/KIND shows now."""
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    def says(self, text: str) -> bool:
        return text in self.output.read_text("utf-8", "replace")

    output: Path


def attack(arena: Arena, *actions: str, change: Change | None = None, id: str = "c", command: str = "run") -> Hostile:
    """Start it, and wait until it has said that it has done the actions before the first "say", one of which there has
    to be. `command` "create": it waits for start, and nothing has been done yet."""
    assert NOTHING in actions

    def edit(config: dict[str, Any]) -> None:
        config["process"]["args"] = ["/hostile", *actions]
        if change is not None:
            change(config)

    bundle = arena.bundle("/hostile", "say", change=edit)
    shutil.copy(helper("hostile/hostile"), bundle / "rootfs/hostile")
    flags = ("--detach",) if command == "run" else ()
    done = arena(command, *flags, "--bundle", str(bundle), id)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    made = Hostile(arena, id, bundle)
    made.output = arena.directory / f"output-{arena.count}.out"
    if command == "run":
        until(lambda: made.says("\n"), "it has done its worst")
        assert made.says("attacked\n"), made.output.read_text()
    return made


def recycle(arena: Arena, kind: str, change: Change) -> Hostile:
    """One whose namespace `kind` belongs to its own user namespace and has the inode number of the one that it had
    before. Somebody else on this machine may get the number first: then another one tries."""
    for attempt in range(20):
        made = attack(arena, f"unshare=user,{kind}", "say", f"recycle={kind}", "say", change=change, id=f"c{attempt}")
        until(lambda made=made: made.says("attacked\nattacked\n") or made.says("cannot"), "it has tried")  # type: ignore[misc]
        if not made.says("cannot"):
            return made
    raise AssertionError(f"20 containers, and none got its number of {kind} again")


def user(uid: int = 1000, gid: int = 1000) -> Change:
    """A first process without any capability."""

    def change(config: dict[str, Any]) -> None:
        config["process"]["user"] = {"uid": uid, "gid": gid}
        config["process"].pop("capabilities", None)

    return change


def capable(*names: str) -> Change:
    """One with these capabilities, as root of the container."""

    def change(config: dict[str, Any]) -> None:
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind] = [f"CAP_{name}" for name in names]

    return change


def with_cgroups(config: dict[str, Any]) -> None:
    """The hierarchies of the host, to be written to, as a privileged container may have them."""
    config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]
    config["mounts"].append(
        {"destination": "/cgroups", "type": "bind", "source": "/sys/fs/cgroup", "options": ["rbind", "rw"]}
    )


def beside(control: Hostile) -> list[tuple[str, str]]:
    """For every hierarchy but cpuset (which wants to be set up first) a cgroup outside of the container's, where its
    first process may go: the host's name and that of `with_cgroups`."""
    cgroups = control.record()["cgroup_paths"]
    paths = dict.fromkeys(path for controller, path in cgroups.items() if controller != "cpuset")
    outside = [f"{path.rpartition('/')[0]}/outside" for path in paths]
    return [(path, path.replace("/sys/fs/cgroup", "/cgroups", 1)) for path in outside]


def every(*changes: Change) -> Change:
    def change(config: dict[str, Any]) -> None:
        for one in changes:
            one(config)

    return change
