"""The full report: every violation at once, in the file's order, with hints; with old and new jsonschema."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyoci.config import loader, report
from pyoci.config.schema import schema
from pyoci.config.schema.table import CONFIG
from pyoci.errors import ConfigError
from tests.config.corpus import CONFIGS

# Refused although an engine wrote it: crun gives a user namespace without mappings some of its own choice; the
# specification knows no such choice, and runc refuses as well.
REFUSED = {"crun-spec-rootless.json": ["/linux/uidMappings", "/linux/gidMappings"]}

GOOD: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"]},
    "linux": {"namespaces": [{"type": "mount"}]},
}


def lines(raw: Any) -> list[str]:
    return [str(violation) for violation in report.violations(raw)]


@pytest.mark.parametrize("name", CONFIGS)
def test_real_configs_have_no_violations(name: str) -> None:
    assert [violation.pointer for violation in report.violations(CONFIGS[name])] == REFUSED.get(name, [])


@pytest.mark.parametrize("name", CONFIGS)
def test_real_configs_hold_no_unknown_keys(name: str) -> None:
    assert [found for found in report.judged(CONFIGS[name])[1] if "key" in found.reason] == []


def test_every_violation_of_the_schema_at_once_in_the_files_order() -> None:
    raw = {
        "root": {},
        "process": {"cwd": 1, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": -1, "hard": 1}]},
        "linux": {"resources": {"blockIO": {"weightDevice": [3]}}, "rootfsPropagation": "rslve"},
    }
    assert lines(raw) == [
        "config.json#: 'ociVersion' is missing",
        "config.json#/root: 'path' is missing",
        "config.json#/process/cwd: must be a string, not 1",
        "config.json#/process/rlimits/0/soft: must be between 0 and 18446744073709551615, not -1",
        "config.json#/linux/resources/blockIO/weightDevice/0: must be an object, not 3",
        "config.json#/linux/rootfsPropagation: must be one of private, shared, slave, unbindable, rprivate, rshared, "
        "rslave, runbindable, not 'rslve'",
        "config.json#/process/args: args must not be empty",
    ]
    assert report.violations(raw)[-2].hint == "did you mean 'rslave'?"


def test_what_is_missing_may_be_there_under_a_misspelled_key() -> None:
    violations, warnings, _ = report.judged({"ociVersoin": "1.3.0", "rot": {"path": "rootfs"}})
    assert [(found.pointer, found.hint) for found in violations] == [
        ("", "config.json has 'ociVersoin': did you mean 'ociVersion'?"),
        ("/root", "config.json has 'rot': did you mean 'root'?"),
    ]
    assert [(found.pointer, found.hint) for found in warnings] == [
        ("/ociVersoin", "did you mean 'ociVersion'?"),
        ("/rot", "did you mean 'root'?"),
    ]
    violations, _, _ = report.judged({"ociVersion": "1.3.0", "rot": {"path": "rootfs"}})
    assert [(found.pointer, found.hint) for found in violations] == [
        ("/root", "config.json has 'rot': did you mean 'root'?")
    ]


def test_a_key_in_two_spellings_is_a_violation() -> None:
    raw = {**GOOD, "linux": {"resources": {"cpu": {}, "CPU": {}}}}
    violations, warnings, read = report.judged(raw)
    assert [str(found) for found in violations] == [
        "config.json#/linux/resources/CPU: the key is given twice: it is 'cpu' in another case"
    ]
    assert warnings == [] and read is not None


def test_every_key_in_two_spellings_and_what_else_is_wrong() -> None:
    """Of what stands there twice nothing is said but that."""
    linux = {"resources": {"cpu": {"idle": 7}, "CPU": 1}, "Namespaces": [], "NAMESPACES": [], "maskedPaths": ["a"]}
    violations, _, read = report.judged({**GOOD, "hooks": {"poststop": 1}, "HOOKS": {}, "linux": linux})
    assert [found.pointer for found in violations] == [
        "/linux/resources/CPU",
        "/linux/NAMESPACES",
        "/HOOKS",
        "/linux/maskedPaths/0",
    ]
    assert read is not None


def test_every_broken_rule_at_once() -> None:
    raw = {**GOOD, "process": {"cwd": "x", "args": ["a"]}, "linux": {"maskedPaths": ["/a", "b"]}, "hostname": "h"}
    pointers = [violation.pointer for violation in report.violations(raw)]
    assert pointers[:1] == ["/process/cwd"]
    assert {"/hostname", "/linux/maskedPaths/1"} <= set(pointers)
    for violation in report.violations(raw):
        assert not violation.reason.startswith("config.json#"), "the pointer stands in front once"


def test_rules_are_judged_also_if_something_else_breaks_the_schema() -> None:
    assert lines({**GOOD, "process": {"cwd": "x", "args": [1]}}) == [
        "config.json#/process/args/0: must be a string, not 1",
        "config.json#/process/cwd: Cwd must be an absolute path",
    ]


def test_what_is_not_an_object() -> None:
    assert lines(None) == ["config.json#: must be an object, not null"]
    assert report.judged([1])[1:] == ([], None)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_value_is_judged(raw: Any) -> None:
    report.violations(raw)
    report.judged(raw)


@given(st.sampled_from(sorted(schema.PATTERNS)), st.text("RLIMT_ABC0123456789, -KMGBcbup:\n", max_size=8))
def test_a_pattern_ends_at_the_end_of_the_text(pattern: str, text: str) -> None:
    """jsonschema by itself lets a final newline pass, as Python's `$` does; the standard (ECMA 262) does not."""
    errors = list(report._pattern(report._validator("config-schema.json"), pattern, text, {}))
    assert bool(errors) is not schema.PATTERNS[pattern](text)


SCRIPT = """
import sys
from warnings import simplefilter
if sys.argv[1] == "old":
    import jsonschema
    sys.modules["referencing"] = None  # `import referencing` fails, as beside jsonschema 4.10
    simplefilter("ignore", DeprecationWarning)  # today's jsonschema calls its own RefResolver deprecated
from pyoci.config import report
for raw in ({}, {"ociVersion": "1", "vm": {"kernel": {"path": "k"}, "hwConfig": {"irqs": [-1]}}},
            {"ociVersion": "1", "linux": {"devices": [{"type": "c\\n", "path": 1, "major": "x"}]}}):
    print(*report.schema_violations(raw), sep="; ")
"""


def judged_with(resolver: str) -> str:
    command = [sys.executable, "-W", "error", "-c", SCRIPT, resolver]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr)


EXPECTED = """\
config.json#: 'ociVersion' is missing
config.json#/vm/hwConfig/irqs/0: must be between 0 and 4294967295, not -1
config.json#/linux/devices/0/type: must be c or u (character device), b (block device) or p (FIFO), not 'c\\n'; \
config.json#/linux/devices/0/path: must be a string, not 1; \
config.json#/linux/devices/0/major: must be an integer, not 'x'
"""


def test_is_silent_and_right_with_the_jsonschema_that_is_here() -> None:
    assert judged_with("present") == EXPECTED


def test_is_right_with_a_jsonschema_without_referencing() -> None:
    try:
        import referencing  # noqa: F401
    except ImportError:
        return  # the test above was this one
    assert judged_with("old") == EXPECTED


def test_create_reports_without_jsonschema_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyoci.config.report")
    monkeypatch.delattr("pyoci.config.report")
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with pytest.raises(ConfigError) as caught:
        loader.check({"ociVersion": 1})
    assert (caught.value.message, caught.value.hint) == ("config.json#/ociVersion: must be a string, not 1", "")
    assert CONFIG[0] == "object"
