"""The config schema, checked on every create: a walk over schema_table.CONFIG in far less than a millisecond.

The table is made from spec/ when pyoci is built (tools/build_schema_table.py). Its nodes:
  ("object", members: name -> node, required names, node of other members or None)
  ("array", node of the items, least number of items)
  ("string", the values allowed or None, pattern or None)
  ("integer", minimum or None, maximum or None)
  ("boolean",)
The authority is jsonschema with the same documents (report.py); the tests prove that both always agree.
"""

from __future__ import annotations

from pyoci.config.schema_table import CONFIG
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Node = tuple[Any, ...]

ARTICLES = {"object": "an object", "array": "an array", "integer": "an integer", "boolean": "true or false"}


def check(raw: Any) -> None:
    """`raw`, the value of config.json with null members dropped, breaks no rule of the schema.

    Errors: ConfigError for the first violation; its hint tells the others.
    """
    fault = walk(raw, CONFIG)
    if fault is not None:
        raise _error(raw, *fault)


def check_process(raw: Any) -> None:
    """The same for the value of a process.json, which is config.json's `process`; pointers start at the process."""
    fault = walk(raw, CONFIG[1]["process"])
    if fault is not None:
        pointer, reason = fault
        raise ConfigError(f"process.json#{pointer}: {reason}", pointer=pointer)


def check_resources(raw: Any) -> None:
    """The same for config.json's `linux.resources`, as `update` takes it; pointers are as in config.json."""
    fault = walk(raw, CONFIG[1]["linux"][1]["resources"])
    if fault is not None:
        pointer, reason = fault
        raise ConfigError(f"resources#{pointer}: {reason}", pointer=f"/linux/resources{pointer}")


def _error(raw: Any, pointer: str, reason: str) -> ConfigError:
    """What jsonschema knows as well goes into the hint; this way may be slow, as it ends the command."""
    try:
        from pyoci.config import report
    except ImportError:  # without jsonschema the first violation is still worth reporting
        return ConfigError(f"config.json#{pointer}: {reason}", pointer=pointer)
    others = [text for text in map(str, report.schema_violations(raw)) if text != f"config.json#{pointer}: {reason}"]
    hint = "also wrong: " + "; ".join(others[:5]) + (f"; and {len(others) - 5} more" if len(others) > 5 else "")
    return ConfigError(f"config.json#{pointer}: {reason}", pointer=pointer, hint=hint if others else "")


def walk(value: Any, node: Node) -> tuple[str, str] | None:
    """Pointer and reason of the first place where `value` is not what `node` wants, or None."""
    fault = _walk(value, node)
    if fault is None:
        return None
    reason, *keys = fault
    return "".join(f"/{escape(key)}" for key in reversed(keys)), reason


def _walk(value: Any, node: Node) -> list[Any] | None:
    """None, or the reason followed by the keys from the violation up to `value`."""
    kind = node[0]
    if kind == "object":
        return _walk_object(value, node) if type(value) is dict else [wrong_type(kind, value)]
    if kind == "array":
        return _walk_array(value, node) if type(value) is list else [wrong_type(kind, value)]
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


def _walk_object(value: dict[str, Any], node: Node) -> list[Any] | None:
    _, members, required, extra = node
    for key in required:
        if key not in value:
            return [missing(key)]
    for key, member in value.items():
        child = members.get(key, extra)
        if child is not None and (fault := _walk(member, child)):
            fault.append(key)
            return fault
    return None


def _walk_array(value: list[Any], node: Node) -> list[Any] | None:
    _, child, least = node
    if len(value) < least:
        return [too_few(least)]
    for index, item in enumerate(value):
        if fault := _walk(item, child):
            fault.append(index)
            return fault
    return None


# The reasons, in the same words for both validators.


def wrong_type(kind: str, value: Any) -> str:
    return f"must be {ARTICLES.get(kind, 'a string')}, not {show(value)}"


def not_among(allowed: tuple[str, ...], value: str) -> str:
    return f"must be one of {', '.join(allowed)}, not {show(value)}"


def not_like(pattern: str, value: str) -> str:
    return f"must match {pattern}, not be {show(value)}"


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


PATTERNS: dict[str, Callable[[str], bool]] = {
    "^RLIMIT_[A-Z]+$": _is_name_of_limit,
    "^[1-9][0-9]*[KMG]B$": _is_page_size,
    "^[0-9, -]*$": lambda text: not text.strip("0123456789, -"),
    "^[cbup]$": lambda text: text in ("c", "b", "u", "p"),
    "^MB:[^\\n]*$": lambda text: text.startswith("MB:") and "\n" not in text,
}
