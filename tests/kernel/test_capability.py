"""The five capability sets, read back from /proc/self/status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyoci.kernel import capability
from tests.isolation import in_namespace

pytestmark = pytest.mark.root

LAST = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
FULL = (1 << LAST + 1) - 1


def sets() -> dict[str, int]:
    lines = (line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {name[3:]: int(value, 16) for name, value in lines if name.startswith("Cap")}


def test_get_is_what_the_kernel_shows() -> None:
    found = sets()
    assert capability.get() == (found["Eff"], found["Prm"], found["Inh"])


@settings(max_examples=30)
@given(masks=st.tuples(*[st.integers(0, FULL)] * 5))
def test_every_set_is_what_was_asked_for(masks: tuple[int, int, int, int, int]) -> None:
    """Masks above 32 bits too; only what the kernel's rules forbid is left out."""
    held = capability.get()[1]
    permitted = masks[0] & held
    bounding, ambient = masks[3] & sets()["Bnd"], masks[4]
    effective, inheritable = masks[1] & permitted, masks[2] & bounding  # what is outside is refused (capset(2))

    def body() -> tuple[dict[str, int], int]:
        capability.limit_bounding(bounding)
        capability.set(effective, permitted, inheritable)
        refused = capability.set_ambient(ambient)
        return sets(), refused

    found, refused = in_namespace(body, 0)
    possible = permitted & inheritable
    assert found == {
        "Inh": inheritable,
        "Prm": permitted,
        "Eff": effective,
        "Bnd": bounding,
        "Amb": ambient & possible,
    }
    assert refused == ambient & ~possible


def test_a_capability_that_we_lack_is_refused() -> None:
    def body() -> None:
        capability.set(0, 0, 0)
        capability.set(1, 1, 0)

    with pytest.raises(PermissionError) as caught:
        in_namespace(body, 0)
    assert caught.value.__notes__[0].startswith("capset(")


def test_the_last_capability_is_dropped_too() -> None:
    """python-prctl's list ends where its headers did; whatever it does not know would stay."""

    def body() -> int:
        capability.limit_bounding(0)
        return sets()["Bnd"]

    assert in_namespace(body, 0) == 0


def test_without_privilege_the_bounding_set_stays() -> None:
    def body() -> None:
        os.setresuid(1000, 1000, 1000)
        capability.limit_bounding(0)

    with pytest.raises(PermissionError):
        in_namespace(body, 0)
