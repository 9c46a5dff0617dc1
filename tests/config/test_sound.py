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


@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_a_broken_property_adds_only_what_is_about_it(name: str, data: st.DataObject) -> None:
    """Whatever is told of a file in which one property is broken is told of the whole file, or of that property."""
    raw = CONFIGS[name]
    top = data.draw(st.sampled_from(sorted(raw)))
    way: tuple[str, ...] = (top,)
    if top in ("process", "linux") and data.draw(st.booleans()):
        way = (top, data.draw(st.sampled_from(sorted(raw[top]))))
    if way[0] == "annotations" or len(way) > 1 and way[1] == "sysctl":
        return
    pointer = "/" + "/".join(way)
    before = {str(one) for one in report.violations(raw)}
    after = report.violations(changed(raw, way, 7.5))
    assert [one for one in after if str(one) not in before and not one.pointer.startswith(pointer)] == []
