"""The error for a file that breaks the schema of config.json, with all else that is wrong there in its hint.

Imported only once something is found wrong: then there is time for jsonschema, which knows everything at once.
"""

from __future__ import annotations

from pyoci.config.schema import schema
from pyoci.errors import ConfigError, Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyoci.config.keys import Remark

MANY = 10_000


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
    made.hint = schema.slip(remarks, pointer, reason, name) or _hint(raw, fault, name, part, len(place) - len(pointer))
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
