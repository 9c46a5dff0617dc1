"""Namespaces, id mappings and clock offsets, read."""

from __future__ import annotations

import os

import pytest

from pyoci.config.namespaces import FLAGS, IdMapping, TimeOffset, read_mappings, read_namespace, read_time_offsets
from pyoci.config.node import Node
from pyoci.errors import ConfigError


@pytest.mark.parametrize("type", FLAGS)
def test_type(type: str) -> None:
    found = read_namespace(Node({"type": type, "path": "/p"}, "/linux/namespaces/1"))
    assert (found.pointer, found.type, found.path, found.flag) == ("/linux/namespaces/1", type, "/p", FLAGS[type])
    assert read_namespace(Node({"type": type}, "")).path == ""


def test_flags_are_the_kernels() -> None:
    """The os module of Python >= 3.12 knows them; clone(2)'s names differ from the specification's in two places."""
    if not hasattr(os, "CLONE_NEWNS"):
        assert len(set(FLAGS.values())) == 8
        return
    names = {"network": "NET", "mount": "NS"}
    assert {type: getattr(os, f"CLONE_NEW{names.get(type, type.upper())}") for type in FLAGS} == FLAGS


def test_unknown_type() -> None:
    """The schema has refused it; whoever reads without it is not left without the namespace either."""
    with pytest.raises(ConfigError, match=r"must be one of pid, network, .*, not 'net'"):
        read_namespace(Node({"type": "net"}, ""))
    with pytest.raises(ConfigError, match="'type' is missing"):
        read_namespace(Node({}, ""))


def test_mappings() -> None:
    value = {"gidMappings": [{"containerID": 1, "hostID": 2, "size": 3}]}
    found = read_mappings(Node(value, "/linux"), "gidMappings")
    assert found == (IdMapping(pointer="/linux/gidMappings/0", container_id=1, host_id=2, size=3),)
    assert read_mappings(Node({}, "/linux"), "gidMappings") == ()


@pytest.mark.parametrize("key", ["containerID", "hostID", "size"])
@pytest.mark.parametrize("value", [None, -1, 2**32, 1.5, "1"])
def test_mapping_needs_three_numbers(key: str, value: object) -> None:
    mapping = {"containerID": 1, "hostID": 2, "size": 3, key: value}
    with pytest.raises(ConfigError) as caught:
        read_mappings(Node({"uidMappings": [mapping]}, "/linux"), "uidMappings")
    assert caught.value.pointer.startswith("/linux/uidMappings/0")


def test_time_offsets() -> None:
    assert read_time_offsets(None) == ()
    assert read_time_offsets(Node({}, "/linux/timeOffsets")) == ()
    value = {"boottime": {"secs": -5}, "monotonic": {"nanosecs": 7}}
    assert read_time_offsets(Node(value, "/linux/timeOffsets")) == (
        TimeOffset(pointer="/linux/timeOffsets/monotonic", clock="monotonic", secs=0, nanosecs=7),
        TimeOffset(pointer="/linux/timeOffsets/boottime", clock="boottime", secs=-5, nanosecs=0),
    )
