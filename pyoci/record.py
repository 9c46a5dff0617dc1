"""Record, the base of all plain data: fields by annotation, made once, never changed.

Not dataclasses: forty of them cost 38 ms at import, forty Records nothing (docs/measurements.md).

The decision: docs/decisions/records.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self, TypeVar, dataclass_transform

    T = TypeVar("T")
else:

    def dataclass_transform(**_: object) -> Callable[[T], T]:
        """That of typing, which tells type checkers about Record and does nothing at run time."""
        return lambda cls: cls


_NO_VALUE = object()  # of a field that has neither been given nor a default


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """Immutable values with named fields. A class attribute is a field's default."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable: {name}")

    def replace(self, **changes: Any) -> Self:
        """A copy in which `changes` stand in place of the values that these fields have. Raises TypeError for a name
        that is no field."""
        for name in changes:
            if not hasattr(self, name):
                raise TypeError(f"{type(self).__name__} has no field {name!r}")
        return type(self)(**{**self.__dict__, **changes})

    def __eq__(self, other: object) -> bool:
        """Whether all values are equal; a field that was left out has its default, as if that had been given."""
        if type(self) is not type(other):
            return False
        mine, theirs = self.__dict__, other.__dict__
        if mine == theirs:
            return True
        return all(getattr(self, name, _NO_VALUE) == getattr(other, name, _NO_VALUE) for name in mine.keys() | theirs)

    def __hash__(self) -> int:
        """Of what differs from the defaults, because equal records must have the same."""
        kind = type(self)
        values = self.__dict__.items()
        return hash((kind, frozenset(pair for pair in values if getattr(kind, pair[0], _NO_VALUE) != pair[1])))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
