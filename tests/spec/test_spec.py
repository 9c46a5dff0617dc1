"""spec/: what was vendored is what the specification's authors published, and both validators judge as they do."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyoci import jsonfile
from pyoci.config import report
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests.schema_modules import ROOT, SPEC
from tools.generate import schema_table

SOURCE = json.loads((SPEC / "SOURCE.json").read_text())
REPAIRS = json.loads((SPEC / "repairs.json").read_text())


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `go mod download` says of the specification's module: Dir, Sum, Version, ...

    The answer and the module cache are kept below .cache: the lanes have neither Go nor a network.
    """
    kept = ROOT / f".cache/go-{SOURCE['version']}.json"
    if not kept.exists():
        here = tmp_path_factory.mktemp("module")
        (here / "go.mod").write_text("module none\n")
        command = [str(ROOT / "tools/go"), "mod", "download", "-json", f"{SOURCE['module']}@{SOURCE['version']}"]
        environment = {**os.environ, "GOMODCACHE": str(ROOT / ".cache/go"), "GOFLAGS": "-modcacherw"}
        done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.stderr or done.stdout}")
        kept.with_suffix(".new").write_text(done.stdout)
        kept.with_suffix(".new").rename(kept)  # whole, or not there
    answer: dict[str, str] = json.loads(kept.read_text())
    return answer


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in references(item)]
    if not isinstance(value, dict):
        return []
    here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
    return here + [found for member in value.values() for found in references(member)]


def resolves(documents: dict[str, Any], file: str, reference: str) -> bool:
    name, _, pointer = reference.partition("#")
    target = documents.get(name or file)
    if not pointer.startswith("/"):
        return False
    for part in pointer.split("/")[1:]:
        target = target.get(part) if isinstance(target, dict) else None
    return target is not None


def test_checksums() -> None:
    present = {path.name for path in SPEC.iterdir()} - {"SOURCE.json", "repairs.json"}
    assert present == set(SOURCE["sha256"])
    for name, checksum in SOURCE["sha256"].items():
        assert hashlib.sha256((SPEC / name).read_bytes()).hexdigest() == checksum, name


def test_files_are_those_of_the_module(module: dict[str, str]) -> None:
    assert (module["Version"], module["Sum"]) == (SOURCE["version"], SOURCE["sum"])
    directory = Path(module["Dir"])
    assert (SPEC / "LICENSE").read_bytes() == (directory / "LICENSE").read_bytes()
    published = {path.name: path.read_bytes() for path in (directory / "schema").glob("*.json")}
    assert {name: (SPEC / name).read_bytes() for name in SOURCE["sha256"] if name != "LICENSE"} == published


def test_every_reference_resolves_once_repaired() -> None:
    documents = schema_table.repaired(str(SPEC))
    found = [(file, reference) for file, document in documents.items() for reference in references(document)]
    assert len(found) > 150
    assert [pair for pair in found if not resolves(documents, *pair)] == []


def test_the_repairs_are_needed() -> None:
    """Two defects of the tag: a reference that leads nowhere, and an array where a schema belongs."""
    documents = schema_table.load(str(SPEC))
    broken = [
        (file, reference)
        for file, document in documents.items()
        for reference in references(document)
        if not resolves(documents, file, reference)
    ]
    assert broken == [("defs.json", "#definitions/uint32")]
    assert type(documents["config-vm.json"]["vm"]["properties"]["hwConfig"]["properties"]["iomems"]["items"]) is list
    assert len(REPAIRS["repairs"]) == 2


@pytest.mark.parametrize("repair", REPAIRS["repairs"] + REPAIRS["adjustments"], ids=lambda repair: repair["pointer"])
def test_every_repair_tells_its_reason(repair: dict[str, Any]) -> None:
    assert set(repair) == {"file", "pointer", "value", "reason"}
    assert len(repair["reason"]) > 60


VM = {"ociVersion": "1.3.0", "vm": {"kernel": {"path": "/k"}, "hwConfig": {}}}


@pytest.mark.parametrize(
    ("hardware", "right"),
    [
        ({"irqs": [0, 2**32 - 1]}, True),
        ({"irqs": [2**32]}, False),
        ({"iomems": [{"firstMFN": 1, "nrMFNs": 1}, {"firstMFN": 2, "nrMFNs": 1}]}, True),
        ({"iomems": [{"firstMFN": 1, "nrMFNs": 1}, {"firstMFN": 2}]}, False),
    ],
)
def test_what_the_two_repairs_change(hardware: dict[str, Any], right: bool) -> None:
    raw = {**VM, "vm": {"kernel": {"path": "/k"}, "hwConfig": hardware}}
    assert (schema.walk(raw, CONFIG) is None) is right
    assert (report.schema_violations(raw) == []) is right


def test_a_repair_that_is_not_needed_any_more_stops_the_build(tmp_path: Path) -> None:
    for path in SPEC.glob("*.json"):
        shutil.copy(path, tmp_path)
    text = (tmp_path / "defs.json").read_text()
    (tmp_path / "defs.json").write_text(text.replace('"#definitions/uint32"', '"#/definitions/uint32"'))
    with pytest.raises(ValueError, match="not needed any more"):
        schema_table.repaired(str(tmp_path))


@pytest.mark.parametrize(
    "construct",
    [
        {"type": "string", "format": "uri"},
        {"type": "number"},
        {"type": ["string", "null"]},
        {"oneOf": [{"type": "string"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "patternProperties": {"x": {"type": "string"}}},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {},
    ],
)
def test_a_construct_that_the_walker_does_not_know_stops_the_build(construct: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot check"):
        schema_table.Table({}).node(construct)


@pytest.mark.parametrize("verdict", ["good", "bad"])
@pytest.mark.parametrize("document", ["config", "features", "state"])
def test_the_modules_own_examples(module: dict[str, str], document: str, verdict: str) -> None:
    examples = sorted((Path(module["Dir"]) / "schema" / "test" / document / verdict).glob("*.json"))
    assert examples
    for example in examples:
        assert judged_good(example, document) is (verdict == "good"), example.name


def judged_good(example: Path, document: str) -> bool:
    try:
        raw = jsonfile.read(str(example), what=example.name)
    except ConfigError:
        return False
    by_jsonschema = report.schema_violations(raw, f"{document}-schema.json") == []
    if document == "config":
        assert (schema.walk(raw, CONFIG) is None) is by_jsonschema
    return by_jsonschema


def test_the_table_is_what_the_tool_makes_today(tmp_path: Path) -> None:
    schema_table.build(str(SPEC), str(tmp_path))
    for name in ("table.py", "documents.py"):
        assert (tmp_path / name).read_text() == (ROOT / "pyoci/config/schema" / name).read_text()
