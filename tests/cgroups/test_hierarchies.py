"""Which hierarchies are found, by custom and by mountinfo."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

import pyoci.os
from pyoci.cgroups import hierarchies, manager, paths
from pyoci.errors import Error
from pyoci.kernel import constants, textfile
from pyoci.undo import Undo
from tests.cgroups.conftest import mount, v2_alone
from tests.isolation import MS_BIND

MOUNTINFO = rb"""
25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:24 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
27 25 0:25 /docker/1 /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd
28 25 0:26 / /mnt/with\040space rw - cgroup cgroup rw,cpu,cpuacct
29 25 0:27 / /proc rw - proc cgroup2 rw
"""


def test_mountinfo_of_cgroups_only() -> None:
    mounted = hierarchies.cgroup_mounts(MOUNTINFO.strip())
    assert [(root, point) for root, point, _ in mounted] == [
        ("/", "/sys/fs/cgroup/unified"),
        ("/docker/1", "/sys/fs/cgroup/systemd"),
        ("/", "/mnt/with space"),
    ]
    assert mounted[0][2] is None
    assert mounted[2][2] is not None and {"cpu", "cpuacct"} <= mounted[2][2]


def test_own_cgroups_keep_colons_in_their_paths() -> None:
    assert hierarchies.parse_own(b"4:memory:/a:b\n3:cpu,cpuacct:/\n1:name=systemd:/x\n0::/y\n") == {
        frozenset({"memory"}): "/a:b",
        frozenset({"cpu", "cpuacct"}): "/",
        frozenset({"name=systemd"}): "/x",
        frozenset(): "/y",
    }


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [("/a/b", "/", "/a/b"), ("/a/b", "/a", "/b"), ("/a", "/a", "/"), ("/ab", "/a", ""), ("/", "/a", "")],
)
def test_a_path_as_seen_at_a_mount(path: str, root: str, expected: str) -> None:
    assert hierarchies.inside(path, root) == expected


def test_detected_as_mountinfo_has_it() -> None:
    """What is found without reading mountinfo is what mountinfo says."""
    found = hierarchies.detect()
    with open("/proc/self/mountinfo", "rb") as file:
        mounted = hierarchies.cgroup_mounts(file.read())
    for controller, point in found.mounts.items():
        assert any(at == point and (controller in options if options else not controller) for _, at, options in mounted)
        assert os.path.isdir(f"{point}{found.own[controller]}/")
    kinds = {options is None for _, _, options in mounted}
    assert found.version == ("v2" if kinds == {True} else "v1" if kinds == {False} else "hybrid")


def test_controllers_mounted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hierarchy of this machine has two; the directory's name may have them in any order."""
    monkeypatch.setattr(pyoci.os, "listdir", lambda _: ["cpu", "cpuacct", "cpuacct,cpu", "systemd"])
    monkeypatch.setattr(hierarchies, "magic", lambda _: constants.CGROUP_SUPER_MAGIC)
    own = hierarchies.parse_own(b"3:cpu,cpuacct:/\n2:name=other:/\n1:name=systemd:/\n")
    found = hierarchies._layout(hierarchies._customary(own))
    together = "/sys/fs/cgroup/cpuacct,cpu"
    assert found.mounts == {"cpu": together, "cpuacct": together, "name=systemd": "/sys/fs/cgroup/systemd"}
    assert (found.version, set(found.own.values())) == ("v1", {"/"})
    assert hierarchies._customary(hierarchies.parse_own(b"1:name=systemd:/\n9:net_cls:/\n")) == {}


@pytest.mark.root
def test_v2_reads_no_mountinfo(apart: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        v2_alone()
        read = textfile.read
        asked: list[str] = []
        monkeypatch.setattr(textfile, "read", lambda path: asked.append(path) or read(path))
        found = hierarchies.detect()
        assert (found.version, found.mounts, asked) == ("v2", {"": "/sys/fs/cgroup"}, ["/proc/self/cgroup"])

    apart(body)


@pytest.mark.root
def test_mounted_elsewhere(name: str, apart: Callable[..., None]) -> None:
    """Mountinfo still lists what the tmpfs covers; only what can be reached counts."""

    def body() -> None:
        mount("none", "/sys/fs/cgroup", "tmpfs")
        with pytest.raises(Error, match="mountpoint for cgroup not found"):
            hierarchies.detect()
        os.mkdir("/sys/fs/cgroup/second")
        mount("none", "/sys/fs/cgroup/second", "cgroup2")
        found = hierarchies.detect()
        assert (found.version, found.mounts) == ("v2", {"": "/sys/fs/cgroup/second"})
        planned = paths.plan(found, f"/{name}/a", "id")
        with pytest.raises(RuntimeError), Undo() as undo:
            manager.create(planned, undo)
            assert os.path.exists(f"/sys/fs/cgroup/second/{name}/a/cgroup.procs")
            raise RuntimeError
        assert not os.path.exists(f"/sys/fs/cgroup/second/{name}")

    apart(body)


@pytest.mark.root
def test_a_mount_that_shows_a_part(name: str, v1: dict[str, str], apart: Callable[..., None]) -> None:
    """As in a container without a cgroup namespace: our own path is not below the mount point as it stands."""

    def body() -> None:
        point = os.path.dirname(v1["pids"])
        with open(f"{v1['pids']}/cgroup.procs", "w") as file:
            file.write(str(os.getpid()))
        mount(v1["pids"], point, "", MS_BIND)
        with open("/proc/self/cgroup") as file:
            assert f":pids:/{name}\n" in file.read()
        found = hierarchies.detect()
        assert (found.mounts["pids"], found.own["pids"]) == (point, "/")

    os.mkdir(v1["pids"])
    try:
        apart(body)
    finally:
        os.rmdir(v1["pids"])
