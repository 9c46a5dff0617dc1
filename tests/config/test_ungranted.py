"""What of process.capabilities cannot be granted, and how it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config.capabilities import BITS, Capabilities
from pyoci.config.ungranted import warnings

ALL = -1
CHOWN, KILL, RAW = BITS["CAP_CHOWN"], BITS["CAP_KILL"], BITS["CAP_NET_RAW"]
UNKNOWN = "ignoring unknown or unavailable capabilities: "
AMBIENT = "can't raise ambient capability CAP_NET_RAW: operation not permitted: it is not in "


def everywhere(mask: int, **other: int) -> Capabilities:
    sets = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), mask)
    return Capabilities(**(sets | other))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sets", "held", "lines"),
    [
        (everywhere(CHOWN), ALL, []),
        (everywhere(CHOWN | KILL), CHOWN, [f"{UNKNOWN}CAP_KILL: unavailable, as pyoci does not hold them itself"]),
        (
            Capabilities(unknown=("CAP_FOO", "CAP_NET_ADMN", "kill", "NET_ADMIN"), bounding=RAW),
            CHOWN,
            [
                f"{UNKNOWN}CAP_FOO, CAP_NET_ADMN (did you mean CAP_NET_ADMIN?), kill (did you mean CAP_KILL?), "
                "NET_ADMIN (did you mean CAP_NET_ADMIN?): unknown",
                f"{UNKNOWN}CAP_NET_RAW: unavailable, as pyoci does not hold them itself",
            ],
        ),
        (everywhere(RAW, inheritable=0), ALL, [f"{AMBIENT}inheritable"]),
        (everywhere(RAW, permitted=0, effective=0), ALL, [f"{AMBIENT}permitted"]),
        (
            everywhere(RAW, permitted=0, effective=0, inheritable=0),
            ALL,
            [f"{AMBIENT}permitted and inheritable"],
        ),
        (
            everywhere(KILL, permitted=0, ambient=0),
            ALL,
            ["ignoring effective capability CAP_KILL: it is not in permitted"],
        ),
        (
            everywhere(RAW, bounding=0),
            ALL,
            [
                "ignoring inheritable capability CAP_NET_RAW: it is not in bounding",
                "permitted capability CAP_NET_RAW ends with execve: it is not in bounding",
                f"{AMBIENT}inheritable",
            ],
        ),
    ],
)
def test_warnings(sets: Capabilities, held: int, lines: list[str]) -> None:
    assert warnings(sets, held) == lines
    assert sets.can_be_granted(held) is not bool(lines)


masks = st.integers(0, 7)


@given(masks, masks, masks, masks, masks, st.integers(0, 7))
def test_whoever_is_not_granted_all_is_told(
    bounding: int, effective: int, permitted: int, inheritable: int, ambient: int, held: int
) -> None:
    sets = Capabilities(
        bounding=bounding, effective=effective, permitted=permitted, inheritable=inheritable, ambient=ambient
    )
    assert sets.can_be_granted(held) is not bool(warnings(sets, held))


def test_many_unknown_names_are_few_lines() -> None:
    names = tuple(f"CAP_{number}" for number in range(300_000))
    (line,) = warnings(Capabilities(unknown=names), ALL)
    assert line.endswith("and 299980 more: unknown") and len(line) < 1000
