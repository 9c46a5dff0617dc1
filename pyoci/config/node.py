"""Node: one object of config.json that knows its pointer; every error about a type is raised here.

The schema has been checked before `read` runs on the path of create; a Node checks types again because it costs
little and makes `read` safe for any caller. Absent and null are the same, as for Go's decoder.
"""

from __future__ import annotations

from pyoci.config.schema import reasons
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

GONE = object()  # stands in an array of objects for one that nobody can read, and which is told of already (sound.py)
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)
UINT32 = (0, 2**32 - 1)
UINT64 = (0, 2**64 - 1)


class Node:
    """`value` is a dict for certain; `pointer` is its place (RFC 6901). The methods read one member each."""

    __slots__ = ("pointer", "value")

    def __init__(self, value: object, pointer: str) -> None:
        if type(value) is not dict:
            raise wrong_type(pointer, "object", value)
        self.value: dict[str, Any] = value
        self.pointer = pointer

    def at(self, key: str) -> str:
        """The pointer of a member."""
        return f"{self.pointer}/{escape(key)}"

    def string(self, key: str) -> str:
        """A string, "" when absent."""
        value = self.value.get(key)
        return "" if value is None else text(value, self, key)

    def optional_string(self, key: str) -> str | None:
        """A string, None when absent: for the few properties where "" means something else."""
        value = self.value.get(key)
        return None if value is None else text(value, self, key)

    def required_string(self, key: str) -> str:
        """A string. Raises ConfigError if it is absent or of another type."""
        value = self.value.get(key)
        if value is None:
            raise missing(self, key)
        return text(value, self, key)

    def word(self, key: str, allowed: Collection[str]) -> str:
        """A string that is one of `allowed`; the schema has the same ones, so that only other callers are refused."""
        value = self.required_string(key)
        if value not in allowed:
            raise broken(self.at(key), reasons.not_among(tuple(allowed), value))
        return value

    def boolean(self, key: str) -> bool:
        """A boolean, False when absent."""
        value = self.value.get(key)
        if value is None or value is False:
            return False
        if value is True:
            return True
        raise wrong_type(self.at(key), "boolean", value)

    def integer(self, key: str, limits: tuple[int, int], default: int = 0) -> int:
        """A whole number within `limits`, both included."""
        value = self.value.get(key)
        return default if value is None else whole(value, limits, self, key)

    def optional_integer(self, key: str, limits: tuple[int, int]) -> int | None:
        """A whole number, None when absent."""
        value = self.value.get(key)
        return None if value is None else whole(value, limits, self, key)

    def required_integer(self, key: str, limits: tuple[int, int]) -> int:
        """A whole number within `limits`, both included. Raises ConfigError if it is absent or something else."""
        value = self.value.get(key)
        if value is None:
            raise missing(self, key)
        return whole(value, limits, self, key)

    def strings(self, key: str) -> tuple[str, ...]:
        """An array of strings, empty when absent."""
        return self.optional_strings(key) or ()

    def optional_strings(self, key: str) -> tuple[str, ...] | None:
        """An array of strings, None when absent: for the few properties where [] means something else."""
        values = self.value.get(key)
        if values is None:
            return None
        if type(values) is not list:
            raise wrong_type(self.at(key), "array", values)
        try:
            together = "".join(values)  # one test of all of them is ten times as fast as one each
        except TypeError:
            together = "\0"
        if not together.isascii() or "\0" in together:
            for index, value in enumerate(values):
                text(value, self, key, index)
        return tuple(values)

    def integers(self, key: str, limits: tuple[int, int]) -> tuple[int, ...]:
        """An array of whole numbers, empty when absent."""
        return tuple([whole(value, limits, self, key, index) for index, value in enumerate(self._array(key))])

    def child(self, key: str) -> Node | None:
        """A member that is an object, None when absent."""
        value = self.value.get(key)
        return None if value is None else Node(value, self.at(key))

    def children(self, key: str) -> list[Node]:
        """The objects of a member that is an array, none when absent."""
        values = self._array(key)
        pointer = self.at(key) if values else ""
        return [Node(value, f"{pointer}/{index}") for index, value in enumerate(values) if value is not GONE]

    def members(self, key: str) -> list[tuple[str, Node]]:
        """The members of a member that is an object of objects, none when absent."""
        node = self.child(key)
        if node is None:
            return []
        return [
            (text(name, node, name), Node(value, node.at(name)))
            for name, value in node.value.items()
            if value is not None
        ]

    def table(self, key: str) -> dict[str, str]:
        """A member that is an object of strings, empty when absent."""
        node = self.child(key)
        if node is None:
            return {}
        return {
            text(name, node, name): text(value, node, name) for name, value in node.value.items() if value is not None
        }

    def _array(self, key: str) -> list[Any]:
        values = self.value.get(key)
        if values is None:
            return []
        if type(values) is not list:
            raise wrong_type(self.at(key), "array", values)
        return values


def text(value: object, node: Node, key: str, index: int | None = None) -> str:
    """`value` if it is a string that can be handed to the kernel: without NUL and lone surrogates."""
    if type(value) is not str:
        raise wrong_type(place(node, key, index), "string", value)
    if "\0" not in value and (value.isascii() or encodable(value)):
        return value
    character = "NUL byte" if "\0" in value else "lone surrogate"
    raise broken(place(node, key, index), f"must not contain a {character}", "remove it: no argument can hold it")


def whole(value: object, limits: tuple[int, int], node: Node, key: str, index: int | None = None) -> int:
    """`value` if it is a whole number within `limits`; 1.0 and 1e3 are none, as for Go's decoder."""
    if type(value) is not int:
        raise wrong_type(place(node, key, index), "integer", value)
    if limits[0] <= value <= limits[1]:
        return value
    shown = value if -(2**70) < value < 2**70 else "one of many digits"
    raise broken(place(node, key, index), f"must be between {limits[0]} and {limits[1]}, not {shown}")


def encodable(value: str) -> bool:
    """Whether UTF-8 can say it: JSON may hold half of a surrogate pair, which no name of the kernel can."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def place(node: Node, key: str, index: int | None) -> str:
    """The pointer of the member `key`, or of the item `index` in it."""
    return node.at(key) if index is None else f"{node.at(key)}/{index}"


def broken(pointer: str, reason: str, hint: str = "") -> ConfigError:
    """The error for a value that may not be; also of a rule for which runc has no words."""
    return ConfigError(f"config.json#{pointer}: {reason}", pointer=pointer, hint=hint)


def missing(node: Node, key: str) -> ConfigError:
    """The error for a member that the specification requires."""
    return broken(node.pointer, reasons.missing(key), "the specification requires it")


def wrong_type(pointer: str, wanted: str, value: object) -> ConfigError:
    """The error for a value that is no `wanted`, a type's name in JSON schema; in the words of the schema's walker."""
    if type(value) is int and not -(2**70) < value < 2**70:  # Python refuses to print more than 4,300 digits
        value = float("inf")
    return broken(pointer, reasons.wrong_type(wanted, value))
