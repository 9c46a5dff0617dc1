"""The walker over the schema's table: fast, and of one mind with jsonschema in verdict, place and words."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import pyoci
from pyoci.config import loader, report
from pyoci.config.schema import reasons, schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests.config.corpus import CONFIGS

MINIMAL = {"ociVersion": "1.3.0", "root": {"path": "rootfs"}}


def with_process(**members: Any) -> dict[str, Any]:
    return {**MINIMAL, "process": {"cwd": "/", **members}}


def with_linux(**members: Any) -> dict[str, Any]:
    return {**MINIMAL, "linux": members}


@pytest.mark.parametrize("name", CONFIGS)
def test_accepts_what_engines_write(name: str) -> None:
    loader.check(CONFIGS[name])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (None, "config.json#: must be an object, not null"),
        ([], "config.json#: must be an object, not an array"),
        ({}, "config.json#: 'ociVersion' is missing"),
        ({**MINIMAL, "hostname": 5}, "config.json#/hostname: must be a string, not 5"),
        ({**MINIMAL, "mounts": [{"destination": "/a"}, {}]}, "config.json#/mounts/1: 'destination' is missing"),
        ({**MINIMAL, "annotations": {"a/b~c": True}}, "config.json#/annotations/a~1b~0c: must be a string, not true"),
        ({**MINIMAL, "annotations": {"": 1}}, "config.json#/annotations/: must be a string, not 1"),
        (with_process(terminal="yes"), "config.json#/process/terminal: must be true or false, not 'yes'"),
        (with_process(terminal=0), "config.json#/process/terminal: must be true or false, not 0"),
        (with_process(oomScoreAdj=True), "config.json#/process/oomScoreAdj: must be an integer, not true"),
        (with_process(oomScoreAdj=1.0), "config.json#/process/oomScoreAdj: must be an integer, not 1.0"),
        (with_process(args=["a", None]), "config.json#/process/args/1: must be a string, not null"),
        (with_process(args={}), "config.json#/process/args: must be an array, not an object"),
        (
            with_process(user={"uid": 2**32}),
            "config.json#/process/user/uid: must be between 0 and 4294967295, not 4294967296",
        ),
        (
            {**MINIMAL, "hooks": {"poststop": [{"path": "/h", "timeout": 0}]}},
            "config.json#/hooks/poststop/0/timeout: must be at least 1, not 0",
        ),
        (
            with_linux(personality={"domain": "linux"}),
            "config.json#/linux/personality/domain: must be one of LINUX, LINUX32, not 'linux'",
        ),
        (
            with_linux(devices=[{"type": "c\n", "path": "/d"}]),
            "config.json#/linux/devices/0/type: "
            "must be c or u (character device), b (block device) or p (FIFO), not 'c\\n'",
        ),
        (
            {**MINIMAL, "windows": {"layerFolders": []}},
            "config.json#/windows/layerFolders: must have at least 1 item",
        ),
        (
            with_linux(resources={"blockIO": {"weightDevice": [{"minor": 1}]}}),
            "config.json#/linux/resources/blockIO/weightDevice/0: 'major' is missing",
        ),
        (
            with_linux(personality={"domain": "x" * 100}),
            f"config.json#/linux/personality/domain: must be one of LINUX, LINUX32, not '{'x' * 56}...",
        ),
    ],
)  # fmt: skip
def test_violation(raw: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loader.check(raw)
    assert caught.value.message == message
    assert message.startswith(f"config.json#{caught.value.pointer}: ")


def test_the_hint_tells_the_other_violations() -> None:
    with pytest.raises(ConfigError) as caught:
        loader.check(with_process(terminal=1, cwd=2, args=[3]) | {"hostname": 4})
    assert caught.value.message == "config.json#/process/cwd: must be a string, not 2"
    assert caught.value.hint == (
        'write "2", in quotes; also wrong: config.json#/process/terminal: must be true or false, not 1; '
        "config.json#/process/args/0: must be a string, not 3; config.json#/hostname: must be a string, not 4"
    )
    with pytest.raises(ConfigError) as caught:
        loader.check(with_process(args=list(range(9))))
    assert caught.value.hint.endswith("; and 3 more")


def test_process_json_is_checked_by_the_same_table() -> None:
    assert schema.walk({"cwd": "/", "args": ["a"]}, schema.PROCESS) is None
    assert schema.walk({"user": {"gid": "x"}}, schema.PROCESS) == ("", "'cwd' is missing")
    assert schema.walk({"cwd": "/", "user": {"gid": "x"}}, schema.PROCESS) == (
        "/user/gid",
        "must be an integer, not 'x'",
    )


def patterns(node: tuple[Any, ...]) -> set[str]:
    if node[0] == "string":
        return {node[2]} - {None}
    if node[0] == "array":
        return patterns(node[1])
    if node[0] != "object":
        return set()
    children = [*node[1].values(), *([node[3]] if node[3] else [])]
    return set().union(*map(patterns, children))


def test_every_pattern_has_its_predicate() -> None:
    assert patterns(CONFIG) == set(schema.PATTERNS) == set(reasons.LIKE)


@pytest.mark.parametrize("pattern", schema.PATTERNS)
def test_predicates_agree_with_the_patterns(pattern: str) -> None:
    end_of_text = re.compile(pattern.removesuffix("$") + r"\Z")

    @given(st.from_regex(pattern) | st.text("RLIMT_ABC0123456789, -KMGBcbup:\n\u0660\u00c4", max_size=9))
    @example("")
    @example("0MB")
    @example("KB")
    @example("1TB")
    @example("MB:\n")
    @example("cc")
    def agree(text: str) -> None:
        assert bool(schema.PATTERNS[pattern](text)) is bool(end_of_text.search(text))

    agree()


SCALARS: st.SearchStrategy[Any] = st.sampled_from([None, True, 0, -1, 1.5, "", "x", 2**63, 2**64 - 1]) | st.integers()
WRONG: st.SearchStrategy[Any] = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS)


def instances(node: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """Values that are mostly what `node` wants, so that violations occur at every depth and not only at the top."""
    kind = node[0]
    if kind == "object":
        members = {key: later(child) for key, child in node[1].items()}
        required = {key: members[key] for key in node[2]}
        optional = {key: value for key, value in members.items() if key not in node[2]}
        if node[3] is not None:
            return st.dictionaries(st.text(max_size=3), later(node[3]), max_size=2)
        return st.fixed_dictionaries(required, optional=dict(sorted(optional.items())))
    if kind == "array":
        return st.lists(later(node[1]), min_size=node[2], max_size=2)
    if kind == "string":
        return st.sampled_from(node[1]) if node[1] else st.from_regex(node[2]) if node[2] else st.text(max_size=3)
    if kind == "integer":
        return st.integers(node[1], node[2]) | st.sampled_from([n for n in node[1:] if n is not None] or [0])
    return st.booleans()


def later(node: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.deferred(lambda: mostly(node))


def mostly(node: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.integers(0, 19).flatmap(lambda chance: WRONG if chance == 0 else instances(node))


def agreed(raw: Any) -> bool:
    """Both validators' verdict; where the walker stops, jsonschema's first finding is the same, in the same words."""
    fault = schema.walk(raw, CONFIG)
    found = [(violation.pointer, violation.reason) for violation in report.schema_violations(raw)]
    assert fault == (found[0] if found else None)
    return fault is None


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(CONFIG[1])), st.data())
def test_agrees_with_jsonschema_on_values_made_from_the_table(chapter: str, data: st.DataObject) -> None:
    agreed({"ociVersion": "1.3.0", chapter: data.draw(mostly(CONFIG[1][chapter]))})


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_jsonschema_when_any_one_value_is_replaced(name: str) -> None:
    """Every place of every config holds, in turn, a value of each wrong type, or nothing."""
    raw = shortened(CONFIGS[name])
    for number, (holder, key) in enumerate(places(raw)):
        old = holder[key]
        holder[key] = (None, 7, -1, "x\n", [], {}, 1.5, False)[number % 8]
        agreed(raw)
        if isinstance(holder, dict):
            del holder[key]
            agreed(raw)
        holder[key] = old


def shortened(value: Any) -> Any:
    """A copy in which every array has at most two items."""
    if isinstance(value, dict):
        return {key: shortened(member) for key, member in value.items()}
    return [shortened(item) for item in value[:2]] if isinstance(value, list) else value


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every member and item in `value` as holder and key."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in [(value, key), *places(value[key])]]


def test_takes_far_less_than_a_millisecond() -> None:
    """A podman config with its seccomp profile; 0.08 ms on the machine that this was written on."""
    raw = CONFIGS["podman-default.json"]
    times = []
    for _ in range(50):
        start = time.perf_counter()
        schema.walk(raw, CONFIG)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.001


def test_imports_nothing_beyond_its_own_modules() -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); import pyoci.config, pyoci.jsonfile\n"
        "bare = set(sys.modules)\n"
        "from pyoci.config.schema import schema; schema.look({'ociVersion': '1'}, schema.CONFIG)\n"
        "print(sorted(set(sys.modules) - bare))"
    )
    root = str(Path(pyoci.__file__).parent.parent)
    command = [sys.executable, "-I", "-S", "-c", script, root]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pyoci.config.schema.schema', 'pyoci.config.schema.table']"
