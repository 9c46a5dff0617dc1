"""The rules of namespaces, id mappings, clock offsets and host names."""

from __future__ import annotations

import pytest

from tests.config.rules.cases import ALL_NAMESPACES, MAP, WITHOUT, Changes, Said, found, ids, namespaces, spelled

NO_USER = "user namespace mappings specified, but user namespace isn't enabled in the config"
BOTH = "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"

# Changes to the valid config, and all that is said about the result
BROKEN: list[tuple[Changes, Said]] = [
    (
        [("linux.namespaces", [*ALL_NAMESPACES, {"type": "pid", "path": "/p"}])],
        [("/linux/namespaces/8", 'malformed spec file: duplicated ns "pid"')],
    ),
    (
        [("linux.namespaces", namespaces(network="proc/1/ns/net"))],
        [("/linux/namespaces/1/path", "~ must be an absolute path")],
    ),
    (
        [("linux.namespaces", namespaces("user"))],
        [("/linux/uidMappings", NO_USER), ("/linux/gidMappings", NO_USER)],
    ),
    (
        [("linux.uidMappings", WITHOUT), ("linux.gidMappings", WITHOUT)],
        [
            ("/linux/uidMappings", "user namespaces enabled, but no uid mappings found"),
            ("/linux/gidMappings", "user namespaces enabled, but no gid mappings found"),
        ],
    ),
    (
        [("linux.gidMappings", WITHOUT)],
        [("/linux/gidMappings", "user namespaces enabled, but no gid mappings found")],
    ),
    (
        [("linux.uidMappings", [ids(1, 100000, 9)]), ("process.user.uid", 1)],
        [("/linux/uidMappings", "user namespaces enabled, but no mapping found for uid 0")],
    ),
    (
        [("process.user", {"uid": 65536, "gid": 65537, "additionalGids": [5, 65538]})],
        [
            ("/process/user/uid", "cannot setuid to unmapped uid 65536 in user namespace"),
            ("/process/user/gid", "cannot setgid to unmapped gid 65537 in user namespace"),
            ("/process/user/additionalGids/1", "cannot setgroups to unmapped gid 65538 in user namespace"),
        ],
    ),
    ([("linux.uidMappings", [*MAP, ids(70000, 1, 0)])], [("/linux/uidMappings/1/size", "~ must be at least 1")]),
    (
        [("linux.gidMappings", [*MAP, ids(2**32 - 5, 2**32 - 10, 5)])],
        [("/linux/gidMappings/1/containerID", f"~ the mapping ends at {2**32 - 1}, ids at {2**32 - 2}")],
    ),
    (
        [("linux.uidMappings", [*MAP, ids(65535, 100000 + 65535, 1)])],
        [
            ("/linux/uidMappings/1/containerID", "~ overlaps with /linux/uidMappings/0"),
            ("/linux/uidMappings/1/hostID", "~ overlaps with /linux/uidMappings/0"),
        ],
    ),
    (
        [("linux.uidMappings", [ids(n, n, 1) for n in range(341)])],
        [("/linux/uidMappings/340", "~ there are 341 mappings, 340 are possible")],
    ),
    (
        [("linux.timeOffsets.boottime.secs", 1), ("linux.namespaces", namespaces("time"))],
        [
            (
                "/linux/timeOffsets",
                "time namespace offsets specified, but time namespace isn't enabled in the config",
            )
        ],
    ),
    (
        [("linux.timeOffsets.boottime.secs", 1), ("linux.namespaces", namespaces(time="/p"))],
        [("/linux/timeOffsets", BOTH)],
    ),
    (
        [("linux.timeOffsets.monotonic.nanosecs", 10**9)],
        [("/linux/timeOffsets/monotonic/nanosecs", "~ must be less than a second, not 1000000000")],
    ),
    (
        [("linux.timeOffsets", {"realtime": {"secs": 1}})],
        [("/linux/timeOffsets/realtime", "~ there is no such clock")],
    ),
    (
        [("linux.namespaces", namespaces("uts"))],
        [
            ("/hostname", "unable to set hostname without a private UTS namespace"),
            ("/domainname", "unable to set domainname without a private UTS namespace"),
        ],
    ),
    ([("hostname", "\u00e9" * 33)], [("/hostname", "~ must be at most 64 bytes long")]),
]
ACCEPTED: list[Changes] = [
    [("linux", {"namespaces": [{"type": "mount"}, {"type": "uts"}]})],
    [("linux.namespaces", namespaces(user="/p"))],  # containerd and CRI-O give path and mappings; compared when joined
    [("linux.namespaces", namespaces(user="/p")), ("process.user.uid", 10**6)],
    [("linux.namespaces", namespaces(user="/p")), ("linux.uidMappings", WITHOUT), ("linux.gidMappings", WITHOUT)],
    [("linux.timeOffsets", {}), ("linux.namespaces", namespaces("time"))],
    [("linux.timeOffsets", {"monotonic": {"secs": -1, "nanosecs": 999_999_999}})],
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_broken_rule(changes: Changes, said: Said) -> None:
    assert found(*changes) == spelled(said)


@pytest.mark.parametrize("changes", ACCEPTED)
def test_accepted(changes: Changes) -> None:
    assert found(*changes) == []
