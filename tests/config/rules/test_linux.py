"""The rules of the remaining properties of linux."""

from __future__ import annotations

import pytest

from tests.config.rules.cases import Changes, Said, found, namespaces, spelled

# Changes to the valid config, and all that is said about the result
BROKEN: list[tuple[Changes, Said]] = [
    # devices and their rules
    (
        [("linux.devices", [{"type": "p", "path": "dev/a", "uid": 2**32 - 1}])],
        [
            ("/linux/devices/0/path", "~ must be an absolute path"),
            ("/linux/devices/0/uid", f"~ must be between 0 and {2**32 - 2}, not {2**32 - 1}"),
        ],
    ),
    (
        [("linux.devices", [{"type": "c", "path": "/dev/a", "major": 4096}])],
        [
            ("/linux/devices/0/major", "~ must be between 0 and 4095, not 4096"),
            ("/linux/devices/0", "~ 'minor' is missing"),
        ],
    ),
    (
        [("linux.resources.devices", [{"allow": True}])],
        [("/linux/resources/devices/0/access", "device access at 0 field cannot be empty")],
    ),
    (
        [("linux.resources.devices", [{"allow": True, "type": "p", "major": -2, "access": "x"}])],
        [
            ("/linux/resources/devices/0/access", '~ must be made of r, w and m, not be "x"'),
            ("/linux/resources/devices/0/type", 'invalid cgroup device type "p"'),
            ("/linux/resources/devices/0/major", "~ must be -1 (any) or a device number, not -2"),
        ],
    ),
    ([("linux.mountLabel", 'a"b')], [("/linux/mountLabel", "~ must not contain control characters and quotes")]),
    ([("linux.mountLabel", "a\nb")], [("/linux/mountLabel", "~ must not contain control characters and quotes")]),
    ([("linux.cgroupsPath", "/a\nb")], [("/linux/cgroupsPath", "~ must not contain control characters")]),
    # netDevices
    (
        [("linux.netDevices", {"eth0": {}}), ("linux.namespaces", namespaces("network"))],
        [("/linux/netDevices", "unable to move network devices without a NET namespace")],
    ),
    (
        [("linux.netDevices", {"eth0": {"name": "a b"}, "a/b": {}})],
        [
            ("/linux/netDevices/eth0", 'invalid network device name "a b"'),
            ("/linux/netDevices/a~1b", 'invalid network device name "a/b"'),
        ],
    ),
    (
        [("linux.netDevices", {"eth0": {"name": "eth1"}, "eth1": {}})],
        [("/linux/netDevices/eth1", '~ another device becomes "eth1" too')],
    ),
    # intelRdt, memoryPolicy
    ([("linux.intelRdt", {"closID": ".."})], [("/linux/intelRdt/closID", 'invalid intelRdt.ClosID ".."')]),
    ([("linux.intelRdt", {"closID": "a/b"})], [("/linux/intelRdt/closID", 'invalid intelRdt.ClosID "a/b"')]),
    (
        [("linux.intelRdt", {"schemata": ["MB:0=1", "a\nb"]})],
        [("/linux/intelRdt/schemata/1", "~ must not contain newlines")],
    ),
    (
        [("linux.memoryPolicy", {"mode": "X", "flags": ["Y"]})],
        [
            ("/linux/memoryPolicy/mode", 'invalid memory policy mode "X"'),
            ("/linux/memoryPolicy/flags/0", 'invalid memory policy flag "Y"'),
        ],
    ),
    (
        [("linux.memoryPolicy", {"mode": "MPOL_BIND", "nodes": "65536"})],
        [
            (
                "/linux/memoryPolicy/nodes",
                'invalid memory policy nodes "65536": values larger than 65535 are not supported',
            )
        ],
    ),
    (
        [("linux.memoryPolicy", {"mode": "MPOL_LOCAL", "nodes": "0-2,1"})],
        [("/linux/memoryPolicy/nodes", "memory policy mode requires 0 nodes but got 3")],
    ),
    (
        [("linux.memoryPolicy", {"mode": "MPOL_INTERLEAVE"})],
        [("/linux/memoryPolicy/nodes", "memory policy mode requires at least one node but got 0")],
    ),
]
ACCEPTED: list[Changes] = [
    [("linux.devices", [{"type": "p", "path": "/p"}, {"type": "u", "path": "/u", "major": 4095, "minor": 2**20 - 1}])],
    [("linux.resources.devices", [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "access": "m"}])],
    [("linux.netDevices", {"eth0": {"name": "c%d"}, "eth1": {"name": "c%d"}, "a" * 15: {}})],
    [("linux.intelRdt", {"closID": "/"})],
    [("linux.memoryPolicy", {"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES"]})],
    [("linux.personality", {"domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"]})],
    [("linux.cgroupsPath", "machine.slice:libpod:x")],
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_broken_rule(changes: Changes, said: Said) -> None:
    assert found(*changes) == spelled(said)


@pytest.mark.parametrize("changes", ACCEPTED)
def test_accepted(changes: Changes) -> None:
    assert found(*changes) == []
