"""expected.toml: the programs that pyoci does not pass in full, each with its reason; and the comparison with a run.

A table per program, or an array of tables where lanes differ:

    [linux_seccomp]
    why = "suite"          # it asks for what the specification does not; or another of WHY
    reason = "..."         # for "suite" with the quotation
    failures = ["..."]     # the assertions that fail, as tap.stable() writes them; nothing else may
    ended = "exit 1"       # if it does not end well
    lanes = ["host"]       # only there; absent: everywhere; "host-v2": in a view with cgroup v2 only

    suite     it asks for what the specification (1.3.0) does not
    engines   pyoci does what runc and crun do and engines rely on, against the text
    hardware  the machine lacks a controller, a device, a capability, a security module
    v1        the program knows cgroup v1 only
    open      pyoci does not do it yet

A program that stands here and passes is as wrong as one that fails and does not: the file is exact, or worth nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.results import Result

WHY = ("suite", "engines", "hardware", "v1", "open")


@dataclass(frozen=True)
class Exception_:
    """One entry of expected.toml. lanes: where it holds, () everywhere."""

    program: str
    why: str
    reason: str
    failures: tuple[str, ...]
    ended: str
    lanes: tuple[str, ...]


def load(path: Path) -> list[Exception_]:
    """All entries of a file; see read."""
    return read(path.read_text())


def read(text: str) -> list[Exception_]:
    """All entries. Raises ValueError for one without a reason, with an unknown key or with nothing that fails."""
    entries = []
    for program, value in tomllib.loads(text).items():
        for table in value if isinstance(value, list) else [value]:
            entries.append(_entry(program, dict(table)))
    return entries


def _entry(program: str, table: dict[str, Any]) -> Exception_:
    entry = Exception_(
        program=program,
        why=table.pop("why", ""),
        reason=" ".join(table.pop("reason", "").split()),
        failures=tuple(table.pop("failures", ())),
        ended=table.pop("ended", ""),
        lanes=tuple(table.pop("lanes", ())),
    )
    if table:
        raise ValueError(f"{program}: unknown key {sorted(table)[0]}")
    if entry.why not in WHY:
        raise ValueError(f"expected.toml: {program}: why must be one of {', '.join(WHY)}")
    if len(entry.reason) < 20:
        raise ValueError(f"expected.toml: {program}: no reason")
    if not entry.failures and not entry.ended:
        raise ValueError(f"expected.toml: {program}: nothing that fails")
    return entry


def entry_for(entries: list[Exception_], program: str, lane: str) -> Exception_ | None:
    """The entry that holds for `program` in `lane`; one that names the lane wins."""
    matching = [entry for entry in entries if entry.program == program and (not entry.lanes or lane in entry.lanes)]
    return max(matching, key=lambda entry: bool(entry.lanes), default=None)


def compare(result: Result, entry: Exception_ | None) -> list[str]:
    """What is not as expected, a line each; [] if all is."""
    failures = set(entry.failures) if entry else set()
    ended = entry.ended if entry else ""
    found = set(result.failures)
    lines = [f"fails: {text}" for text in sorted(found - failures)]
    lines += [f"passes, though expected to fail: {text}" for text in sorted(failures - found)]
    if result.ended != ended:
        lines.append(f"ended: {result.ended or 'well'}, expected: {ended or 'well'}; said: {result.said}")
    elif not lines and not entry and not result.clean:
        lines.append("skipped everything")
    return lines
