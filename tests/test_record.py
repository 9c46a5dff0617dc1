"""Plain data: made once, never changed, equal by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.record import Record


class Point(Record):
    x: int
    y: int = 0


class Other(Record):
    x: int
    y: int = 0


values = st.integers(-5, 5)


def test_defaults_stand_in_the_class() -> None:
    assert (Point(x=1).x, Point(x=1).y) == (1, 0)


def test_no_member_changes() -> None:
    point = Point(x=1)
    for name in ("x", "z"):
        with pytest.raises(AttributeError, match=f"Point is immutable: {name}"):
            setattr(point, name, 2)
        with pytest.raises(AttributeError, match=f"Point is immutable: {name}"):
            delattr(point, name)
    assert point == Point(x=1)


def test_positions_have_no_meaning() -> None:
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]


@given(values, values, values, values)
def test_equal_means_equal_values(a: int, b: int, c: int, d: int) -> None:
    one, two = Point(x=a, y=b), Point(x=c, y=d)
    assert (one == two) == ((a, b) == (c, d))
    if one == two:
        assert hash(one) == hash(two)
    assert one != Other(x=a, y=b)


def test_a_record_shows_its_values() -> None:
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
