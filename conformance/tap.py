"""Reads the Test Anything Protocol as the runtime-tools programs write it.

What they do beyond TAP 13: the plan may come first, last or (a program that dies) not at all; one program may write
several reports one after the other; a failure's details are a JSON object in a YAML block; the output of
`runtimetest`, itself TAP, stands inside such a block or takes the place of the program's own. Only lines at the left
margin and outside a block count. Programs about hooks make no assertion at all: they write nothing but the plan `1..0`
if all was well, and a block with an `error` before it if not; such a block is read as a failure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

_ASSERTION = re.compile(r"(?P<not>not )?ok\b(?: +(?P<number>\d+))?(?: +- +| +|$)(?P<text>.*)")
_PLAN = re.compile(r"1\.\.(?P<count>\d+)\b")
_DIRECTIVE = re.compile(r"#\s*(?P<kind>skip|todo)\b[\S]*\s*(?P<why>.*)$", re.IGNORECASE)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_BUNDLE = re.compile(r"/\S*/ocitest\d+")


@dataclass(frozen=True)
class Assertion:
    """One `ok` line. `ok` is true for a failure marked TODO, as TAP 13 demands; `skipped` for one marked SKIP."""

    text: str
    ok: bool
    skipped: bool = False
    details: str = ""


@dataclass
class Report:
    """What a program printed: its assertions in order, the counts its plans announced (None: no plan), why it gave up.

    errors: failures that are no assertions, see the head of this file.
    """

    assertions: list[Assertion] = field(default_factory=list)
    planned: int | None = None
    bailed_out: str = ""
    errors: list[Assertion] = field(default_factory=list)

    @property
    def failures(self) -> list[Assertion]:
        """The assertions that are not ok, and the failures that are no assertions."""
        return [assertion for assertion in self.assertions if not assertion.ok] + self.errors

    @property
    def complete(self) -> bool:
        """The program said everything that it had announced."""
        return not self.bailed_out and self.planned == len(self.assertions)


def stable(text: str) -> str:
    """`text` without what differs from run to run: container ids, bundle directories, runs of blanks."""
    return " ".join(_BUNDLE.sub("BUNDLE", _UUID.sub("ID", text)).split())


def read(output: str) -> Report:
    """The report in a program's standard output. Never fails: what is not TAP is passed over."""
    report = Report()
    block: list[str] | None = None
    for line in output.splitlines():
        if block is not None:
            if line.strip() == "...":
                _attach(report, block)
                block = None
            else:
                block.append(line.strip())
        elif line.strip() == "---":
            block = []
        else:
            _line(report, line)
    if block:
        _attach(report, block)
    return report


def _line(report: Report, line: str) -> None:
    if match := _PLAN.match(line):
        report.planned = (report.planned or 0) + int(match["count"])
    elif line.startswith("Bail out!"):
        report.bailed_out = line.removeprefix("Bail out!").strip() or "no reason given"
    elif match := _ASSERTION.match(line):
        directive = _DIRECTIVE.search(match["text"])
        text = match["text"]
        if directive:
            text = text[: directive.start()].strip() or directive["why"]
        report.assertions.append(
            Assertion(
                text=stable(text),
                ok=not match["not"] or (directive is not None and directive["kind"].lower() == "todo"),
                skipped=directive is not None and directive["kind"].lower() == "skip",
            )
        )


def _attach(report: Report, block: list[str]) -> None:
    """Gives a block to the assertion before it; before any assertion, one with an error is a failure itself."""
    text = " ".join(block)
    if report.assertions:
        last = report.assertions[-1]
        report.assertions[-1] = Assertion(last.text, last.ok, last.skipped, last.details + text)
        return
    try:
        error = json.loads(text).get("error")
    except (ValueError, AttributeError):
        return
    if error:
        report.errors.append(Assertion(text=stable(error), ok=False, details=text))
