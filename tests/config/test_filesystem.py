"""root and mounts, read."""

from __future__ import annotations

from typing import Any

import pytest

from pyoci.config.filesystem import Mount, Root, read_mount, read_root
from pyoci.config.namespaces import IdMapping
from pyoci.config.node import Node
from pyoci.errors import ConfigError
from pyoci.kernel.constants import MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY


def mount(**members: Any) -> Mount:
    return read_mount(Node({"destination": "/x", **members}, "/mounts/3"))


def test_root() -> None:
    assert read_root(None) is None
    assert read_root(Node({"path": "rootfs"}, "/root")) == Root(path="rootfs", readonly=False)
    assert read_root(Node({"path": "/r", "readonly": True}, "/root")) == Root(path="/r", readonly=True)
    with pytest.raises(ConfigError, match="'path' is missing"):
        read_root(Node({}, "/root"))


def test_mount() -> None:
    found = mount(type="tmpfs", source="tmp", options=["nosuid", "ro", "size=1m"])
    assert (found.pointer, found.destination, found.type, found.source) == ("/mounts/3", "/x", "tmpfs", "tmp")
    assert found.options == ("nosuid", "ro", "size=1m")
    assert found.attr_set == MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY
    assert found.data == ("size=1m",)
    assert found.bind is False


def test_destination_is_kept_as_written() -> None:
    assert read_mount(Node({"destination": "a/../b/"}, "/mounts/0")).destination == "a/../b/"
    with pytest.raises(ConfigError, match="'destination' is missing"):
        read_mount(Node({}, "/mounts/0"))


def test_type_bind_is_a_bind_mount() -> None:
    assert (mount(type="bind").bind, mount(type="bind").recursive) == (True, False)
    assert (mount(type="rbind").bind, mount(type="rbind").recursive) == (True, True)
    assert mount(type="none", options=["rbind"]).recursive is True


def test_mappings_mean_idmap() -> None:
    ids = [{"containerID": 0, "hostID": 1000, "size": 10}]
    found = mount(options=["bind"], uidMappings=ids, gidMappings=ids)
    assert found.id_map == "idmap"
    assert found.uid_mappings == (IdMapping(pointer="/mounts/3/uidMappings/0", container_id=0, host_id=1000, size=10),)
    assert found.gid_mappings[0].pointer == "/mounts/3/gidMappings/0"
    assert mount(options=["bind", "ridmap"], uidMappings=ids, gidMappings=ids).id_map == "ridmap"
    assert mount(options=["bind"], uidMappings=[], gidMappings=[]).id_map == ""
    assert mount(options=["bind", "idmap"]).uid_mappings == ()
