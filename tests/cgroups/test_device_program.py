"""The BPF program decides as the reference does, and the kernel's verifier takes it."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings

from pyoci.cgroups import device_program, device_rules
from pyoci.config.resources import DeviceRule
from pyoci.errors import ConfigError
from pyoci.kernel import bpf
from tests.cgroups.device_reference import Hole, Reference, asked, rule_lists, run

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


@pytest.mark.root
@pytest.mark.parametrize("allow", [False, True])
def test_the_verifier_takes_thousands_of_rules(allow: bool) -> None:
    chance = random.Random(allow)
    rules = [DeviceRule(pointer="", allow=allow, access="rwm")]
    for _ in range(3000):
        rules.append(
            DeviceRule(
                pointer="",
                allow=not allow,
                type=chance.choice("bc"),
                major=chance.randrange(512),
                minor=chance.choice((-1, *range(64))),
                access=chance.choice(("r", "rw", "rwm", "m")),
            )
        )
    code = program(tuple(rules))
    assert code and len(code) > 100_000
    os.close(bpf.load_device_program(code))
