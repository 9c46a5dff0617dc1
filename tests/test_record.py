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


class Nested(Point):
    """A default that cannot be hashed, and fields of a base."""

    table: dict[str, int] = {}


values = st.integers(-5, 5)
points = st.builds(Point, x=values, y=values) | st.builds(Point, x=values)


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


@given(values, values)
def test_a_default_that_is_given_is_as_good_as_one_that_is_not(x: int, y: int) -> None:
    assert Point(x=x) == Point(x=x, y=0)
    assert Point(x=x, y=0) == Point(x=x)
    assert hash(Point(x=x)) == hash(Point(x=x, y=0))
    assert Nested(x=x) == Nested(x=x, y=0, table={})
    assert hash(Nested(x=x)) == hash(Nested(x=x, y=0, table={}))
    assert (Nested(x=x) == Nested(x=x, y=y)) == (y == 0)
    assert Nested(x=x) != Nested(x=x, table={"a": 1})


def test_a_field_without_a_value_equals_none_that_has_one() -> None:
    assert Point(y=0) != Point(x=1)  # type: ignore[call-arg]
    assert Point(x=1) != Point(y=0)  # type: ignore[call-arg]


@given(points, points, points)
def test_equality_is_one(a: Point, b: Point, c: Point) -> None:
    assert a == a
    assert (a == b) == (b == a)
    if a == b:
        assert hash(a) == hash(b)
        assert (a == c) == (b == c)


@given(points, values, values)
def test_replace_changes_what_is_named_and_nothing_else(point: Point, x: int, y: int) -> None:
    before = repr(point)
    changed = point.replace(x=x)
    assert type(changed) is Point
    assert (changed.x, changed.y) == (x, point.y)
    assert repr(point) == before
    assert point.replace() == point
    assert point.replace(x=point.x, y=point.y) == point
    assert point.replace(x=x).replace(y=y) == point.replace(y=y, x=x) == Point(x=x, y=y)


def test_replace_knows_the_fields() -> None:
    with pytest.raises(TypeError, match="Point has no field 'z'"):
        Point(x=1).replace(z=2)


def test_a_record_shows_its_values() -> None:
    assert repr(Point(x=1, y=2)) == "Point(x=1, y=2)"
