"""The ordered list of device rules, reduced: against the reference, and laws of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import event, given

from pyoci.cgroups.devices import rules as device_rules
from pyoci.cgroups.devices.rules import DeviceFilter
from pyoci.config.linux import Device
from pyoci.config.resources import DeviceRule, Resources
from pyoci.errors import ConfigError
from tests import cost
from tests.cgroups.devices.reference import Hole, Reference, asked, last_word, rule_lists

Asked = tuple[str, int, int, str]
POINTER = "/linux/resources/devices/7"


def rule(allow: bool, type: str = "a", major: int = -1, minor: int = -1, access: str = "rwm") -> DeviceRule:
    return DeviceRule(pointer=POINTER, allow=allow, type=type, major=major, minor=minor, access=access)


def texts(filter: DeviceFilter) -> list[str]:
    return [str(exception) for exception in filter.exceptions]


def test_default_rules_in_runcs_order() -> None:
    filter = device_rules.reduce((rule(False), *device_rules.default_rules()))
    assert not filter.allow
    assert texts(filter) == [
        "c *:* m",
        "b *:* m",
        "c 1:3 mrw",
        "c 1:8 mrw",
        "c 1:7 mrw",
        "c 5:0 mrw",
        "c 1:5 mrw",
        "c 1:9 mrw",
        "c 136:* mrw",
        "c 5:2 mrw",
        "c 10:200 mrw",
    ]


def test_a_default_node_of_the_users_own_gets_no_rule() -> None:
    own = Device(pointer="/linux/devices/0", type="c", path="/dev/random", major=1, minor=9)
    numbers = {(rule.major, rule.minor) for rule in device_rules.default_rules((own,))}
    assert (1, 8) not in numbers and (1, 9) in numbers and len(numbers) == 9


def test_the_defaults_follow_the_users_rules() -> None:
    user = (rule(True, "c", 10, 229), rule(False))
    result = device_rules.container_rules(Resources(devices=user), ())
    assert result == user + device_rules.default_rules()
    assert "c 1:3 mrw" in texts(device_rules.reduce(result))


def test_no_rules_deny_everything() -> None:
    assert device_rules.reduce(()) == DeviceFilter(allow=False, exceptions=())


def test_a_rule_for_everything_forgets_what_was() -> None:
    filter = device_rules.reduce((rule(True, "c", 1, 3), rule(True), rule(False, "c", 1, 3), rule(True)))
    assert filter == DeviceFilter(allow=True, exceptions=())


@pytest.mark.parametrize("narrow", [rule(True, major=1, minor=3), rule(True, access="r"), rule(True, major=1)])
def test_type_a_with_numbers_or_less_access_is_not_everything(narrow: DeviceRule) -> None:
    """runc and the v1 kernel would allow every device."""
    filter = device_rules.reduce((rule(False), narrow))
    assert not filter.allow and len(filter.exceptions) == 2


def test_a_wide_denial_takes_back_narrow_permissions() -> None:
    filter = device_rules.reduce((rule(True, "c", 1, 3), rule(True, "c", 1, 5, "rw"), rule(False, "c", 1, -1, "w")))
    assert texts(filter) == ["c 1:3 mr", "c 1:5 r"]


def test_a_wide_permission_leaves_narrow_denials() -> None:
    filter = device_rules.reduce((rule(True), rule(False, "b", 8, 0), *device_rules.default_rules()))
    assert texts(filter) == ["b 8:0 mrw"]


@pytest.mark.parametrize(
    "rules",
    [
        (rule(False), rule(True, "c", 10, -1), rule(False, "c", 10, 229)),
        (rule(True), rule(False, "c", 10, -1), rule(True, "c", 10, 200)),
        (rule(False), rule(True, "c", -1, 3), rule(False, "c", 10, -1)),
    ],
)
def test_a_hole_is_an_error_with_runcs_words(rules: tuple[DeviceRule, ...]) -> None:
    with pytest.raises(
        ConfigError, match=r"^requested rule \[c 10:.* not supported by devices cgroupv1 \(cannot pun"
    ) as e:
        device_rules.reduce(rules)
    assert e.value.pointer == POINTER


@pytest.mark.parametrize(
    "bad",
    [
        rule(True, "c", 1, 3, ""),
        rule(True, "c", 1, 3, "x"),
        rule(True, "p", 1, 3),
        rule(True, "c", -2, 3),
        rule(True, "c", 1, 2**32),
    ],
)
def test_an_impossible_rule_is_an_error(bad: DeviceRule) -> None:
    with pytest.raises(ConfigError) as caught:
        device_rules.reduce((bad,))
    assert caught.value.pointer == POINTER


def reduced(rules: tuple[DeviceRule, ...]) -> tuple[DeviceFilter, Reference] | None:
    """Both readings; None if both find a hole."""
    try:
        reference = Reference(rules)
    except Hole:
        event("hole")
        with pytest.raises(ConfigError, match="cannot punch hole"):
            device_rules.reduce(rules)
        return None
    return device_rules.reduce(rules), reference


@given(rule_lists)
def test_reduces_as_the_reference(rules: tuple[DeviceRule, ...]) -> None:
    if both := reduced(rules):
        filter, reference = both
        assert filter.allow == reference.allow
        assert {
            (one.type, one.major, one.minor): {
                letter for letter, bit in device_rules.ACCESS.items() if one.access & bit
            }
            for one in filter.exceptions
        } == reference.exceptions


@given(rule_lists, asked)
def test_the_v1_writes_have_the_same_effect_from_any_state(rules: tuple[DeviceRule, ...], asked: Asked) -> None:
    if both := reduced(rules):
        filter, reference = both
        written = Reference((rule(True), rule(False, "c", 1, 1), rule(False, "b", -1, 5)))
        for file, text, _ in device_rules.v1_writes(filter):
            written.write(file, text)
        assert written.decides(*asked) == reference.decides(*asked)


@given(rule_lists, asked)
def test_never_allows_what_the_last_rule_about_it_denies(rules: tuple[DeviceRule, ...], asked: Asked) -> None:
    """And where devices are denied unless allowed, exactly what it allows."""
    if both := reduced(rules):
        filter, reference = both
        kind, major, minor, access = asked
        for letter in access:
            verdict = last_word(rules, kind, major, minor, letter)
            if filter.allow:
                assert verdict or not reference.decides(kind, major, minor, letter)
            else:
                assert verdict == reference.decides(kind, major, minor, letter)


@pytest.mark.parametrize("first", [True, False])
def test_many_rules_cost_as_much_each_as_few(first: bool) -> None:
    """Without wildcards: every other one takes back, or permits, what is no exception."""

    def reduce(number: int) -> Callable[[], DeviceFilter]:
        rules = (rule(first), *(rule(bool(minor % 2), "b", 8, minor) for minor in range(number)))
        return lambda: device_rules.reduce(rules)

    assert cost.growth(reduce, 200) < 6


def test_many_denials_with_wildcards_behind_many_permissions_are_refused() -> None:
    permissions = tuple(rule(True, "b", 8, minor, "rw") for minor in range(1000))
    denial = rule(False, "b", 8, -1, "r")
    assert len(device_rules.reduce((*permissions, *[denial] * 1000)).exceptions) == 1000
    with pytest.raises(ConfigError, match=r"^too many denials with wildcards$"):
        device_rules.reduce((*permissions, *[denial] * 1001))
