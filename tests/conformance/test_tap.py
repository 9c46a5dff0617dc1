"""conformance/tap.py: what counts as passed and failed in the suite's output."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance import tap

TEXTS = st.text(st.characters(categories=("Lu", "Ll", "Nd"), max_codepoint=0x17F), min_size=1, max_size=20)
ASSERTIONS = st.lists(st.tuples(st.booleans(), TEXTS), max_size=30)


def write(assertions: list[tuple[bool, str]]) -> str:
    return "".join(f"{'ok' if ok else 'not ok'} {n} - {text}\n" for n, (ok, text) in enumerate(assertions, 1))


@given(ASSERTIONS, st.booleans())
def test_reads_back_what_was_written(assertions: list[tuple[bool, str]], plan_first: bool) -> None:
    """Assertions keep order, verdict and text; the plan counts wherever it stands."""
    plan = f"1..{len(assertions)}\n"
    body = write(assertions)
    report = tap.read("TAP version 13\n" + (plan + body if plan_first else body + plan))
    assert [(item.ok, item.text) for item in report.assertions] == assertions
    assert [item.text for item in report.failures] == [text for ok, text in assertions if not ok]
    assert report.complete


@given(ASSERTIONS.filter(bool))
def test_program_that_dies_is_not_complete(assertions: list[tuple[bool, str]]) -> None:
    """Without its last assertion, or without a plan, a report is not complete."""
    assert not tap.read(f"1..{len(assertions)}\n" + write(assertions[:-1])).complete
    assert not tap.read(write(assertions)).complete


def test_several_reports_in_one_output() -> None:
    """linux_cgroups_cpus writes two reports: their plans add up."""
    report = tap.read("TAP version 13\nok 1 - a\nok 2 - b\n1..2\nTAP version 13\nok 1 - c\n1..1\n")
    assert report.complete
    assert report.planned == 3


def test_assertions_in_a_block_do_not_count() -> None:
    """runtimetest's own TAP, quoted in a YAML block, is no assertion of the program."""
    quoted = json.dumps({"stdout": "1..1\nnot ok 1 - inner\n"}, indent=2)
    block = "  ---\n  " + quoted.replace("\n", "\n  ") + "\n  ...\n"
    report = tap.read(f"TAP version 13\n{block}ok 1 - outer\n1..1\n")
    assert report.complete
    assert not report.failures


def test_details_belong_to_the_assertion_before() -> None:
    report = tap.read('not ok 1 - kill\n  ---\n  {\n    "error": "exit status 1"\n  }\n  ...\nok 2 - more\n1..2\n')
    assert "exit status 1" in report.assertions[0].details
    assert report.assertions[1].details == ""
    assert not report.errors


def test_error_without_assertion_is_a_failure() -> None:
    """The hook programs write an error block and the plan 1..0: that is a failure, the plan alone is not."""
    report = tap.read('TAP version 13\n  ---\n  {\n    "error": "Hooks MUST\\nRefer to: x"\n  }\n  ...\n1..0\n')
    assert [item.text for item in report.failures] == ["Hooks MUST Refer to: x"]
    assert tap.read("TAP version 13\n1..0\n").failures == []


@pytest.mark.parametrize(
    ("line", "ok", "skipped", "text"),
    [
        ("ok 1 # SKIP no hugetlb", True, True, "no hugetlb"),
        ("ok 1 - pids # skip v2", True, True, "pids"),
        ("not ok 1 # TODO later", True, False, "later"),
        ("not ok 1 - spaces   in between ", False, False, "spaces in between"),
        ("ok", True, False, ""),
    ],
)
def test_directives(line: str, ok: bool, skipped: bool, text: str) -> None:
    (item,) = tap.read(line + "\n").assertions
    assert (item.ok, item.skipped, item.text) == (ok, skipped, text)


def test_bail_out() -> None:
    report = tap.read("1..1\nok 1 - a\nBail out! no tar\n")
    assert report.bailed_out == "no tar"
    assert not report.complete


@given(st.text())
def test_never_fails(output: str) -> None:
    """Whatever a program prints, the reader reads it."""
    tap.read(output)
    tap.read(f"  ---\n{output}\n  ...\n1..0\n")


def test_stable_text() -> None:
    """Ids and bundle directories differ from run to run and must not enter expected.toml."""
    text = "container 0f6f5a5e-9a5a-4a86-8a08-2d6fd6a2a5b7 in /run/tmp/ocitest123456/output:\n  gone"
    assert tap.stable(text) == "container ID in BUNDLE/output: gone"
