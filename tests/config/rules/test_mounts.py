"""The rules of mounts and of what needs a mount namespace."""

from __future__ import annotations

import pytest

from tests.config.rules.cases import MAP, Changes, Said, found, ids, mount, namespaces, no_user_namespace, spelled

BIND_DATA = "invalid mount /m: bind mounts cannot have any filesystem-specific options applied"
NO_PAIR = "invalid mount /m: id-mapped mounts must have both uid and gid mappings specified"
RESTRICT = "unable to restrict sys entries without a private MNT namespace"
ROOTFS = "unable to make rootfs read-only without a private MNT namespace"

# Changes to the valid config, and all that is said about the result
BROKEN: list[tuple[Changes, Said]] = [
    ([("mounts", mount("bind", destination=""))], [("/mounts/0/destination", "~ must not be empty")]),
    (
        [("mounts", mount("bind", destination="/m/") * 600 + mount("bind") * 401)],
        [("/mounts/1000/destination", "~ is the place of 1000 mounts already")],
    ),
    ([("mounts", mount("bind", "size=1m"))], [("/mounts/0/options", BIND_DATA)]),
    ([("mounts", mount("bind", source=""))], [("/mounts/0", "~ 'source' is missing")]),
    ([("mounts", mount("nosuid"))], [("/mounts/0", "~ 'type' is missing")]),
    (
        [("mounts", mount("bind", "tmpcopyup"))],
        [("/mounts/0/options", "~ tmpcopyup is possible for a mount of type tmpfs only")],
    ),
    (
        [("mounts", mount("idmap", type="tmpfs"))],
        [("/mounts/0", "invalid mount /m: id-mapped mounts are only supported for bind-mounts")],
    ),
    ([("mounts", mount("bind", uidMappings=MAP))], [("/mounts/0", NO_PAIR)]),
    ([("mounts", mount("bind", "ridmap")), *no_user_namespace()], [("/mounts/0", NO_PAIR)]),
    (
        [("mounts", mount("bind", uidMappings=[ids(0, 0, 0)], gidMappings=MAP))],
        [("/mounts/0/uidMappings/0/size", "~ must be at least 1")],
    ),
    ([("linux.maskedPaths.0", "proc")], [("/linux/maskedPaths/0", "~ must be an absolute path")]),
    ([("linux.readonlyPaths.0", "")], [("/linux/readonlyPaths/0", "~ must be an absolute path")]),
    (
        [("linux.namespaces", namespaces("mount"))],
        [
            ("/linux/maskedPaths", RESTRICT),
            ("/root/readonly", ROOTFS),
            ("/mounts/0", "unable to make /tmp read-only without a private MNT namespace"),
        ],
    ),
    (
        [
            ("linux.namespaces", namespaces("mount")),
            ("linux.maskedPaths", []),
            ("root.readonly", False),
            ("mounts", mount("rbind", "ro", destination="//dev/.")),
        ],
        [
            ("/linux/readonlyPaths", RESTRICT),
            ("/mounts/0", "unable to make //dev/. read-only without a private MNT namespace"),
        ],
    ),
]
ACCEPTED: list[Changes] = [
    [("mounts", mount("bind", "idmap"))],  # with the user namespace's mappings
    [("mounts", mount("bind", uidMappings=MAP, gidMappings=MAP)), *no_user_namespace()],
    [("mounts", mount("remount", "ro", source=""))],
    [("mounts", mount("bind", destination="relative/path"))],
    [("mounts", mount(type="ext4"))],
    # without a mount namespace: what does not need one
    [
        ("linux.namespaces", namespaces("mount")),
        ("linux.maskedPaths", []),
        ("linux.readonlyPaths", []),
        ("root.readonly", False),
        ("mounts", [*mount("rbind", "ro"), *mount("ro", type="proc"), *mount("rw", type="tmpfs")]),
    ],
]


@pytest.mark.parametrize(("changes", "said"), BROKEN)
def test_broken_rule(changes: Changes, said: Said) -> None:
    assert found(*changes) == spelled(said)


@pytest.mark.parametrize("changes", ACCEPTED)
def test_accepted(changes: Changes) -> None:
    assert found(*changes) == []
