"""Keys that are not the specification's: written in another case, misspelled, or somebody's own. Pure.

Go's decoder, and so runc, takes a key for a property whose name differs from it by case only, if the exact name is not
there. Whoever wrote "CPU" has a limit with runc; without this there would be none with us, in silence. All other keys
are ignored, as config.md wants it ("Extensibility"), and told if they look like a slip. Maps whose keys are names of
somebody else (annotations, sysctl, unified, ...) are left alone.

Imported only if there is such a key, which no engine writes, or if something is wrong with the file.
"""

from __future__ import annotations

from pyoci.config.violation import Violation
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape, fold
from pyoci.near import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Node = tuple[Any, ...]  # of config/schema/table.py

_MOST_GUESSES = 200  # for each one the key is compared with every name there


class Remark(Violation):
    """A key that is not the specification's."""

    key: str
    name: str = ""  # of the property that it is taken for, or may be meant
    taken: bool = False  # else it is ignored
    beside: bool = False  # the property itself is there as well

    def is_slip_of(self, pointer: str) -> bool:
        """Whether the property at `pointer` is missing, and may be what stands here."""
        if not self.name or self.taken or self.beside:
            return False
        return f"{self.pointer.rpartition('/')[0]}/{self.name}" == pointer

    def guess(self, what: str) -> str:
        """A hint for the error that tells of the missing property."""
        return f"{what} has {self.key!r}: {self.hint}"


def settled(
    raw: Any, node: Node, what: str = "config.json", twice: list[tuple[str, ConfigError]] | None = None
) -> tuple[Any, list[Remark]]:
    """`raw` with every key that differs by case spelled as in the schema, and remarks on all keys that are not there.

    what: the file's name for errors, with a pointer behind it ("config.json#/process") if `raw` is a part of it.
    twice: takes the pointer and the error of every property that is there in two spellings, and is in the value no
    more; without it the first one is raised.
    Errors: ConfigError if a key is there in two spellings.
    """
    remarks: list[Remark] = []
    return _settled(raw, node, [], remarks, what, twice), remarks


def _settled(
    value: Any,
    node: Node,
    keys: list[str | int],
    remarks: list[Remark],
    what: str,
    twice: list[tuple[str, ConfigError]] | None,
) -> Any:
    if node[0] == "array" and type(value) is list:
        return [_settled(item, node[1], [*keys, index], remarks, what, twice) for index, item in enumerate(value)]
    if node[0] != "object" or type(value) is not dict:
        return value
    _, members, _, extra = node
    fixed = bool(members) and keys[-1:] != ["timeOffsets"]  # a map in Go; a rule knows its two keys
    folded: dict[str, str] = {}
    doubtful = set()  # there in two spellings
    result = {}
    for key, member in value.items():
        name: str = key
        if fixed and key not in members:
            folded = folded or {fold(known): known for known in members}
            name = folded.get(fold(key)) or key
            remarks.append(_remark(key, name, value, members if len(remarks) < _MOST_GUESSES else {}, keys))
            if name in result or (name != key and name in value):
                pointer = _pointer([*keys, key])
                reason = f"the key is given twice: it is {name!r} in another case"
                place = f"{what}{pointer}" if "#" in what else f"{what}#{pointer}"
                hint = f"keep one of them, spelled {name!r}: readers differ in which one counts"
                error = ConfigError(f"{place}: {reason}", pointer=place.partition("#")[2], hint=hint)
                if twice is None:
                    raise error
                twice.append((_pointer([*keys, name]), error))
                remarks.pop()  # it is not taken for anything
                doubtful.add(name)
        child = members.get(name, extra)
        result[name] = member if child is None else _settled(member, child, [*keys, name], remarks, what, twice)
    for name in doubtful:
        result.pop(name)
    return result


def _remark(key: str, name: str, value: dict[str, Any], known: dict[str, Node], keys: list[str | int]) -> Remark:
    pointer = _pointer([*keys, key])
    if name != key:
        reason = f"taken for {name!r}: the specification spells it so, and other runtimes may ignore it"
        return Remark(pointer=pointer, reason=reason, key=key, name=name, taken=True)
    own = key.lower().startswith(("x-", "x_"))  # as people mark what is theirs
    name = "" if own else nearest(key, known)
    hint = f"did you mean {name!r}?" if name else ""
    return Remark(pointer=pointer, reason="unknown key, ignored", hint=hint, key=key, name=name, beside=name in value)


def _pointer(keys: list[str | int]) -> str:
    return "".join(f"/{escape(key)}" for key in keys)
