"""What is judged of a config.json that breaks the schema: nothing that may come of what is broken, and all the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config import report
from tests.config.corpus import CONFIGS

GOOD: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"]},
    "hostname": "h",
    "linux": {
        "namespaces": [{"type": "uts"}, {"type": "mount"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "maskedPaths": ["/a"],
    },
}
PROPERTIES = [(name,) for name in GOOD] + [(top, name) for top in ("process", "linux") for name in GOOD[top]]


def changed(raw: Any, way: tuple[str, ...], value: object) -> Any:
    return {**raw, way[0]: changed(raw[way[0]], way[1:], value)} if way else value


@pytest.mark.parametrize("way", PROPERTIES, ids="/".join)
def test_what_breaks_the_schema_breaks_no_rule_elsewhere(way: tuple[str, ...]) -> None:
    """Namespaces that nobody can read are no reason to say that the host name has no namespace."""
    assert report.violations(GOOD) == []
    pointers = [found.pointer for found in report.violations(changed(GOOD, way, 7.5))]
    assert pointers == ["/" + "/".join(way)]


@pytest.mark.parametrize("missing", ["cwd", "root", "ociVersion"])
def test_what_is_missing_is_told_once(missing: str) -> None:
    raw = {name: member for name, member in GOOD.items() if name != missing}
    raw["process"] = {name: member for name, member in GOOD["process"].items() if name != missing}
    assert len(report.violations(raw)) == 1


def test_what_has_nothing_to_do_with_it_is_told() -> None:
    raw = changed(changed(GOOD, ("linux", "namespaces"), 3), ("process", "cwd"), "rel")
    raw["hooks"] = {"poststop": [{"path": "x"}]}
    assert [one.pointer for one in report.violations(raw)] == [
        "/linux/namespaces",
        "/process/cwd",
        "/hooks/poststop/0/path",
    ]


def test_every_value_that_the_reader_refuses() -> None:
    raw = {**GOOD, "hostname": "a\0", "domainname": "b\0", "process": {"cwd": "x", "args": ["\0"]}}
    assert [one.pointer for one in report.violations(raw)] == [
        "/hostname",
        "/domainname",
        "/process/args/0",
        "/process/cwd",
    ]


FAULTY: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": ""},
    "hostname": "h" * 65,
    "process": {
        "cwd": "rel",
        "args": ["sh"],
        "user": {"uid": 7, "gid": 7, "umask": 600},
        "oomScoreAdj": 1001,
        "rlimits": [{"type": f"RLIMIT_{name}", "soft": 2, "hard": 1} for name in ("CPU", "AS")],
    },
    "mounts": [{"destination": "/a"}, {"destination": "/b"}],
    "hooks": {"prestart": [{"path": "a"}, {"path": "b"}], "poststop": [{"path": "c"}]},
    "linux": {
        "namespaces": [{"type": "uts"}, {"type": "mount"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
        "maskedPaths": ["a"],
        "readonlyPaths": ["b"],
        "devices": [{"type": "c", "path": f"/{name}"} for name in "ab"],
        "netDevices": {"a/b": {}, "c/d": {}},
        "sysctl": {"kernel.a": "1", "kernel.b": "1"},
        "resources": {
            "memory": {"limit": -2},
            "cpu": {"idle": 7},
            "devices": [{"allow": True}, {"allow": False}],
            "unified": {"a": "1", "b": "2"},
        },
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": [name, ""], "action": "SCMP_ACT_ERRNO"} for name in ("read", "write")],
        },
    },
}
# A place that somebody breaks, and all of which nothing else can be told because of that.
HIDES = [
    ("root", ["/root/path"]),
    ("hostname", ["/hostname"]),
    ("process.terminal", []),
    ("process.cwd", ["/process/cwd"]),
    ("process.user", ["/process/user/umask", "/process/user/uid", "/process/user/gid"]),
    ("process.rlimits.0.soft", ["/process/rlimits/0/soft"]),
    ("mounts.0", ["/mounts/0"]),
    ("mounts.1.source", ["/mounts/1"]),
    ("hooks.prestart.0", ["/hooks/prestart/0/path"]),
    ("hooks.poststop", ["/hooks/poststop/0/path"]),
    ("linux.uidMappings", ["/process/user/uid"]),
    ("linux.namespaces", ["/process/user/uid", "/process/user/gid", "/linux/netDevices"]),
    ("linux.namespaces.1.type", ["/process/user/uid", "/process/user/gid", "/linux/netDevices"]),
    ("linux.maskedPaths", ["/linux/maskedPaths/0"]),
    ("linux.devices.1.path", ["/linux/devices/1", "/linux/devices/1"]),
    ("linux.netDevices.a/b", ["/linux/netDevices", "/linux/netDevices/a~1b"]),
    ("linux.sysctl.kernel-a", ["/linux/sysctl/kernel.a"]),
    ("linux.resources.memory.swap", ["/linux/resources/memory/limit"]),
    ("linux.resources.pids", []),
    ("linux.resources.devices.0.allow", ["/linux/resources/devices/0/access"]),
    ("linux.resources.unified.a", ["/linux/resources/unified/a"]),
    ("linux.seccomp.syscalls.0.names", ["/linux/seccomp/syscalls/0/names/1"]),
    ("annotations", []),
]


def broken_at(value: Any, way: list[str]) -> Any:
    """A copy of `value` with a number with a fraction, which nothing takes, at that place."""
    if not way:
        return 7.5
    if isinstance(value, list):
        return [broken_at(item, way[1:]) if str(at) == way[0] else item for at, item in enumerate(value)]
    return {**value, way[0]: broken_at(value.get(way[0], {}), way[1:])}


@pytest.mark.parametrize(("place", "hidden"), HIDES, ids=[place for place, _ in HIDES])
def test_what_a_broken_place_hides(place: str, hidden: list[str]) -> None:
    """Nothing but what has to do with it; pointers in the array beside it stay what they are."""
    way = [key.replace("-", ".") for key in place.split(".")]
    before = [str(one) for one in report.violations(FAULTY)]
    assert len(before) > 20
    told = [str(one) for one in report.violations(broken_at(FAULTY, way))]
    after = [one for one in told if "not 7.5" not in one]
    assert "not 7.5" in told[0]
    gone = [one.partition(":")[0].removeprefix("config.json#") for one in before if one not in after]
    assert [one for one in after if one not in before] == []
    assert gone == hidden


def test_a_terminal_that_nobody_can_read_makes_no_warning() -> None:
    size = {"height": 1, "width": 1}
    raw = {**GOOD, "process": {**GOOD["process"], "consoleSize": size, "terminal": "yes"}}
    assert report.judged(raw)[1] == []


@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_a_broken_property_adds_only_what_is_about_it(name: str, data: st.DataObject) -> None:
    """Whatever is told of a file in which one property is broken is told of the whole file, or of that property."""
    raw = CONFIGS[name]
    top = data.draw(st.sampled_from(sorted(raw)))
    way: tuple[str, ...] = (top,)
    if top in ("process", "linux") and data.draw(st.booleans()):
        way = (top, data.draw(st.sampled_from(sorted(raw[top]))))
    if way[0] == "annotations" or (len(way) > 1 and way[1] == "sysctl"):
        return
    pointer = "/" + "/".join(way)
    before = {str(one) for one in report.violations(raw)}
    after = report.violations(changed(raw, way, 7.5))
    assert [one for one in after if str(one) not in before and not one.pointer.startswith(pointer)] == []
