"""The BPF program decides as the reference does, and the kernel's verifier takes it."""

from __future__ import annotations

import os
import random
import time

import pytest
from hypothesis import given, settings

from pyoci.cgroups.devices import program as device_program
from pyoci.cgroups.devices import rules as device_rules
from pyoci.config.resources import DeviceRule
from pyoci.errors import ConfigError
from pyoci.kernel import bpf
from tests.cgroups.devices.reference import Hole, Reference, asked, rule_lists, run

Asked = tuple[str, int, int, str]


def program(rules: tuple[DeviceRule, ...]) -> bytes | None:
    try:
        return device_program.compile(device_rules.reduce(rules))
    except ConfigError:
        return None


@given(rule_lists, asked)
@settings(max_examples=500)
def test_decides_as_the_reference(rules: tuple[DeviceRule, ...], asked: Asked) -> None:
    try:
        reference = Reference(rules)
    except Hole:
        assert program(rules) is None
        return
    code = program(rules)
    assert code is not None
    assert run(code, *asked) == reference.decides(*asked)


@pytest.mark.root
@given(rule_lists)
@settings(max_examples=100, deadline=None)
def test_the_verifier_takes_it(rules: tuple[DeviceRule, ...]) -> None:
    if code := program(rules):
        os.close(bpf.load_device_program(code))


def test_a_wildcard_that_does_not_have_the_access_is_not_the_last_word() -> None:
    def rule(major: int, minor: int, access: str, allow: bool = True) -> DeviceRule:
        return DeviceRule(pointer="", allow=allow, type="c", major=major, minor=minor, access=access)

    code = program((rule(-1, 3, "r"), rule(1, -1, "w"), rule(1, 3, "m"), rule(-1, -1, "rw")))
    assert code
    assert [run(code, "c", 1, 3, access) for access in ("r", "w", "m", "rw", "rwm")] == [True] * 4 + [False]
    code = program((rule(-1, 3, "r"), rule(1, -1, "w"), rule(1, 3, "m")))
    assert code
    assert [run(code, "c", 1, 3, access) for access in ("r", "w", "m", "rw")] == [True] * 3 + [False]
    everything = DeviceRule(pointer="", allow=True, access="rwm")
    code = program((everything, rule(-1, 3, "r", False), rule(1, -1, "w", False), rule(1, 3, "m", False)))
    assert code
    assert [run(code, "c", 1, 3, access) for access in ("r", "w", "m", "rw")] == [False] * 4
    assert [run(code, "c", 1, 5, access) for access in ("r", "w", "m", "rw")] == [True, False, True, False]


def many(number: int, allow: bool) -> tuple[DeviceRule, ...]:
    """Exceptions from `allow`, half of them to the minors of one major number: more than a jump can pass over."""
    chance = random.Random(number)
    rules = [DeviceRule(pointer="", allow=allow, access="rwm")]
    for index in range(number):
        one = DeviceRule(
            pointer="",
            allow=not allow,
            type=chance.choice("bc") if index % 2 else "b",
            major=chance.randrange(2**32) if index % 2 else 259,
            minor=chance.choice((-1, index)) if index % 2 else index,
            access=chance.choice(("r", "rw", "rwm", "m")),
        )
        rules.append(one)
    return tuple(rules)


@pytest.mark.parametrize("allow", [False, True])
def test_thousands_of_rules_decide_as_the_reference(allow: bool) -> None:
    rules = many(8000, allow)
    code, reference = program(rules), Reference(rules)
    assert code
    for rule in rules[1::797]:
        for access in ("r", "w", "m", "rw"):
            for minor in (max(rule.minor, 0), 5):
                asked = (rule.type, rule.major, minor, access)
                assert run(code, *asked) == reference.decides(*asked)


@pytest.mark.root
@pytest.mark.parametrize("allow", [False, True])
def test_the_verifier_takes_thousands_of_rules(allow: bool) -> None:
    code = program(many(8000, allow))
    assert code and len(code) > 8 * 2**15
    started = time.process_time()
    os.close(bpf.load_device_program(code))
    assert time.process_time() - started < 2, "the verifier's time grows with more than the number of rules"
