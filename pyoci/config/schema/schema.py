"""The config schema, checked on every create: a walk over table.CONFIG in far less than a millisecond.

The table is made from spec/ when pyoci is built (tools/generate/schema_table.py). Its nodes:
  ("object", members: name -> node, required names, node of other members or None)
  ("array", node of the items, least number of items)
  ("string", the values allowed or None, pattern or None)
  ("integer", minimum or None, maximum or None)
  ("boolean",)
The authority is jsonschema with the same documents (report.py); the tests prove that both always agree.

The decision: docs/decisions/schema-as-a-table.md.
"""

from __future__ import annotations

from pyoci.config.schema.reasons import missing, not_among, not_like, not_within, too_few, wrong_type
from pyoci.config.schema.table import CONFIG
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyoci.config.keys import Remark

    Node = tuple[Any, ...]

PROCESS: Node = CONFIG[1]["process"]
RESOURCES: Node = CONFIG[1]["linux"][1]["resources"]


def look(raw: Any, node: Node, what: str = "config.json") -> tuple[Any, list[Remark], tuple[str, str] | None]:
    """`raw` with its keys spelled as in the schema, remarks on those that were not, and the first violation, if any.

    `raw` is not copied if all keys are the schema's. `what`: the file's name for errors; ConfigError for a key that
    is there in two spellings.
    """
    unknown: list[str] = []
    fault = walk(raw, node, unknown)
    if not unknown and fault is None:
        return raw, [], None
    from pyoci.config import keys

    raw, remarks = keys.settled(raw, node, what)
    return raw, remarks, walk(raw, node)


def slip(remarks: list[Remark], pointer: str, reason: str = "", what: str = "config.json") -> str:
    """A hint if the property at `pointer`, or what it lacks by `reason`, is there under a misspelled key; else "".

    what: the file's name.
    """
    for remark in remarks:
        if remark.is_slip_of(f"{pointer}/{remark.name}" if reason == missing(remark.name) else pointer):
            return remark.guess(what)
    return ""


def walk(value: Any, node: Node, unknown: list[str] | None = None) -> tuple[str, str] | None:
    """Pointer and reason of the first place where `value` is not what `node` wants, or None.

    `unknown` takes the keys on the way there that the schema does not know.
    """
    fault = _walk(value, node, [] if unknown is None else unknown)
    if fault is None:
        return None
    reason, *keys = fault
    return "".join(f"/{escape(key)}" for key in reversed(keys)), reason


def _walk(value: Any, node: Node, unknown: list[str]) -> list[Any] | None:
    """None, or the reason followed by the keys from the violation up to `value`."""
    kind = node[0]
    if kind == "object":
        return _walk_object(value, node, unknown) if type(value) is dict else [wrong_type(kind, value)]
    if kind == "array":
        return _walk_array(value, node, unknown) if type(value) is list else [wrong_type(kind, value)]
    if kind == "string":
        if type(value) is not str:
            return [wrong_type(kind, value)]
        if node[1] is not None and value not in node[1]:
            return [not_among(node[1], value)]
        return None if node[2] is None or PATTERNS[node[2]](value) else [not_like(node[2], value)]
    if kind == "integer":
        if type(value) is not int:
            return [wrong_type(kind, value)]
        low, high = node[1], node[2]
        within = (low is None or low <= value) and (high is None or value <= high)
        return None if within else [not_within(low, high, value)]
    return None if type(value) is bool else [wrong_type(kind, value)]


def _walk_object(value: dict[str, Any], node: Node, unknown: list[str]) -> list[Any] | None:
    _, members, required, extra = node
    for key in required:
        if key not in value:
            return [missing(key)]
    for key, member in value.items():
        child = members.get(key, extra)
        if child is None:
            if members:  # an object without any is free in form
                unknown.append(key)
        elif fault := _walk(member, child, unknown):
            fault.append(key)
            return fault
    return None


def _walk_array(value: list[Any], node: Node, unknown: list[str]) -> list[Any] | None:
    _, child, least = node
    if len(value) < least:
        return [too_few(least)]
    for index, item in enumerate(value):
        if fault := _walk(item, child, unknown):
            fault.append(index)
            return fault
    return None


# The schema's patterns by hand, because importing re costs 5 ms. ECMA 262's `$`: a final newline does not match.


def _is_page_size(text: str) -> bool:
    digits = text[:-2]
    return text[-2:] in ("KB", "MB", "GB") and digits[:1] not in ("", "0") and not digits.strip("0123456789")


PATTERNS: dict[str, Callable[[str], bool]] = {
    "^[1-9][0-9]*[KMG]B$": _is_page_size,
    "^[cbup]$": lambda text: text in ("c", "b", "u", "p"),
    "^MB:[^\\n]*$": lambda text: text.startswith("MB:") and "\n" not in text,
}
