"""Turn spec/*.json into Python literals: schema_table.py SPEC_DIR OUT_DIR.

Writes two modules into OUT_DIR (pyoci/config/schema):
  table.py      CONFIG, the config schema with every $ref followed, as the tuples that schema.py walks
  documents.py  DOCUMENTS, file name -> schema with repairs.json applied, for jsonschema

Run by the build, and by the tests in a source checkout. Needs nothing but the standard library.
A construct of JSON Schema that schema.py does not know stops the build: nothing is left unchecked silently.
"""

from __future__ import annotations

import json
import os
import sys
from pprint import pformat
from typing import Any

NOT_SCHEMAS = ("repairs.json", "SOURCE.json")
SILENT = {"description", "$schema"}  # keywords that check nothing
KNOWN: dict[str, set[str]] = {  # type -> keywords beside it that schema.py checks
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items", "minItems"},
    "string": {"enum", "pattern"},
    "integer": {"minimum", "maximum"},
    "boolean": set(),
}


def load(directory: str) -> dict[str, Any]:
    """File name -> document, as downloaded."""
    documents = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".json") and name not in NOT_SCHEMAS:
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                documents[name] = json.load(file)
    return documents


def repaired(directory: str) -> dict[str, Any]:
    """File name -> document with repairs.json applied. ValueError for a repair that changes nothing."""
    documents = load(directory)
    with open(os.path.join(directory, "repairs.json"), encoding="utf-8") as file:
        repairs = json.load(file)
    for repair in repairs["repairs"] + repairs["adjustments"]:
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in repair["pointer"].split("/")[1:]]
        target = documents[repair["file"]]
        for part in parents:
            target = target[part]
        if target[last] == repair["value"]:
            raise ValueError(f"{repair['file']}#{repair['pointer']}: the repair is not needed any more")
        target[last] = repair["value"]
    return documents


class Table:
    """The nodes of a schema, equal ones once. A node is a tuple whose first item is its kind (see schema.py)."""

    def __init__(self, documents: dict[str, Any]) -> None:
        self.names: dict[str, str] = {}  # the node's literal -> its name
        self.documents = {
            name: json.loads(json.dumps(document).replace('"$ref": "#', f'"$ref": "{name}#'))
            for name, document in documents.items()
        }

    def node(self, schema: dict[str, Any]) -> str:
        """The name of the node that checks what `schema` checks; ValueError if schema.py could not."""
        schema = self._resolved(schema)
        kind, given = str(schema.get("type")), set(schema) - SILENT - {"type"}
        if kind not in KNOWN or given - KNOWN[kind]:
            raise ValueError(f"schema.py cannot check {json.dumps(schema)[:300]}")
        literal = getattr(self, "_" + kind)(schema)
        return self.names.setdefault(literal, f"_{len(self.names)}")

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` without $ref, allOf, anyOf at its top; in draft 4 nothing beside a $ref counts."""
        while "$ref" in schema:
            file, _, pointer = schema["$ref"].partition("#")
            schema = self.documents[file]
            for part in pointer.split("/")[1:]:
                schema = schema[part]
        given = set(schema) - SILENT
        if given == {"anyOf"} and len(schema["anyOf"]) == 1:
            return self._resolved(schema["anyOf"][0])
        if "allOf" in given and given <= {"allOf", "type"}:
            return _merged([self._resolved(part) for part in schema["allOf"]])
        return schema

    def _object(self, schema: dict[str, Any]) -> str:
        members = ", ".join(f"{key!r}: {self.node(value)}" for key, value in schema.get("properties", {}).items())
        extra = self.node(schema["additionalProperties"]) if "additionalProperties" in schema else None
        return f"('object', {{{members}}}, {tuple(schema.get('required', ()))!r}, {extra})"

    def _array(self, schema: dict[str, Any]) -> str:
        return f"('array', {self.node(schema['items'])}, {schema.get('minItems', 0)})"

    def _string(self, schema: dict[str, Any]) -> str:
        return f"('string', {tuple(schema['enum']) if 'enum' in schema else None!r}, {schema.get('pattern')!r})"

    def _integer(self, schema: dict[str, Any]) -> str:
        return f"('integer', {schema.get('minimum')}, {schema.get('maximum')})"

    def _boolean(self, schema: dict[str, Any]) -> str:
        return "('boolean',)"


def _merged(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    """allOf of objects as one object, which is the same if no property stands in two of them."""
    merged: dict[str, Any] = {"type": "object", "properties": {}, "required": []}
    for schema in schemas:
        if schema.get("type") != "object" or set(schema) - SILENT - {"type", "properties", "required"}:
            raise ValueError(f"schema.py cannot check allOf with {json.dumps(schema)[:200]}")
        if merged["properties"].keys() & schema["properties"].keys():
            raise ValueError(f"allOf gives a property twice: {json.dumps(schema)[:200]}")
        merged["properties"].update(schema["properties"])
        merged["required"] += schema.get("required", [])
    return merged


def build(spec: str, out: str) -> None:
    """Write both modules; a file appears whole or not at all, as two test runs may build at the same time."""
    documents = repaired(spec)
    table = Table(documents)
    root = table.node({"$ref": "config-schema.json#"})
    head = '"""Made by tools/generate/schema_table.py from spec/; do not edit."""\n\n'
    nodes = "".join(f"{name} = {literal}\n" for literal, name in table.names.items())
    _write(os.path.join(out, "table.py"), f"{head}{nodes}CONFIG = {root}\n")
    _write(os.path.join(out, "documents.py"), f"{head}DOCUMENTS = {pformat(documents, sort_dicts=False)}\n")


def _write(path: str, text: str) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build(sys.argv[1], sys.argv[2])
