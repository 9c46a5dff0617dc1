"""The mount of type "cgroup", on v1 and hybrid, and where cgroup v2 is all there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pyoci.cgroups import hierarchies as layout
from tests.container.box import Box
from tests.steps.look import Config, Seen, changes, parse

pytestmark = pytest.mark.root

HYBRID = layout.detect().version != "v2"
only_v1 = pytest.mark.skipif(not HYBRID, reason="this machine has cgroup v2 only: there are no v1 hierarchies")


def seen(box: Box, change: Any, *paths: str) -> Seen:
    bundle = box.bundle("report", *paths, change=change)
    done = box("run", "--bundle", str(bundle), "cgroups")
    assert (done.returncode, done.stderr) == (0, ""), done
    [found] = parse(done)
    return found


def mounts(found: Seen) -> dict[str, tuple[str, set[str], str]]:
    """Point -> root, options, type; of what is at or below /sys/fs/cgroup."""
    result = {}
    for line in found["mountinfo"]:
        fields = line.split()
        if fields[4].startswith("/sys/fs/cgroup"):
            result[fields[4]] = (fields[3], set(fields[5].split(",")), fields[fields.index("-") + 1])
    return result


def options(*names: str) -> Any:
    def change(config: Config) -> None:
        [entry] = [one for one in config["mounts"] if one["type"] == "cgroup"]
        entry["options"] = list(names)

    return change


def private(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "cgroup"})


@only_v1
@pytest.mark.parametrize("namespace", [False, True])
@pytest.mark.parametrize("access", ["ro", "rw"])
def test_v1_hierarchies(box: Box, namespace: bool, access: str) -> None:
    """One mount for each, showing the container's own cgroup and nothing above it."""
    change = changes(options("nosuid", "noexec", "nodev", access), *([private] if namespace else []))
    found = seen(box, change, "/sys/fs/cgroup")
    here = mounts(found)
    hierarchies = {Path(point).name for point in layout.detect().mounts.values()}
    assert {Path(point).name for point in here} - {"cgroup"} == hierarchies
    top = here.pop("/sys/fs/cgroup")
    assert top[2] == "tmpfs" and {access, "nosuid", "noexec", "nodev"} <= top[1]
    for point, (root, flags, kind) in here.items():
        assert kind == ("cgroup2" if point.endswith("/unified") else "cgroup")
        assert root == "/" if namespace else root.startswith(f"/{box.mark}/"), point
        assert {access, "nosuid", "noexec", "nodev"} <= flags


@only_v1
def test_v1_controllers_that_share_a_hierarchy_are_links(box: Box) -> None:
    found = seen(box, None, "/sys/fs/cgroup")
    names = set(found["files"]["/sys/fs/cgroup"]["entries"])
    for controller, point in layout.detect().mounts.items():
        if controller and not controller.startswith("name="):
            assert {controller, Path(point).name} <= names


@only_v1
def test_the_limits_are_visible(box: Box) -> None:
    """What a program reads to size itself is its own."""

    def change(config: Config) -> None:
        config["linux"]["resources"]["pids"] = {"limit": 77}
        config["process"]["args"] = ["/reporter", "read", "/sys/fs/cgroup/pids/pids.max"]

    bundle = box.bundle(change=change)
    assert box("run", "--bundle", str(bundle), "limits").stdout == "77\n"


V2 = ["cgroup", "cgroup2"]


@pytest.fixture
def v2_box(pyoci: str, tmp_path: Path, reporter: Path) -> Any:
    from tests.container.box import boxes

    yield from boxes(pyoci, tmp_path, f"pyoci-cgroup2-{os.getpid()}", reporter, "v2")


@pytest.mark.parametrize("kind", V2)
@pytest.mark.parametrize("access", ["ro", "rw"])
def test_v2_with_a_namespace(v2_box: Box, kind: str, access: str) -> None:
    def change(config: Config) -> None:
        options("nosuid", "noexec", "nodev", access)(config)
        private(config)
        config["mounts"][-1]["type"] = kind

    found = seen(v2_box, change, "/sys/fs/cgroup")
    [(root, flags, type)] = mounts(found).values()
    assert (root, type) == ("/", "cgroup2")
    assert {access, "nosuid", "noexec", "nodev"} <= flags
    assert found["cgroup"][-1].endswith("::/")
    assert "cgroup.procs" in found["files"]["/sys/fs/cgroup"]["entries"]


def test_v2_without_a_namespace_shows_the_hosts_tree(v2_box: Box) -> None:
    """As runc: who wants less gives the container a cgroup namespace."""
    found = seen(v2_box, options("ro", "nosuid"), "/sys/fs/cgroup")
    [(root, flags, type)] = mounts(found).values()
    assert (root, type) == ("/", "cgroup2")
    assert {"ro", "nosuid"} <= flags
    assert v2_box.mark in found["files"]["/sys/fs/cgroup"]["entries"]


def test_v2_where_a_mount_is_refused_the_own_cgroup_is_bound(v2_box: Box) -> None:
    """In a user namespace whose cgroup namespace is the host's: EPERM, then a bind."""

    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "user"})
        rows = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = rows
        options("ro", "nosuid", "noexec", "nodev")(config)
        for bundle in v2_box.directory.glob("bundle-*"):
            os.chown(bundle / "rootfs", 100000, 100000)

    found = seen(v2_box, change)
    [(_, flags, type)] = mounts(found).values()
    assert type == "cgroup2" and {"ro", "nosuid", "noexec", "nodev"} <= flags
