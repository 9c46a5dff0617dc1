"""process.capabilities as masks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.capabilities import Capabilities, read_capabilities
from pyoci.config.node import Node
from pyoci.errors import ConfigError
from pyoci.kernel.capability_names import NAMES

SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def read(**sets: object) -> Capabilities:
    found = read_capabilities(Node(sets, "/process/capabilities"))
    assert found is not None
    return found


def test_absent_differs_from_empty() -> None:
    assert read_capabilities(None) is None
    assert vars(read()) == {**dict.fromkeys(SETS, 0), "unknown": ()}


@pytest.mark.parametrize("name", SETS)
def test_each_set_goes_to_its_mask(name: str) -> None:
    found = read(**{name: ["CAP_KILL", "CAP_CHECKPOINT_RESTORE", "CAP_CHOWN"]})
    assert {key: getattr(found, key) for key in SETS} == {
        key: (1 << 5 | 1 << 40 | 1 if key == name else 0) for key in SETS
    }


def test_unknown_names_are_collected_once() -> None:
    found = read(bounding=["CAP_B", "cap_kill", "KILL"], ambient=["CAP_B", "CAP_A"])
    assert found.unknown == ("CAP_A", "CAP_B", "KILL", "cap_kill")
    assert found.bounding == found.ambient == 0


def test_wrong_type() -> None:
    with pytest.raises(ConfigError) as caught:
        read(ambient=["CAP_KILL", 5])
    assert caught.value.pointer == "/process/capabilities/ambient/1"


@given(st.sets(st.integers(0, len(NAMES) - 1)))
def test_masks_are_names(numbers: set[int]) -> None:
    mask = read(effective=[NAMES[number] for number in numbers]).effective
    assert {number for number in range(64) if mask >> number & 1} == numbers


def test_numbers_are_the_kernels() -> None:
    header = Path("/usr/include/linux/capability.h").read_text()  # from linux-libc-dev, which the launcher needs too
    known = {name: int(number) for name, number in re.findall(r"#define (CAP_[A-Z_]+)\s+(\d+)\s", header)}
    assert len(known) > 35
    assert known == {name: NAMES.index(name) for name in known}
