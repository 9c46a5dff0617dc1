"""Medians, ratios and the budgets of the design, as text."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles

from tools.bench_lib.works import Parts


@dataclass(frozen=True)
class Budget:
    """pyoci's figure may be `must` times the reference's; `aim` is what is wanted beyond that, in words."""

    must: float
    aim: str = ""


BUDGETS = {
    "run": Budget(1.0, "one interpreter start + the kernel's floor, within 15 %"),
    "create + start + delete -f": Budget(0.5, "Debian's runc 1.1.x"),
    "exec": Budget(1.0),
}
CALLS = Budget(1.2, "fewer than crun's")
MODULES = {"create": 45, "state": 20}


@dataclass(frozen=True)
class Row:
    """One line of the table: milliseconds of each subject, the ratio of the first to `reference`, the verdict."""

    work: str
    medians: tuple[float, ...]
    spreads: tuple[float, ...]
    parts: tuple[dict[str, float], ...]
    ratio: float | None
    budget: float | None

    @property
    def missed(self) -> bool:
        """Whether there is a budget and the first subject is above it."""
        return self.ratio is not None and self.budget is not None and self.ratio > self.budget


def row(work: str, found: list[list[Parts]], reference: int | None, budget: Budget | None) -> Row:
    """found: the runs of each subject; reference: the index of the one to compare with, None for none."""
    sums = [[sum(parts.values()) for parts in runs] for runs in found]
    middle = tuple(median(times) for times in sums)
    return Row(
        work=work,
        medians=middle,
        spreads=tuple(_spread(times) for times in sums),
        parts=tuple({name: median(parts[name] for parts in runs) for name in runs[0]} for runs in found),
        ratio=middle[0] / middle[reference] if reference is not None else None,
        budget=budget.must if budget and reference is not None else None,
    )


def _spread(times: list[float]) -> float:
    """Half the distance between the quartiles."""
    if len(times) < 2:
        return 0.0
    low, _, high = quantiles(times, n=4)
    return (high - low) / 2


def table(rows: list[Row], labels: list[str], reference: str) -> str:
    """The rows, in milliseconds, as `median +- half the quartile distance`."""
    heading = ["median ms", *labels, f"ratio to {reference}", "budget", ""]
    lines = [heading]
    for item in rows:
        cells = [f"{time:.1f} ±{spread:.1f}" for time, spread in zip(item.medians, item.spreads, strict=True)]
        ratio = "" if item.ratio is None else f"{item.ratio:.2f}"
        budget = "" if item.budget is None else f"<= {item.budget:.2f}"
        lines.append([item.work, *cells, ratio, budget, "" if item.budget is None else _verdict(not item.missed)])
        if len(item.parts[0]) > 1:
            for name in item.parts[0]:
                lines.append([f"  {name}", *(f"{parts[name]:.1f}" for parts in item.parts), "", "", ""])
    return columns(lines)


def columns(lines: list[list[str]]) -> str:
    """Aligned: the first column to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)


def _verdict(good: bool) -> str:
    return "pass" if good else "FAIL"


def floor_line(whole: list[float], interpreter: list[float], kernel: list[float]) -> str:
    """How far `run` is from its aim, one interpreter start + the kernel's floor."""
    sums = [a + b for a, b in zip(interpreter, kernel, strict=True)]
    parts = f"interpreter {median(interpreter):.1f} + kernel {median(kernel):.1f} = {median(sums):.1f} ms"
    return f"floor of run: {parts}; run {median(whole):.1f} ms, {median(whole) / median(sums):.2f} times (aim: 1.15)"


def count_line(what: str, count: int, must: float | None, aim: str) -> tuple[str, bool]:
    """A line about something that was counted, and whether its budget was kept."""
    good = must is None or count <= must
    budget = "" if must is None else f"  (budget {must:.0f}: {_verdict(good)})"
    return f"{what}: {count}{budget}{f'  (aim: {aim})' if aim else ''}", good
