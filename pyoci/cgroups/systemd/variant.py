"""The text of a D-Bus value -> its signature and value, as annotations give it. Pure.

The form is GVariant's text format as far as runc's reader knows it and a property of a unit can use it: numbers,
strings, booleans, byte strings and arrays of them, with a type in front where the guess is not meant:
`true`, `5` (an int32), `uint64 5`, `'text'`, `["a", "b"]`, `@as []`.
https://docs.gtk.org/glib/gvariant-text-format.html
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Variant = tuple[str, Any]

_TYPES = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_BITS = {
    "y": (0, 8),
    "n": (1, 16),
    "q": (0, 16),
    "i": (1, 32),
    "u": (0, 32),
    "x": (1, 64),
    "t": (0, 64),
}  # signed, size
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\n": ""}
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
_DEPTH = 32


def parse(text: str) -> Variant:
    """parse("uint64 5") == ("t", 5). Raises ValueError, which says what is wrong."""
    reader = _Reader(text)
    node = reader.value(0)
    reader.blanks()
    if reader.at != len(text):
        raise ValueError(f"unexpected {text[reader.at :]!r} behind the value")
    signature = node.guess()
    return signature, node.as_type(signature)


class _Node:
    """A value whose type may still be open."""

    def __init__(self, kind: str, text: str, given: str, children: tuple[_Node, ...] = ()) -> None:
        self.kind = kind  # number, string, boolean, bytes, array
        self.text = text
        self.given = given  # the signature written in front, or ""
        self.children = children

    def guess(self) -> str:
        """The signature, where nothing else decides."""
        if self.given:
            return self.given
        if self.kind == "array":
            for child in sorted(self.children, key=lambda one: not one.given):
                if child.given or child.kind != "array" or child.children:
                    return f"a{child.guess()}"
            raise ValueError("cannot tell the type of an empty array; write it in front, such as @as []")
        if self.kind == "number":
            return (
                "d" if "." in self.text or ("e" in self.text and not self.text.lstrip("+-").startswith("0x")) else "i"
            )
        return {"string": "s", "boolean": "b", "bytes": "ay"}[self.kind]

    def as_type(self, signature: str) -> Any:
        if self.given and self.given != signature:
            raise ValueError(f"{self.given!r} where {signature!r} is needed")
        if self.kind == "array" and signature.startswith("a"):
            return [child.as_type(signature[1:]) for child in self.children]
        if self.kind == "number" and signature == "d":
            return float(self.text)
        if self.kind == "number" and signature in _BITS:
            return _integer(self.text, signature)
        if self.kind == "string" and signature in ("s", "o", "g"):
            return self.text
        if self.kind == "boolean" and signature == "b":
            return self.text == "true"
        if self.kind == "bytes" and signature == "ay":
            return self.text.encode("utf-8", "surrogateescape") + b"\0"
        raise ValueError(f"cannot read {self.text or self.kind!r} as type {signature!r}")


def _integer(text: str, signature: str) -> int:
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    base = 16 if digits.startswith("0x") else 8 if digits.startswith("0") and digits != "0" else 10
    if not digits.isalnum():
        raise ValueError(f"{text!r} is no number")
    try:
        value = sign * int(digits.removeprefix("0x"), base)
    except ValueError:
        raise ValueError(f"{text!r} is no number of type {signature!r}") from None
    signed, bits = _BITS[signature]
    if not -(signed << bits - 1) <= value < 1 << bits - signed:
        raise ValueError(f"{text!r} is out of the range of type {signature!r}")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blanks(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def peek(self) -> str:
        self.blanks()
        return self.text[self.at : self.at + 1]

    def value(self, depth: int, given: str = "") -> _Node:
        first = self.peek()
        if depth > _DEPTH:
            raise ValueError("nested too deep")
        if first == "[":
            return self.array(depth, given)
        if first in ("'", '"'):
            return _Node("string", self.string(), given)
        if first == "b" and self.text[self.at + 1 : self.at + 2] in ("'", '"'):
            self.at += 1
            return _Node("bytes", self.string(), given)
        if first == "@":
            self.at += 1
            return self.value(depth + 1, self.annotation(given))
        word = self.word()
        if word in ("true", "false"):
            return _Node("boolean", word, given)
        if word in _TYPES:
            if given:
                raise ValueError("two types for one value")
            return self.value(depth + 1, _TYPES[word])
        if word[:1].isdigit() or word[:1] in ("+", "-", "."):
            return _Node("number", word, given)
        raise ValueError(f"unexpected {word or first!r}" if word or first else "the value is missing")

    def annotation(self, given: str) -> str:
        start = self.at
        while self.text[self.at : self.at + 1] not in ("", " ", "\t", "\n", "["):
            self.at += 1
        signature = self.text[start : self.at]
        inner = signature.lstrip("a")
        if given or inner not in _TYPES.values():
            raise ValueError(f"type {signature!r} is not supported")
        return signature

    def word(self) -> str:
        start = self.at
        while self.text[self.at : self.at + 1] in _WORD and self.at < len(self.text):
            self.at += 1
        return self.text[start : self.at]

    def array(self, depth: int, given: str) -> _Node:
        self.at += 1
        children: list[_Node] = []
        while self.peek() != "]":
            if children:
                if self.peek() != ",":
                    raise ValueError("an array without its end")
                self.at += 1
            children.append(self.value(depth + 1))
        self.at += 1
        return _Node("array", "", given, tuple(children))

    def string(self) -> str:
        quote = self.text[self.at]
        self.at += 1
        parts = []
        while (letter := self.text[self.at : self.at + 1]) != quote:
            if not letter:
                raise ValueError("a string without its end")
            self.at += 1
            parts.append(self.escape() if letter == "\\" else letter)
        self.at += 1
        return "".join(parts)

    def escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter not in ("u", "U"):
            return _ESCAPES.get(letter, letter)
        size = 4 if letter == "u" else 8
        digits = self.text[self.at : self.at + size]
        self.at += size
        if len(digits) < size or not set(digits) <= set("0123456789abcdefABCDEF"):
            raise ValueError("a short escape")
        code = int(digits, 16)
        if not code or code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise ValueError("an escape that stands for no character")
        return chr(code)
