"""read() as a whole: safe on anything, agreed with the schema, free of side effects, light to import."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyoci import config
from pyoci.config.hooks import Hooks
from pyoci.config.linux import Linux
from pyoci.config.rules import rules
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests import test_layers
from tests.config.rules.cases import VALID
from tests.config.test_node import JSON

CORPUS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "corpus").glob("*.json")}
ROOT = Path(__file__).parent.parent.parent


def test_defaults() -> None:
    found = config.read({})
    assert found == config.Config(
        oci_version="",
        root=None,
        hostname=None,
        domainname=None,
        process=None,
        mounts=(),
        hooks=Hooks(),
        annotations={},
        linux=Linux(),
    )


def test_everything_at_the_top() -> None:
    found = config.read(
        {
            "ociVersion": "1.3.0",
            "root": {"path": "r"},
            "hostname": "h",
            "domainname": "d",
            "process": {"cwd": "/p"},
            "mounts": [{"destination": "/m"}, {"destination": "/n"}],
            "hooks": {"poststop": [{"path": "/h"}]},
            "annotations": {"a": "b"},
            "linux": {"cgroupsPath": "/c"},
            "windows": 5,
            "x-unknown": [],
        }
    )
    assert (found.oci_version, found.hostname, found.domainname) == ("1.3.0", "h", "d")
    assert found.root is not None and found.process is not None
    assert (found.root.path, found.process.cwd, found.linux.cgroups_path) == ("r", "/p", "/c")
    assert [(mount.pointer, mount.destination) for mount in found.mounts] == [("/mounts/0", "/m"), ("/mounts/1", "/n")]
    assert found.hooks.poststop[0].path == "/h"
    assert found.annotations == {"a": "b"}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `value`."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, member in members for place in places(member, (*path, key))]


def replaced(raw: Any, place: tuple[Any, ...], value: Any) -> Any:
    result = copy.deepcopy(raw)
    target = result
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return result


@st.composite
def mutations(draw: st.DrawFn) -> Any:
    """A config that an engine wrote, or VALID, with one to three values replaced by anything."""
    raw = draw(st.sampled_from([VALID, *CORPUS.values()]))
    for _ in range(draw(st.integers(1, 3))):
        if found := places(raw):
            place = draw(st.sampled_from(found))
            old = raw
            for key in place:
                old = old[key]
            raw = replaced(raw, place, draw(values_like(old)))
    return raw


def values_like(old: Any) -> st.SearchStrategy[Any]:
    """Mostly the same type, so that many mutations get past the first check."""
    if isinstance(old, str):
        return st.one_of(
            st.text(), st.sampled_from(["", "/", "..", "a=b", "user", "SCMP_ACT_NOTIFY", "ro", "p", "a\n\x1bb"]), JSON
        )
    if isinstance(old, int):
        return st.one_of(st.integers(-5, 5), st.integers(-(2**65), 2**65), JSON)
    return JSON


@given(JSON)
def test_only_config_errors_on_anything(value: Any) -> None:
    try:
        config.read(value)
    except ConfigError:
        pass


@settings(max_examples=300, deadline=None)
@given(mutations())
def test_only_config_errors_on_mutations(raw: Any) -> None:
    """No traceback from reading, from the rules or from the check for what is missing; every error has a place."""
    before = copy.deepcopy(raw)
    try:
        found = config.read(raw)
    except ConfigError as error:
        assert error.pointer.startswith("/")
        return
    for violation in rules.violations(found):
        assert violation.pointer.startswith("/")
        assert "\n" not in violation.message
    assert raw == before


@settings(max_examples=300, deadline=None)
@given(mutations())
def test_what_the_schema_accepts_is_read(raw: Any) -> None:
    """Then the rules can tell all that is wrong at once. What no schema says: NUL, surrogates, 64 bits."""
    if schema.walk(raw, CONFIG) is not None:
        return
    try:
        config.read(raw)
    except ConfigError as error:
        known = ("NUL byte", "lone surrogate", "must be between -9223372036854775808 and")
        assert any(text in error.message for text in known), error.message


@pytest.mark.parametrize("name", CORPUS)
def test_pointers_lead_to_their_values(name: str) -> None:
    def records(value: Any) -> list[Any]:
        if isinstance(value, tuple):
            return [found for item in value for found in records(item)]
        if hasattr(value, "__dict__"):
            return [value] + [found for field in vars(value).values() for found in records(field)]
        return []

    pointers = {record.pointer for record in records(config.read(CORPUS[name])) if "pointer" in vars(record)}
    assert len(pointers) > 20
    for pointer in pointers:
        value = CORPUS[name]
        for key in pointer[1:].split("/"):
            key = key.replace("~1", "/").replace("~0", "~")
            value = value[int(key)] if isinstance(value, list) else value[key]


def test_imports() -> None:
    """Reading is on the path of every create: beside pyoci's own modules it loads nothing that takes time."""
    script = "import sys; import pyoci.config.rules.rules; print(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"]
    loaded = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    forbidden = {"re", "json", "enum", "typing", "dataclasses", "functools", "collections", "ctypes", "contextlib"}
    assert not loaded & forbidden
    assert "pyoci.config.schema.schema" not in loaded


def test_no_circles_of_imports() -> None:
    """Counted with those in functions and those for type checkers: whoever reads one file may go downward only."""
    graph = {test_layers.name_of(path): test_layers.imports_of(path) for path in test_layers.MODULES}
    graph = {name: found for name, found in graph.items() if name.startswith("pyoci.config")}
    while leaves := {name for name, found in graph.items() if not found & graph.keys() - {name}}:
        graph = {name: found for name, found in graph.items() if name not in leaves}
    assert graph == {}
