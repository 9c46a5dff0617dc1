"""What a run found, one Result per program, and how it is kept as JSON for the table."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conformance import tap
from conformance.confine import Outcome

_EMPTY_WORDS = re.compile(r"exit status \d+|Refer to: .*")
_BY_STATUS = ("process_capabilities_fail", "process_rlimits_fail")
"""They expect `create` to fail and then print nothing: their exit status says all."""


@dataclass(frozen=True)
class Result:
    """One program. ended: "" for a full report and exit status 0, otherwise what went wrong; said: its last words."""

    program: str
    ok: int
    skipped: int
    failures: tuple[str, ...]
    ended: str
    said: str
    seconds: float
    processes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    details: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """It ended well, nothing failed, and not everything was skipped."""
        return not self.failures and not self.ended and (self.skipped < self.ok or not self.ok)

    @property
    def cell(self) -> str:
        """`12` assertions ok, `10/12`, `skipped`, with the way it ended if that was wrong."""
        total = self.ok + len(self.failures)
        if self.ended:
            return f"{self.ok}/{total}, {self.ended}" if total else self.ended
        if not total:
            return "ok"
        return str(total) if self.clean else "skipped" if self.skipped == total else f"{self.ok}/{total}"


def judge(program: str, outcome: Outcome) -> Result:
    """The result in what a program printed and how it ended."""
    report = tap.read(outcome.stdout)
    return Result(
        program=program,
        ok=sum(assertion.ok for assertion in report.assertions),
        skipped=sum(assertion.skipped for assertion in report.assertions),
        failures=tuple(assertion.text for assertion in report.failures),
        ended=_ended(program, outcome, report),
        said=_said(outcome.stderr),
        seconds=round(outcome.seconds, 2),
        processes=outcome.processes,
        states=outcome.states,
        cgroups=outcome.cgroups,
        details=tuple(assertion.details for assertion in report.failures),
    )


def _said(stderr: str) -> str:
    """The last error of a runtime that logs as runc does; without one, the last words that say something."""
    lines = [line for line in stderr.splitlines() if line.strip() and not _EMPTY_WORDS.fullmatch(line)]
    errors = [line.partition("level=error ")[2] for line in lines if "level=error " in line]
    return tap.stable((errors or lines or [""])[-1])


def _ended(program: str, outcome: Outcome, report: tap.Report) -> str:
    if outcome.timed_out:
        return "timed out"
    if report.bailed_out:
        return "bailed out"
    if outcome.status < 0:
        return f"signal {-outcome.status}"
    if outcome.status:
        return f"exit {outcome.status}"
    if report.planned is None:
        return "" if program in _BY_STATUS and not report.assertions else "no plan"
    return "" if report.complete else f"{len(report.assertions)} of {report.planned} planned"


def save(path: Path, label: str, found: list[Result]) -> None:
    """Keeps a run; programs that it did not run keep what an earlier run of the same runtime found."""
    kept = {result.program: result for result in load(path)[1]} if path.is_file() else {}
    kept.update({result.program: result for result in found})
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [asdict(kept[program]) for program in sorted(kept)]
    path.write_text(json.dumps({"label": label, "results": rows}, indent=1) + "\n")


def load(path: Path) -> tuple[str, list[Result]]:
    """The label and the results of a run that was kept."""
    raw = json.loads(path.read_text())
    return raw["label"], [Result(**{key: _value(value) for key, value in row.items()}) for row in raw["results"]]


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
