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

from pyoci import config
from pyoci.config import rules, schema
from pyoci.config.schema_documents import DOCUMENTS
from pyoci.config.schema_table import CONFIG
from pyoci.errors import ConfigError
from pyoci.jsonfile import escape
from pyoci.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "https://spec.invalid/"  # for references to be relative to; .invalid exists nowhere and nothing is fetched


class Violation(Record):
    """`config.json#POINTER: REASON`, and a hint or ""."""

    pointer: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return f"config.json#{self.pointer}: {self.reason}"


def violations(raw: Any) -> list[Violation]:
    """All violations in `raw` (null members dropped), in the file's order; [] if `create` would accept it.

    The rules across properties are judged only if every property by itself is right.
    """
    found = schema_violations(raw)
    return found or _rule_violations(raw)


def schema_violations(raw: Any, document: str = "config-schema.json") -> list[Violation]:
    """What jsonschema finds in `raw` by one of the vendored documents, in the file's order."""
    found: dict[tuple[str, str], Violation] = {}
    for error in _validator(document).iter_errors(raw):
        for leaf in _leaves(error):
            violation = _violation(leaf)
            found.setdefault((violation.pointer, violation.reason), violation)
    if not found:
        return []
    place = {pointer: number for number, pointer in enumerate(_pointers(raw, ""))}
    return sorted(found.values(), key=lambda violation: place[violation.pointer])


def _pointers(value: Any, pointer: str) -> Iterator[str]:
    """The pointer of everything in `value`, as it stands in the file."""
    yield pointer
    for key, child in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from _pointers(child, f"{pointer}/{escape(key)}")


def _rule_violations(raw: dict[str, Any]) -> list[Violation]:
    try:
        read = config.read(raw)
        return [from_error(error) for error in rules.violations(read)]
    except ConfigError as error:  # the reader stops at the first value that it cannot take
        return [from_error(error)]


def from_error(error: ConfigError) -> Violation:
    """The violation that an error of the reader or of the rules tells of."""
    reason = error.message.removeprefix(f"config.json#{error.pointer}: ").removeprefix("config.json: ")
    return Violation(pointer=error.pointer, reason=reason, hint=error.hint)


def _pattern(validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """The keyword `pattern` as ECMA 262 reads it: `$` is the very end, where Python's also stands before a newline."""
    if validator.is_type(value, "string") and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield ValidationError(schema.not_like(pattern, value))


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
        return schema.wrong_type(str(wanted), value)
    if keyword == "enum":
        return schema.not_among(tuple(wanted), value)
    if keyword in ("minimum", "maximum"):
        bounds: Any = error.schema
        return schema.not_within(bounds.get("minimum"), bounds.get("maximum"), value)
    if keyword == "required":
        return schema.missing(next(key for key in wanted if repr(key) in error.message))
    if keyword == "minItems":
        return schema.too_few(wanted)
    return error.message


def _hint(error: ValidationError) -> str:
    if error.validator == "enum" and isinstance(error.instance, str):
        return did_you_mean(error.instance, error.validator_value)
    return ""


def did_you_mean(word: str, known: Any) -> str:
    """`did you mean 'rootfsPropagation'?` if one of `known` is near `word`, else ""."""
    from difflib import get_close_matches

    by_case = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_case, n=1, cutoff=0.7)
    return f"did you mean {by_case[near[0]]!r}?" if near else ""


def warnings(raw: Any) -> list[Violation]:
    """What is no violation and yet may not be meant: keys that the specification does not know.

    It wants them ignored (config.md, "Extensibility"), so they are.
    """
    return list(_unknown(raw, CONFIG, ""))


def _unknown(value: Any, node: tuple[Any, ...], pointer: str) -> Iterator[Violation]:
    if node[0] == "array" and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, node[1], f"{pointer}/{index}")
    if node[0] != "object" or not isinstance(value, dict):
        return
    for key, member in value.items():
        child = node[1].get(key, node[3])
        if child is not None:
            yield from _unknown(member, child, f"{pointer}/{escape(key)}")
        elif node[1]:  # an object without members in the schema is free in form
            hint = did_you_mean(key, node[1])
            yield Violation(pointer=f"{pointer}/{escape(key)}", reason="unknown key, ignored", hint=hint)
