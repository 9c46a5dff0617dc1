"""What a unit is asked to have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.cgroups.devices.rules import default_rules, reduce
from pyoci.cgroups.systemd import properties
from pyoci.config.resources import DeviceRule
from pyoci.errors import ConfigError

PREFIX = "org.systemd.property."
ALL = DeviceRule(pointer="/0", allow=True, access="rwm")
NONE = DeviceRule(pointer="/0", allow=False, access="rwm")


def rule(type: str, major: int, minor: int, access: str = "rwm", allow: bool = True) -> DeviceRule:
    return DeviceRule(pointer="/1", allow=allow, type=type, major=major, minor=minor, access=access)


def values(wanted: tuple[properties.Wanted, ...], version: int = 257) -> list[tuple[str, Any]]:
    return [(name, value) for name, (_, value) in properties.known(wanted, version)]


def annotated(**texts: str) -> list[tuple[str, tuple[str, Any]]]:
    return properties.known(properties.annotated({PREFIX + name: text for name, text in texts.items()}), 0)


def test_every_scope() -> None:
    found = dict(values(properties.base("a-b.scope", "system.slice", "b", True)))
    assert found == {
        "Description": "libcontainer container b",
        "Slice": "system.slice",
        "Delegate": True,
        "MemoryAccounting": True,
        "CPUAccounting": True,
        "IOAccounting": True,
        "TasksAccounting": True,
        "DefaultDependencies": False,
    }
    assert "BlockIOAccounting" in dict(values(properties.base("a-b.scope", "system.slice", "b", False)))


def test_a_slice() -> None:
    found = dict(values(properties.base("a-b.slice", "a.slice", "b", True)))
    assert found["Wants"] == ["a.slice"]
    assert not {"Slice", "Delegate"} & set(found)


def test_annotations() -> None:
    assert annotated(KillSignal="9", TimeoutStopUSec="uint64 5", CollectMode="'inactive-or-failed'") == [
        ("CollectMode", ("s", "inactive-or-failed")),
        ("KillSignal", ("i", 9)),
        ("TimeoutStopUSec", ("t", 5)),
    ]
    assert properties.annotated({"org.systemd.propertyx": "!", "run.oci.x": "1"}) == ()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("TimeoutStopSec", "10", ("TimeoutStopUSec", ("t", 10_000_000))),
        ("TimeoutStopSec", "uint64 10", ("TimeoutStopUSec", ("t", 10_000_000))),
        ("TimeoutStopSec", "1.5", ("TimeoutStopUSec", ("t", 1_500_000))),
        ("TimeoutStopSec", "-1", ("TimeoutStopUSec", ("t", 2**64 - 1_000_000))),
        ("CPUQuotaPerSec", "1", ("CPUQuotaPerUSec", ("t", 1_000_000))),
        ("TimeoutStopUSec", "10", ("TimeoutStopUSec", ("i", 10))),
        ("CPUSec", "10", ("CPUSec", ("i", 10))),  # no small letter before it
    ],
)
def test_seconds(name: str, text: str, expected: tuple[str, tuple[str, Any]]) -> None:
    assert annotated(**{name: text}) == [expected]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Ab", "1", "annotation org.systemd.property.Ab name incorrect: too short"),
        ("", "1", "annotation org.systemd.property. name incorrect: too short"),
        ("A_bc", "1", "annotation org.systemd.property.A_bc name incorrect: contains non-alphabetic character"),
        ("Äbcd", "1", "annotation org.systemd.property.Äbcd name incorrect: contains non-alphabetic character"),
        ("Abc", "what", "annotation org.systemd.property.Abc=what value parse error: unexpected 'what'"),
        ("StopSec", "'a'", "annotation org.systemd.property.StopSec='a' value parse error: not a number"),
        ("StopSec", "1e99", "annotation org.systemd.property.StopSec=1e99 value parse error: not a number of seconds"),
    ],
)
def test_wrong_annotations(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        annotated(**{name: text})
    assert caught.value.message == message
    assert caught.value.pointer == f"/annotations/{PREFIX}{name}"


@given(st.sampled_from(["byte", "uint16", "uint32", "uint64"]), st.integers(0, 255))
def test_seconds_are_microseconds_of_any_type(type: str, seconds: int) -> None:
    assert annotated(StopSec=f"{type} {seconds}") == [("StopUSec", ("t", seconds * 1_000_000))]


def test_default_devices() -> None:
    empty, policy, allow = values(properties.devices((NONE, *default_rules())))
    assert (empty, policy) == (("DeviceAllow", []), ("DevicePolicy", "strict"))
    assert set(allow[1]) >= {("char-*", "m"), ("block-*", "m"), ("/dev/char/1:3", "rwm"), ("char-136", "rwm")}


def test_every_device() -> None:
    assert values(properties.devices((ALL,))) == [("DeviceAllow", []), ("DevicePolicy", "auto")]


def test_what_systemd_has_no_words_for() -> None:
    """A list of what is denied, and a minor number of any major: our own filter has them."""
    strict = [("DeviceAllow", []), ("DevicePolicy", "strict")]
    assert values(properties.devices((ALL, rule("c", 1, 3, allow=False)))) == strict
    assert values(properties.devices((NONE, rule("c", -1, 3)))) == strict
    assert values(properties.devices((NONE,))) == strict


def test_an_old_systemd_gets_no_list() -> None:
    assert values(properties.devices((NONE, rule("b", 8, 0, "r"))), 239) == [
        ("DeviceAllow", []),
        ("DevicePolicy", "strict"),
    ]


NUMBERS = st.sampled_from([-1, 0, 1, 8, 136])
RULES = st.lists(st.builds(rule, st.sampled_from("cb"), NUMBERS, NUMBERS, st.sampled_from(["r", "w", "rwm", "m"])))


@given(RULES)
def test_nothing_is_allowed_that_the_rules_deny(rules: list[DeviceRule]) -> None:
    """Every entry is an exception of the reduced rules, and none is left out but a minor number of any major."""
    wanted = (NONE, *rules)
    entries = [one for name, value in values(properties.devices(wanted)) if name == "DeviceAllow" for one in value]
    expected = set()
    for one in reduce(wanted).exceptions:
        kind = {"c": "char", "b": "block"}[one.type]
        if one.major == -1 and one.minor != -1:
            continue
        path = f"{kind}-{'*' if one.major == -1 else one.major}"
        if one.minor != -1:
            path = f"/dev/{kind}/{one.major}:{one.minor}"
        expected.add((path, "".join(letter for letter, bit in (("r", 2), ("w", 4), ("m", 1)) if one.access & bit)))
    assert set(entries) == expected
    assert len(entries) == len(expected)


def test_in_words() -> None:
    texts = [str(one) for one in properties.devices((NONE, rule("b", 8, 0, "r")))]
    assert texts == ["DeviceAllow=none", "DevicePolicy=strict", "DeviceAllow=/dev/block/8:0 r"]
    assert str(properties.Wanted(name="TasksMax", value=("t", 2**64 - 1))) == "TasksMax=infinity"
    assert str(properties.Wanted(name="Delegate", value=("b", True))) == "Delegate=true"
    assert str(properties.Wanted(name="AllowedCPUs", value=("ay", b"\x03"))) == "AllowedCPUs=03"
