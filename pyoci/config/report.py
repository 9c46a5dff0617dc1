"""Everything that is wrong with a config.json at once: jsonschema first, then the rules across properties.

Slow to import (65 ms): only `pyoci validate` and the error path of create do. Works with jsonschema 4.10 (Debian 12),
which resolves references by RefResolver, and with newer ones, which do it by the package `referencing`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

try:
    import jsonschema as _  # noqa: F401
except ImportError:  # started without site (-S), and jsonschema is not in the directory that pyoci is in
    import sys
    from site import getsitepackages

    sys.path += getsitepackages()  # nothing that site itself would run: *.pth, sitecustomize

from jsonschema import Draft4Validator, ValidationError
from jsonschema.validators import extend

from pyoci.config import advice, keys, suggestions
from pyoci.config.schema import reasons, schema
from pyoci.config.schema.documents import DOCUMENTS
from pyoci.config.schema.table import CONFIG
from pyoci.config.sound import Sound
from pyoci.config.violation import Violation
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyoci.config import Config
    from pyoci.config.keys import Remark

BASE = "https://spec.invalid/"  # for references to be relative to; .invalid exists nowhere and nothing is fetched


def judged(raw: Any, faults: Sequence[ConfigError] = ()) -> tuple[list[Violation], list[Violation], Config | None]:
    """Violations in `raw` (null members dropped), none if `create` would accept it; warnings; and what was read.

    faults: what was found before, by jsonfile.read, and is not in `raw` any more.

    The rules across properties, and advice, are for all that has nothing to do with what breaks the schema.
    """
    twice: list[tuple[str, ConfigError]] = []
    raw, remarks = keys.settled(raw, CONFIG, twice=twice)
    found, rest = _judged(raw, [*faults, *(error for _, error in twice)], [pointer for pointer, _ in twice])
    warnings = list[Violation](remarks)
    if rest.config is not None:
        warnings += [one for one in advice.warnings(rest.config) if rest.is_there(one.pointer)]
    return [_with_guess(one, remarks) for one in found], warnings, rest.config


def _with_guess(found: Violation, remarks: list[Remark]) -> Violation:
    """What is missing may be there under a misspelled key."""
    guess = schema.slip(remarks, found.pointer, found.reason)
    return Violation(pointer=found.pointer, reason=found.reason, hint=guess) if guess else found


def violations(raw: Any) -> list[Violation]:
    """All violations in `raw`, whose keys are spelled as in the schema."""
    return _judged(raw)[0]


def _judged(
    raw: Any, faults: Sequence[ConfigError] = (), doubtful: Sequence[str] = ()
) -> tuple[list[Violation], Sound]:
    """faults: known already. doubtful: pointers of properties that are missing because there were two of them."""
    gone = [*(one.pointer for one in faults), *doubtful]
    by_schema = [
        one
        for one in schema_violations(raw)
        if not any(f"{_place_of(one)}/".startswith(f"{pointer}/") for pointer in gone)
    ]
    found = [*(from_error(error) for error in faults), *by_schema]
    rest = Sound(raw, [*gone, *(_place_of(one) for one in by_schema)])
    known = {(one.pointer, one.reason) for one in found}
    more = [from_error(error) for error in (*rest.faults, *rest.violations())]
    return [*found, *(one for one in more if (one.pointer, one.reason) not in known)], rest


def _place_of(found: Violation) -> str:
    """Where it is that something is wrong: of what is missing its place, not that of the object around it."""
    key, is_missing, _ = found.reason.rpartition(" is missing")
    return (
        f"{found.pointer}/{escape(key[1:-1])}"
        if is_missing and found.reason == reasons.missing(key[1:-1])
        else found.pointer
    )


def schema_violations(raw: Any, document: str = "config-schema.json") -> list[Violation]:
    """What jsonschema finds in `raw` by one of the vendored documents, in the file's order."""
    found: dict[tuple[str, str], Violation] = {}
    places: dict[tuple[str, str], list[Any]] = {}
    for error in _validator(document).iter_errors(raw):
        for leaf in _leaves(error):
            violation = _violation(leaf)
            key = violation.pointer, violation.reason
            found.setdefault(key, violation)
            places.setdefault(key, list(leaf.absolute_path))
    order: dict[int, dict[str, int]] = {}
    return [found[key] for key in sorted(found, key=lambda key: _place(raw, places[key], order))]


def _place(value: Any, path: list[Any], order: dict[int, dict[str, int]]) -> list[int]:
    """Where `path` is in the file: the number of each of its keys among those beside it, kept in `order`.

    Only violations need one: the pointer of every value would repeat a long key as often as there are values.
    """
    place = []
    for key in path:
        if isinstance(value, dict):
            if id(value) not in order:
                order[id(value)] = {name: number for number, name in enumerate(value)}
            place.append(order[id(value)][key])
        else:
            place.append(key)
        value = value[key]
    return place


def from_error(error: ConfigError) -> Violation:
    """The violation that an error of the reader or of the rules tells of."""
    reason = error.message.removeprefix(f"config.json#{error.pointer}: ").removeprefix("config.json: ")
    return Violation(pointer=error.pointer, reason=reason, hint=error.hint)


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """The keyword `pattern` as ECMA 262 reads it: `$` is the very end, where Python's also stands before a newline."""
    if validator.is_type(value, "string") and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(reasons.not_like(pattern, value))


_Validator: Any = extend(Draft4Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]


@cache
def _validator(document: str) -> Any:
    """A validator for DOCUMENTS[document]; a reference in it names another document, relative to BASE."""
    start = {"$ref": BASE + document}
    # A document's $schema would make jsonschema continue with its own validator, without our `pattern`.
    documents = {BASE + name: _without_dialect(content) for name, content in DOCUMENTS.items()}
    try:
        from referencing import Registry
        from referencing.jsonschema import DRAFT4
    except ImportError:
        from jsonschema import RefResolver

        return _Validator(start, resolver=RefResolver(BASE, start, store=documents))
    resources = [(name, DRAFT4.create_resource(content)) for name, content in documents.items()]
    return _Validator(start, registry=Registry().with_resources(resources))


def _without_dialect(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "$schema"}


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The errors inside an anyOf; the vendored schemas use it with one branch only."""
    if not error.context:
        yield error
    for inner in error.context or ():
        yield from _leaves(inner)


def _violation(error: ValidationError) -> Violation:
    pointer = "".join(f"/{escape(key)}" for key in error.absolute_path)
    return Violation(pointer=pointer, reason=_reason(error), hint=_hint(error))


def _reason(error: ValidationError) -> str:
    """The same words as the walker's; jsonschema's own where there are none."""
    keyword: Any = error.validator
    wanted: Any = error.validator_value
    value: Any = error.instance
    if keyword == "type":
        return reasons.wrong_type(str(wanted), value)
    if keyword == "enum":
        return reasons.not_among(tuple(wanted), value)
    if keyword in ("minimum", "maximum"):
        bounds: Any = error.schema
        return reasons.not_within(bounds.get("minimum"), bounds.get("maximum"), value)
    if keyword == "required":
        return reasons.missing(next(key for key in wanted if repr(key) in error.message))
    if keyword == "minItems":
        return reasons.too_few(wanted)
    return error.message


def _hint(error: ValidationError) -> str:
    keyword: Any = error.validator
    wanted: Any = error.validator_value
    value: Any = error.instance
    if keyword == "type":
        return suggestions.for_type(str(wanted), value, str(error.absolute_path[-1]) if error.absolute_path else "")
    if keyword == "required":
        return suggestions.for_missing(next(key for key in wanted if repr(key) in error.message))
    if keyword in ("minimum", "maximum"):
        return suggestions.for_bounds(list(error.absolute_path))
    if keyword == "pattern":
        return suggestions.for_pattern(wanted, value)
    if keyword == "enum" and isinstance(value, str):
        return suggestions.for_word(value, wanted)
    return ""
