"""One container with everything that is otherwise tested step by step: what config.json says arrives in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.container.box import SOON, Box
from tests.container.exec.started import seen, started
from tests.steps.look import Config, Look, changes, process, user_namespace

pytestmark = pytest.mark.root


def test_mounts(box: Box, look: Look) -> None:
    source = box.directory / "source"
    source.mkdir()
    (source / "file").touch()
    os.chown(source / "file", 5, 6)

    def change(config: Config) -> None:
        config["mounts"] += [
            {"destination": "/bound", "source": str(source), "type": "none", "options": ["bind", "ro", "nosuid"]},
            {"destination": "/new", "source": "named", "type": "tmpfs", "options": ["size=1m", "mode=710"]},
        ]

    found = look(change, "/bound/file", "/new", "/bound")["files"]
    assert (found["/bound/file"]["uid"], found["/bound"]["mount_flags"] & 3) == (5, 3)
    assert (found["/new"]["mode"], found["/new"]["type"]) == (0o710, "directory")


def test_mapped_mounts(box: Box, look: Look) -> None:
    source = box.directory / "source"
    source.mkdir()
    os.chown(source, 5, 6)

    def change(config: Config) -> None:
        mount: Config = {"destination": "/data", "source": str(source), "options": ["bind"]}
        mount["uidMappings"] = [{"containerID": 5, "hostID": 2000, "size": 3}]
        mount["gidMappings"] = [{"containerID": 4, "hostID": 3000, "size": 7}]
        config["mounts"].append(mount)

    data = look(change, "/data")["files"]["/data"]
    assert (data["uid"], data["gid"]) == (2000, 3002)


def test_devices(look: Look) -> None:
    def change(config: Config) -> None:
        config["linux"]["devices"] = [
            {"path": "/dev/one", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/two", "type": "b", "major": 7, "minor": 9},
        ]

    found = look(change, "/dev/one", "/dev/two")["files"]
    one = {key: found["/dev/one"][key] for key in ("type", "major", "minor", "mode", "uid", "gid")}
    assert one == {"type": "char", "major": 1, "minor": 5, "mode": 0o640, "uid": 3, "gid": 4}
    assert (found["/dev/two"]["type"], found["/dev/two"]["minor"]) == ("block", 9)


def test_masked_and_read_only_paths(look: Look) -> None:
    def change(config: Config) -> None:
        config["linux"].update(maskedPaths=["/proc/uptime", "/proc/fs"], readonlyPaths=["/proc/bus"])

    found = look(change, "/proc/uptime", "/proc/fs", "/proc/bus", "/proc/irq")["files"]
    assert (found["/proc/uptime"]["type"], found["/proc/uptime"]["minor"]) == ("char", 3)
    assert found["/proc/fs"]["entries"] == []
    assert (found["/proc/bus"]["mount_flags"] & 1, found["/proc/irq"]["mount_flags"] & 1) == (1, 0)


def test_cgroups_path(box: Box, look: Look) -> None:
    def change(config: Config) -> None:
        config["linux"]["cgroupsPath"] = f"/{box.mark}/here"
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "cgroup"]

    assert {line.rpartition("/")[2] for line in look(change)["cgroup"] if box.mark in line} == {"here"}


def test_a_user_namespace(box: Box, look: Look) -> None:
    def change(config: Config) -> None:
        user_namespace(100000, 10)(config)
        config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 20}]
        config["mounts"] = [one for one in config["mounts"] if one["type"] not in ("cgroup", "devpts")]
        for rootfs in box.directory.glob("bundle-*/rootfs"):
            os.chown(rootfs, 100000, 200000)

    found = look(changes(change, process(user={"uid": 3, "gid": 4})))
    maps = [" ".join(found[key][0].split()) for key in ("uid_map", "gid_map")]
    assert maps == ["0 100000 10", "0 200000 20"]
    assert (found["uid"][0], found["gid"][0]) == (3, 4)


def test_clock_offsets_to_the_nanosecond(box: Box) -> None:
    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        clocks = {"monotonic": {"secs": 5, "nanosecs": 7}, "boottime": {"secs": 11, "nanosecs": 999_999_999}}
        config["linux"]["timeOffsets"] = clocks

    assert box("run", "--detach", "--bundle", str(box.bundle("sleep", change=change)), "a").stderr == ""
    lines = Path(f"/proc/{box.state('a')['pid']}/timens_offsets").read_text().splitlines()
    assert [line.split()[1:] for line in lines] == [["5", "7"], ["11", "999999999"]]


@pytest.mark.parametrize(
    ("affinity", "cpus"),
    [({"initial": "0"}, [0]), ({"final": "0"}, [0]), ({"initial": "0", "final": "1"}, [1]), ({}, [0, 1])],
)
def test_the_cpus_of_exec(box: Box, affinity: dict[str, str], cpus: list[int]) -> None:
    """Those of config.json; without any, all."""
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("one CPU is all there is")

    def change(config: dict[str, Any]) -> None:
        config["process"]["execCPUAffinity"] = affinity

    started(box, change)
    found = seen(box)["affinity"]
    assert found == cpus or (not affinity and set(cpus) <= set(found))


@pytest.mark.parametrize("type", ["network", "user", "mount"])
def test_a_namespace_whose_path_is_a_fifo(box: Box, type: str) -> None:
    """Refused, and not waited for."""
    os.mkfifo(box.directory / "fifo")

    def change(config: Config) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != type]
        config["linux"]["namespaces"].append({"type": type, "path": str(box.directory / "fifo")})

    done = box("run", "--bundle", str(box.bundle("exit", "0", change=change)), "a", timeout=SOON)
    assert done.returncode == 1 and f"open the {type} namespace" in done.stderr, done
