"""The short properties of linux, read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.linux import Linux, NetDevice, Path, Sysctl, read_linux, sysctl_file, sysctl_name
from pyoci.config.node import Node
from pyoci.errors import ConfigError
from pyoci.kernel.constants import MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE


def linux(**members: Any) -> Linux:
    return read_linux(Node(members, "/linux"))


def test_absent() -> None:
    assert read_linux(None) == Linux()
    empty = linux()
    assert {name: getattr(empty, name) for name in vars(empty)} == {
        name: getattr(Linux(), name) for name in vars(empty)
    }


def test_namespace_is_found_by_type() -> None:
    found = linux(namespaces=[{"type": "pid"}, {"type": "network", "path": "/n"}])
    namespace = found.namespace("network")
    assert namespace is not None
    assert (namespace.path, namespace.pointer) == ("/n", "/linux/namespaces/1")
    assert found.namespace("mount") is None


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("private", MS_PRIVATE),
        ("rprivate", MS_PRIVATE | MS_REC),
        ("shared", MS_SHARED),
        ("rshared", MS_SHARED | MS_REC),
        ("slave", MS_SLAVE),
        ("rslave", MS_SLAVE | MS_REC),
        ("unbindable", MS_UNBINDABLE),
        ("runbindable", MS_UNBINDABLE | MS_REC),
        ("", 0),
    ],
)
def test_propagation(name: str, flags: int) -> None:
    assert linux(rootfsPropagation=name).rootfs_propagation == flags


def test_unknown_propagation() -> None:
    with pytest.raises(ConfigError, match=r"must be one of private, rprivate, .*, not 'ro'$") as caught:
        linux(rootfsPropagation="ro")
    assert caught.value.pointer == "/linux/rootfsPropagation"


def test_device() -> None:
    found = linux(
        devices=[
            {"type": "u", "path": "/dev/a", "major": 1, "minor": 2, "fileMode": 0o20640, "uid": 3, "gid": 4},
            {"type": "p", "path": "/dev/b"},
            {"type": "b", "path": "/dev/c"},
        ]
    ).devices
    assert (found[0].type, found[0].major, found[0].minor, found[0].mode) == ("c", 1, 2, 0o640)
    assert (found[0].uid, found[0].gid) == (3, 4)
    assert (found[1].type, found[1].major, found[1].minor, found[1].mode) == ("p", 0, 0, 0o666)
    assert (found[1].uid, found[1].gid) == (None, None)
    assert (found[2].major, found[2].minor, found[2].pointer) == (-1, -1, "/linux/devices/2")


@given(st.integers(0, 2**16 - 1))
def test_device_mode_has_no_file_type(mode: int) -> None:
    device = linux(devices=[{"type": "c", "path": "/d", "fileMode": mode}]).devices[0]
    assert device.mode == mode & 0o7777


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu"),
        ("net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu"),
        ("", ""),
        ("plain", "plain"),
    ],
)
def test_sysctl_file(name: str, file: str) -> None:
    assert sysctl_file(name) == file


@given(st.lists(st.text("ab.", min_size=1), min_size=2))
def test_name_and_file_are_the_same_key(parts: list[str]) -> None:
    """A file below /proc/sys, written as a file or by its name with dots, is the same file."""
    parts[0] = parts[0].replace(".", "_")  # the first separator tells the two ways of writing apart
    file = "/".join(parts)
    assert sysctl_file(file) == sysctl_file(sysctl_name(file)) == file


def test_sysctl() -> None:
    found = linux(sysctl={"net.core.a/b": "1", "kernel/sem": " x "}).sysctl
    assert found == (
        Sysctl(pointer="/linux/sysctl/net.core.a~1b", key="net/core/a.b", value="1"),
        Sysctl(pointer="/linux/sysctl/kernel~1sem", key="kernel/sem", value=" x "),
    )


def test_paths() -> None:
    found = linux(maskedPaths=["/a", "/b"], readonlyPaths=["/c"])
    assert found.masked_paths == (
        Path(pointer="/linux/maskedPaths/0", path="/a"),
        Path(pointer="/linux/maskedPaths/1", path="/b"),
    )
    assert found.readonly_paths == (Path(pointer="/linux/readonlyPaths/0", path="/c"),)


def test_net_devices() -> None:
    assert linux(netDevices={"eth0": {}, "eth1": {"name": "x"}}).net_devices == (
        NetDevice(pointer="/linux/netDevices/eth0", device="eth0", name=""),
        NetDevice(pointer="/linux/netDevices/eth1", device="eth1", name="x"),
    )


def test_the_rest() -> None:
    found = linux(
        cgroupsPath="/c",
        mountLabel="m",
        personality={"domain": "LINUX32", "flags": ["f"]},
        intelRdt={
            "closID": "c",
            "schemata": ["s"],
            "l3CacheSchema": "l3",
            "memBwSchema": "MB:0=1",
            "enableMonitoring": True,
        },
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0", "flags": ["g"]},
    )
    assert (found.cgroups_path, found.mount_label) == ("/c", "m")
    assert found.personality is not None and found.intel_rdt is not None and found.memory_policy is not None
    assert (found.personality.domain, found.personality.flags) == ("LINUX32", ("f",))
    rdt = found.intel_rdt
    assert (rdt.clos_id, rdt.schemata, rdt.l3_cache_schema) == ("c", ("s",), "l3")
    assert (rdt.mem_bw_schema, rdt.enable_monitoring) == ("MB:0=1", True)
    policy = found.memory_policy
    assert (policy.mode, policy.nodes, policy.flags) == ("MPOL_BIND", "0", ("g",))
    assert linux().cgroups_path is None
    assert linux(cgroupsPath="").cgroups_path == ""
