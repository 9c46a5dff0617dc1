"""What the first process shows decides nothing: exec comes into the namespaces and the root that the container was
created with, or not at all. Every attack has its control: the same container, whose first process has done nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import Done
from tests.security.harness import Arena
from tests.security.hostile.program import NOTHING, Hostile, attack, capable, every, recycle, user

pytestmark = pytest.mark.root

KINDS = ("mnt", "net", "ipc", "uts", "pid", "user", "cgroup", "time")
LEFT = "cannot exec: the container's first process is not in its {} namespace any more"
_NAMES = {"mnt": "mount", "net": "network"}

Make = Callable[..., Hostile]


def entered(made: Hostile, *flags: str) -> dict[str, str]:
    """The namespaces of a process of exec, by kind."""
    script = "for kind in " + " ".join(KINDS) + "; do readlink /proc/self/ns/$kind; done"
    done = made.arena("exec", *flags, made.id, "/bin/sh", "-c", script)
    assert (done.returncode, done.stderr) == (0, ""), done
    return dict(line.split(":", 1) for line in done.stdout.split())


def refused(done: Done, text: str) -> None:
    assert (done.returncode, done.stdout) == (255, ""), done
    assert text in done.stderr, done.stderr
    assert done.stderr.count("level=error") == 1 and "Traceback" not in done.stderr


def forget(made: Hostile) -> None:
    """As an older pyoci has written it: nothing of its namespaces."""
    record = made.record()
    assert record["pyoci"].pop("identity")
    (made.arena.root / made.id / "state.json").write_text(json.dumps(record))


def of(config: dict[str, Any], *kinds: str) -> None:
    config["linux"]["namespaces"] = [{"type": kind} for kind in kinds]


recorded = pytest.mark.parametrize("old", [False, True], ids=["recorded", "of an older pyoci"])


@recorded
@pytest.mark.parametrize("action", [NOTHING, "unshare=user"])
def test_a_user_namespace_of_its_own_is_not_joined(hostile: Make, action: str, old: bool) -> None:
    """It takes no capability to make one. exec failed then, or gave the caller's process to that namespace."""
    made = hostile(action, "say", change=user())
    if old:
        forget(made)
    assert (made.namespace("user") == os.readlink("/proc/self/ns/user")) is (action == NOTHING)
    found = entered(made)
    assert found["user"] == os.readlink("/proc/self/ns/user").partition(":")[2]
    for kind in ("mnt", "net", "ipc", "uts", "pid"):
        assert found[kind] == made.namespace(kind).partition(":")[2], kind


@recorded
@pytest.mark.parametrize("kind", ["mnt", "net", "ipc", "uts"])
def test_who_has_left_is_not_followed(hostile: Make, kind: str, old: bool) -> None:
    control = hostile(NOTHING, change=user(), id="control")
    made = hostile(f"unshare=user,{kind}", "say", change=user())
    for one in (control, made) if old else ():
        forget(one)
    assert entered(control)
    refused(made.arena("exec", "c", "/bin/true"), LEFT.format(_NAMES.get(kind, kind)))
    assert made.arena.status("c") == "running"
    assert made.arena("delete", "--force", "c").stderr == ""


@recorded
@pytest.mark.parametrize("kind", ["mnt", "net", "ipc", "uts"])
def test_a_number_that_is_used_again(arena: Arena, kind: str, old: bool) -> None:
    """The namespace has the inode number of the container's, and another owner."""
    made = recycle(arena, kind, user())
    assert made.record()["pyoci"]["identity"][_NAMES.get(kind, kind)][1] == int(made.namespace(kind)[:-1].split("[")[1])
    if old:
        forget(made)
    refused(arena("exec", made.id, "/bin/true"), LEFT.format(_NAMES.get(kind, kind)))


@recorded
def test_a_user_namespace_below_the_container_s(arena: Arena, old: bool) -> None:
    """A container with a user namespace, whose root makes another one in it."""

    def with_user(config: dict[str, Any]) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        for kind in ("uidMappings", "gidMappings"):
            config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "cgroup"]

    control = attack(arena, NOTHING, change=with_user, id="control")
    made = attack(arena, "unshare=user", "say", change=with_user)
    for one in (control, made) if old else ():
        forget(one)
    found = entered(control)
    assert found["user"] == control.namespace("user").partition(":")[2] != made.namespace("user").partition(":")[2]
    refused(arena("exec", "c", "/bin/true"), LEFT.format("user"))


def test_a_pid_namespace_for_its_children(hostile: Make) -> None:
    """exec joins that of the process, not the one that its children would be in."""
    made = hostile("children=pid", "say", change=capable("SYS_ADMIN"))
    with pytest.raises(FileNotFoundError):  # there is one, without a process
        made.namespace("pid_for_children")
    assert entered(made)["pid"] == made.namespace("pid").partition(":")[2]


@recorded
def test_kinds_that_config_json_does_not_name(hostile: Make, old: bool) -> None:
    """They are the runtime's: what the first process has made of them is its own affair."""

    def without(config: dict[str, Any]) -> None:
        of(config, "pid", "mount")
        config.pop("hostname")
        config["mounts"] = [one for one in config["mounts"] if one["type"] not in ("sysfs", "cgroup", "mqueue")]

    made = hostile("unshare=net,ipc,uts", "say", change=every(capable("SYS_ADMIN"), without))
    if old:
        forget(made)
    found = entered(made)
    for kind in ("net", "ipc", "uts"):
        assert made.namespace(kind) != os.readlink(f"/proc/self/ns/{kind}")
        assert found[kind] == os.readlink(f"/proc/self/ns/{kind}").partition(":")[2]
    assert found["pid"] == made.namespace("pid").partition(":")[2]


def no_mounts(config: dict[str, Any]) -> None:
    of(config, "pid", "uts")
    config.update(mounts=[])
    config["linux"].update(maskedPaths=[], readonlyPaths=[])


@pytest.mark.parametrize("action", [NOTHING, "chroot=/other", "unshare=mnt"])
def test_the_root_of_a_container_without_a_mount_namespace(hostile: Make, action: str) -> None:
    """It is the one that create has recorded, whatever the first process has made of its own."""
    made = hostile("mkdir=/other", action, "say", change=every(capable("SYS_CHROOT", "SYS_ADMIN"), no_mounts))
    root = os.stat(f"/proc/{made.pid}/root").st_ino
    assert (root != os.stat(made.bundle / "rootfs").st_ino) is (action == "chroot=/other")
    done = made.arena("exec", "c", "/bin/ls", "/")
    assert (done.returncode, done.stderr) == (0, "") and "hostile" in done.stdout.split(), done
    done = made.arena("exec", "c", "/bin/stat", "-c", "%i", "/")
    assert int(done.stdout) == os.stat(made.bundle / "rootfs").st_ino


def test_a_root_that_the_first_process_has_changed_and_nobody_recorded(hostile: Make) -> None:
    change = every(capable("SYS_CHROOT"), no_mounts)
    control = hostile("mkdir=/other", NOTHING, change=change, id="control")
    made = hostile("mkdir=/other", "chroot=/other", "say", change=change)
    for one in (control, made):
        forget(one)
    assert control.arena("exec", "control", "/bin/true").stderr == ""
    refused(made.arena("exec", "c", "/bin/true"), "is not the directory any more that is the container's root")


@pytest.mark.parametrize("there", [False, True])
def test_a_root_that_was_replaced(hostile: Make, there: bool) -> None:
    made = hostile(NOTHING, change=no_mounts)
    assert made.arena("exec", "c", "/bin/true").stderr == ""
    rootfs = made.bundle / "rootfs"
    rootfs.rename(made.bundle / "before")
    if there:
        rootfs.mkdir()
    text = "is not the directory any more that is" if there else "root is not there any more"
    refused(made.arena("exec", "c", "/bin/true"), text)


def test_a_runtime_outside_of_the_user_namespace_that_the_container_was_made_in(any_arena: Arena) -> None:
    """Without a user namespace of its own the process of exec would have all privileges of whoever calls it."""
    made = attack(any_arena, NOTHING)
    record = made.record()["pyoci"]["identity"]["mount"]
    own = os.stat("/proc/self/ns/user").st_ino
    assert (record[3] == own) is (any_arena.mode == "root")
    any_arena.prefix = ()
    done = any_arena("exec", "c", "/bin/true")
    if any_arena.mode == "nested":
        assert done.returncode == 255 and "namespace any more" in done.stderr
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_a_joined_namespace_is_recorded_with_its_owner(arena: Arena) -> None:
    """One that another user namespace owns, as an engine may give it; an older pyoci's is compared with the path."""
    other = attack(arena, "unshare=user,net", "say", change=user(), id="other")
    where = f"/proc/{other.pid}/ns/net"

    def joined(config: dict[str, Any]) -> None:
        for one in config["linux"]["namespaces"]:
            if one["type"] == "network":
                one["path"] = where
        config["mounts"] = [one for one in config["mounts"] if one["type"] != "sysfs"]

    made = attack(arena, NOTHING, change=joined)
    assert entered(made)["net"] == other.namespace("net").partition(":")[2]
    forget(made)
    assert entered(made)["net"] == other.namespace("net").partition(":")[2]
    assert arena("delete", "--force", "other").stderr == ""
    refused(arena("exec", "c", "/bin/true"), LEFT.format("network"))


def test_what_is_recorded(arena: Arena) -> None:
    """Device and inode of each namespace and of its owner."""
    made = attack(arena, NOTHING)
    identity = made.record()["pyoci"]["identity"]
    assert set(identity) == {one["type"] for one in made.record()["config"]["namespaces"]}
    own = os.stat("/proc/self/ns/user")
    for kind, found in identity.items():
        status = os.stat(f"/proc/{made.pid}/ns/{'mnt' if kind == 'mount' else 'net' if kind == 'network' else kind}")
        assert found == [status.st_dev, status.st_ino, own.st_dev, own.st_ino], kind
    assert Path(f"/proc/{made.pid}").exists()
