"""The config schema, checked on every create: a walk over table.CONFIG in far less than a millisecond.

The table is made from spec/ when pyoci is built (tools/generate/schema_table.py). Its nodes:
  ("object", members: name -> node, required names, node of other members or None)
  ("array", node of the items, least number of items)
  ("string", the values allowed or None, pattern or None)
  ("integer", minimum or None, maximum or None)
  ("boolean",)
The authority is jsonschema with the same documents (report.py); the tests prove that both always agree.
"""

from __future__ import annotations

from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError, Error
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyoci.config.keys import Remark

    Node = tuple[Any, ...]

MANY = 10_000
PROCESS: Node = CONFIG[1]["process"]
RESOURCES: Node = CONFIG[1]["linux"][1]["resources"]
ARTICLES = {"object": "an object", "array": "an array", "integer": "an integer", "boolean": "true or false"}


def check(raw: Any) -> tuple[Any, list[Remark]]:
    """The value of config.json, null members dropped, as `look` finds it.

    Errors: ConfigError for the first violation; its hint tells the others.
    """
    raw, remarks, fault = look(raw, CONFIG)
    if fault is not None:
        raise error(raw, remarks, fault)
    return raw, remarks


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


def error(
    raw: Any, remarks: list[Remark], fault: tuple[str, str], name: str = "config.json", part: tuple[str, ...] = ()
) -> ConfigError:
    """The error for `fault`, with what to write instead, or what else is wrong, in the hint; this may be slow.

    part: the keys that lead to where `raw` stands in a config.json. name: the file's, whose root `raw` is if it is
    another file.
    """
    pointer, reason = fault
    place = pointer if name != "config.json" else "".join(f"/{key}" for key in part) + pointer
    made = ConfigError(f"{name}#{place}: {reason}", pointer=place)
    made.hint = slip(remarks, pointer, reason, name) or _hint(raw, fault, name, part, len(place) - len(pointer))
    return made


def _hint(raw: Any, fault: tuple[str, str], name: str, part: tuple[str, ...], shown: int) -> str:
    """What jsonschema knows. shown: letters of the pointers of `part` that are shown."""
    if _is_large(raw):
        return "" if part else "`pyoci validate` tells the rest"
    try:
        from pyoci.config import report
    except Error:
        raise
    except Exception:  # no jsonschema, or one that is being replaced: the first violation is still worth reporting
        return ""
    for key in reversed(part):
        raw = {key: raw}
    above = "".join(f"/{key}" for key in part)
    found = [one for one in report.schema_violations(raw) if f"{one.pointer}/".startswith(f"{above}/")]
    this = [one for one in found if (one.pointer, one.reason) == (above + fault[0], fault[1])]
    others = [f"{name}#{one.pointer[len(above) - shown :]}: {one.reason}" for one in found if one not in this]
    more = "also wrong: " + "; ".join(others[:5]) + (f"; and {len(others) - 5} more" if len(others) > 5 else "")
    hints = [*(one.hint for one in this if one.hint), *([more] if others else [])]
    return "; ".join(hints)


def _is_large(raw: Any) -> bool:
    """More values than jsonschema can look at in about a second."""
    count, left = 0, [raw]
    while left and count <= MANY:
        value = left.pop()
        children = value.values() if type(value) is dict else value if type(value) is list else ()
        count += len(children)
        left += [child for child in children if type(child) is dict or type(child) is list]
    return count > MANY


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
        return None if node[2] is None or PATTERNS[node[2]][0](value) else [not_like(node[2], value)]
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


# The reasons, in the same words for both validators.


def wrong_type(kind: str, value: Any) -> str:
    return f"must be {ARTICLES.get(kind, 'a string')}, not {show(value)}"


def not_among(allowed: tuple[str, ...], value: str) -> str:
    return f"must be one of {', '.join(filter(None, allowed))}, not {show(value)}"


def not_like(pattern: str, value: str) -> str:
    return f"must be {PATTERNS[pattern][1]}, not {show(value)}"


def not_within(low: int | None, high: int | None, value: int) -> str:
    if high is None:
        return f"must be at least {low}, not {value}"
    return (
        f"must be between {low} and {high}, not {value}" if low is not None else f"must be at most {high}, not {value}"
    )


def missing(key: str) -> str:
    return f"{key!r} is missing"


def too_few(least: int) -> str:
    return f"must have at least {least} item{'s' if least > 1 else ''}"


def show(value: Any) -> str:
    """`value` for a message: short, on one line, as JSON would name it."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) in (dict, list):
        return "an object" if type(value) is dict else "an array"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# The schema's patterns by hand, because importing re costs 5 ms. ECMA 262's `$`: a final newline does not match.


def _is_name_of_limit(text: str) -> bool:
    name = text.removeprefix("RLIMIT_")
    return name != text and name != "" and not name.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _is_page_size(text: str) -> bool:
    digits = text[:-2]
    return text[-2:] in ("KB", "MB", "GB") and digits[:1] not in ("", "0") and not digits.strip("0123456789")


# Pattern -> predicate, and what it wants in words.
PATTERNS: dict[str, tuple[Callable[[str], bool], str]] = {
    "^RLIMIT_[A-Z]+$": (_is_name_of_limit, "a name such as RLIMIT_NOFILE"),
    "^[1-9][0-9]*[KMG]B$": (_is_page_size, "a size such as 2MB"),
    "^[0-9, -]*$": (lambda text: not text.strip("0123456789, -"), "a list such as 0-3,7"),
    "^[cbup]$": (lambda text: text in ("c", "b", "u", "p"), "c or u (character device), b (block device) or p (FIFO)"),
    "^MB:[^\\n]*$": (lambda text: text.startswith("MB:") and "\n" not in text, "one line that begins with MB:"),
}
