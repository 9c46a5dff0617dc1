"""Why a value of config.json is refused, in the same words for all who refuse one.

The walker over the schema's table, the reader of the records and the report of jsonschema find the same things, and
must say the same of them. Imports nothing, so that all of them can import it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ARTICLES = {"object": "an object", "array": "an array", "integer": "an integer", "boolean": "true or false"}
LIKE = {  # the schema's patterns -> what each of them wants
    "^[1-9][0-9]*[KMG]B$": "a size such as 2MB",
    "^[cbup]$": "c or u (character device), b (block device) or p (FIFO)",
    "^MB:[^\\n]*$": "one line that begins with MB:",
}


def wrong_type(kind: str, value: Any) -> str:
    """`kind` is a type's name in JSON schema: "object", "integer"."""
    return f"must be {ARTICLES.get(kind, 'a string')}, not {show(value)}"


def not_among(allowed: tuple[str, ...], value: str) -> str:
    """For an enumeration."""
    return f"must be one of {', '.join(filter(None, allowed))}, not {show(value)}"


def not_like(pattern: str, value: str) -> str:
    """For a text that `pattern` does not match: one of LIKE, which says it in words."""
    return f"must be {LIKE[pattern]}, not {show(value)}"


def not_within(low: int | None, high: int | None, value: int) -> str:
    """For a number outside of its limits, either of which may be None."""
    if high is None:
        return f"must be at least {low}, not {value}"
    return (
        f"must be between {low} and {high}, not {value}" if low is not None else f"must be at most {high}, not {value}"
    )


def missing(key: str) -> str:
    """For a member that is required."""
    return f"{key!r} is missing"


def too_few(least: int) -> str:
    """For an array of less than `least` items."""
    return f"must have at least {least} item{'s' if least > 1 else ''}"


def show(value: Any) -> str:
    """`value` for a message: short, on one line, as JSON would name it."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) in (dict, list):
        return "an object" if type(value) is dict else "an array"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
