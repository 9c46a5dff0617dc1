"""What is asked for read-only is read-only, or there is no container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.security.harness import Arena

pytestmark = pytest.mark.root

Config = dict[str, Any]


def root(config: Config, source: Path) -> str:
    config["root"]["readonly"] = True
    return "/"


def tmpfs(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/new", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]})
    return "/new"


def tmpfs_through_a_link(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/link/new", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]})
    return "/tmp/new"


def dev(config: Config, source: Path) -> str:
    for one in config["mounts"]:
        if one["destination"] == "/dev":
            one["options"].append("ro")
    return "/dev"


def sys(config: Config, source: Path) -> str:
    return "/sys"


def sys_of_the_host(config: Config, source: Path) -> str:
    """Without a network namespace of its own a user namespace gets the host's."""
    linux = config["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "network"]
    return "/sys"


def cgroup(config: Config, source: Path) -> str:
    return "/sys/fs/cgroup"


def bind(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/bound", "source": str(source), "options": ["bind", "ro"]})
    return "/bound"


def bind_recursive(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/bound", "source": str(source), "options": ["rbind", "rro"]})
    return "/bound"


def bind_file(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/file", "source": str(source / "file"), "options": ["bind", "ro"]})
    return "/file"


def remount(config: Config, source: Path) -> str:
    config["mounts"].append({"destination": "/bound", "source": str(source), "options": ["bind"]})
    config["mounts"].append({"destination": "/bound", "source": str(source), "options": ["bind", "remount", "ro"]})
    return "/bound"


def path(config: Config, source: Path) -> str:
    config["linux"]["readonlyPaths"].append("/tmp")
    return "/tmp"


def proc_sys(config: Config, source: Path) -> str:
    return "/proc/sys"


def masked_directory(config: Config, source: Path) -> str:
    config["linux"]["maskedPaths"].append("/etc")
    return "/etc"


KINDS = [root, tmpfs, tmpfs_through_a_link, dev, sys, sys_of_the_host, cgroup, bind, bind_recursive, bind_file]
KINDS += [remount, path, proc_sys, masked_directory]


@pytest.mark.parametrize("kind", KINDS)
def test_read_only(any_arena: Arena, tmp_path: Path, kind: Any) -> None:
    """By the kernel's word (statfs, mountinfo); only what a user namespace cannot have may fail instead."""
    arena = any_arena
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("")
    names: list[str] = []

    def change(config: Config) -> None:
        if arena.mode == "nested" and kind is cgroup:
            options = ["ro", "nosuid", "nodev", "noexec"]
            config["mounts"].append({"destination": "/sys/fs/cgroup", "type": "cgroup", "options": options})
        names.append(kind(config, source))
        config["process"]["args"] = ["/reporter", "report", names[0]]

    bundle = arena.bundle("true", change=change)
    (bundle / "rootfs/link").symlink_to("/tmp")
    done = arena.run(bundle)
    if done.returncode:
        assert arena.is_clean_failure(done), done
        assert kind in (cgroup, sys_of_the_host) and arena.mode != "root", done.stderr
        return
    seen = json.loads(done.stdout)
    assert seen["files"][names[0]]["mount_flags"] & 1, "ST_RDONLY"
    mounts = [line.split() for line in seen["mountinfo"]]
    place = [fields for fields in mounts if fields[4] == names[0]]
    assert place and place[-1][5].split(",")[0] == "ro"
    if kind in (sys, sys_of_the_host, bind_recursive):
        below = [fields for fields in mounts if fields[4].startswith(f"{names[0]}/")]
        assert [fields[4] for fields in below if "rw" in fields[5].split(",")] == []


def test_what_nobody_asked_for_is_writable(any_arena: Arena, tmp_path: Path) -> None:
    """The control: the report tells one from the other."""

    def change(config: Config) -> None:
        config["mounts"].append({"destination": "/bound", "source": str(tmp_path), "options": ["bind"]})

    bundle = any_arena.bundle("/reporter", "report", "/bound", "/tmp", "/dev", "/", change=change)
    seen = json.loads(any_arena.run(bundle).stdout)
    assert [file["mount_flags"] & 1 for file in seen["files"].values()] == [0, 0, 0, 0]


@pytest.mark.parametrize("kind", [root, path, masked_directory])
def test_without_a_mount_namespace(any_arena: Arena, tmp_path: Path, kind: Any) -> None:
    """Refused: it would be done to the host."""
    arena = any_arena

    def usual(config: Config) -> None:
        linux = config["linux"]
        linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != "mount"]
        linux.update(maskedPaths=[], readonlyPaths=[])
        config["mounts"] = []

    def change(config: Config) -> None:
        usual(config)
        kind(config, tmp_path)

    if arena.mode != "userns":
        done = arena.run(arena.bundle("true", change=usual))
        assert (done.returncode, done.stderr) == (0, "")
    done = arena.run(arena.bundle("true", change=change))
    assert arena.is_clean_failure(done)
    assert "without a private MNT namespace" in done.stderr.splitlines()[0]
