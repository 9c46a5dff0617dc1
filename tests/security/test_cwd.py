"""Making process.cwd makes nothing outside the root (CVE-2026-55686, CVE-2024-21626)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import RACES, Arena

pytestmark = pytest.mark.root


def at(cwd: str, *, mount_namespace: bool = True, uid: int = 0) -> Any:
    def change(config: dict[str, Any]) -> None:
        config["process"]["cwd"] = cwd
        config["process"]["user"] = {"uid": uid, "gid": uid}
        if not mount_namespace:
            linux = config["linux"]
            linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "mount"]
            linux.update(maskedPaths=[], readonlyPaths=[])
            config["mounts"] = []

    return change


def links(rootfs: Path, canary: Path) -> None:
    (rootfs / "absolute").symlink_to(canary)
    (rootfs / "relative").symlink_to("../" * 20 + str(canary)[1:])
    (rootfs / "deep").mkdir()
    (rootfs / "deep/link").symlink_to("../../../.." + str(canary))


CASES = ["/absolute/a/b", "/relative/a/b", "/deep/link/a", "/absolute/dir", "/absolute", "/deep/../relative/new"]


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("cwd", CASES)
def test_through_links(any_arena: Arena, cwd: str, uid: int) -> None:
    """The directory is made where the link leads below the root; it is root's, and nothing else changes its owner."""
    arena = any_arena
    bundle = arena.bundle("pwd", change=at(cwd, uid=uid))
    links(bundle / "rootfs", arena.canary)
    done = arena.run(bundle)
    assert (done.returncode, done.stderr) == (0, ""), done
    made = bundle / "rootfs" / done.stdout.strip()[1:]
    assert made.is_dir()
    assert (made.stat().st_uid, made.stat().st_gid) == (0, 0)


@pytest.mark.parametrize("cwd", ["/../../canary", "/../" * 20 + "canary", "/../{canary}/new"])
def test_dots(any_arena: Arena, cwd: str) -> None:
    """At the root ".." is the root: what is made lies below it."""
    arena = any_arena
    bundle = arena.bundle("pwd", change=at(cwd.format(canary=str(arena.canary))))
    done = arena.run(bundle)
    inside = os.path.normpath(cwd.format(canary=str(arena.canary)))
    assert (done.stdout, done.stderr) == (f"{inside}\n", ""), done
    assert (bundle / "rootfs" / inside[1:]).is_dir()


@pytest.mark.parametrize("cwd", ["/absolute/a/b", "/relative/a", "/new/one"])
def test_without_a_mount_namespace(arena: Arena, cwd: str) -> None:
    bundle = arena.bundle("pwd", change=at(cwd, mount_namespace=False))
    links(bundle / "rootfs", arena.canary)
    done = arena.run(bundle)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert (bundle / "rootfs" / done.stdout.strip()[1:]).is_dir()


@pytest.mark.parametrize("number", range(3, 16))
def test_descriptors_are_no_way_out(arena: Arena, number: int) -> None:
    """Whatever the runtime has open when it changes directory: it is not left standing there."""
    done = arena.run(arena.bundle("pwd; ls ..", change=at(f"/proc/self/fd/{number}")))
    assert arena.is_clean_failure(done), done
    assert done.stdout == ""


def test_a_directory_of_procfs_is_none_of_them(arena: Arena) -> None:
    """The control: it is not the name that is refused."""
    done = arena.run(arena.bundle("pwd", change=at("/proc/self")))
    assert (done.stdout, done.stderr) == ("/proc/1\n", "")


def test_race(arena: Arena) -> None:
    """A component is swapped with a link to the canary all the time."""
    bundle = arena.bundle("true", change=at("/swapped/new"))
    swapped, link = bundle / "rootfs/swapped", bundle / "rootfs/link"
    swapped.mkdir()
    link.symlink_to("../" * 20 + str(arena.canary)[1:])
    ends = set()
    with arena.swapping(swapped, link):
        for _ in range(RACES):
            done = arena.run(bundle)
            assert done.returncode == 0 or arena.is_clean_failure(done), done
            ends.add(done.returncode)
            for place in (swapped, link):
                try:
                    os.rmdir(place / "new")
                except OSError:
                    pass
    assert 0 in ends
