"""`tools/bench`: pyoci's time beside its peers', in one run, on one machine, interleaved (docs/bench.md)."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from conformance import build, runtimes
from tools.bench_lib import bundle, counts, report, view, works
from tools.bench_lib.works import Subject

ROOT = Path(__file__).resolve().parents[2]
HERE_LANE = os.environ.get("PYOCI_LANE", "host")
DEBIANS = "pyoci,runc,crun,/usr/bin/runc"
PEERS = {"host": "pyoci,runc", "tree": DEBIANS, "booted": DEBIANS}


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of the command line; ends the process for wrong ones, as argparse does."""
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    add = parser.add_argument
    add("works", nargs="*", help=f"of: {', '.join(works.WORKS)}; all of them if none is given")
    add("--runtimes", help="the first is compared with the second: pyoci, runc, runc@VERSION, crun or a path")
    add("--lane", default=HERE_LANE, help="host; tree: beside Debian's crun and runc; booted: with the systemd driver")
    add("-n", "--count", type=int, default=30, help="runs of each piece of work")
    add("--idle-count", type=int, default=10, help="runs with an idle pause before each; 0 for none")
    add("--idle", type=float, default=150, metavar="MS", help="that pause")
    add("--warm-up", type=int, default=3, help="runs that are not counted")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE")
    add("--no-counts", action="store_true", help="no modules, system calls, mount events")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """0: every budget kept, 1: one missed, 2: could not be measured."""
    options = parse(argv)
    unknown = set(options.works) - set(works.WORKS)
    if unknown:
        print(f"bench: no such work: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    try:
        if options.lane != HERE_LANE:
            return _elsewhere(options)
        return _measure(options)
    except (LookupError, OSError, works.Failed, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


def _elsewhere(options: argparse.Namespace) -> int:
    """The same in another lane, with the runc that is built here; --json goes through the lane's results directory."""
    newest = build.runc(build.NEWEST_RUNC)
    names = (options.runtimes or PEERS.get(options.lane, PEERS["host"])).split(",")
    names = [str(newest) if name == "runc" else name for name in names]
    lane = [str(ROOT / "tests/lanes" / options.lane), "--ro", str(newest.parent)]
    command = [str(ROOT / "tools/bench"), *options.works, "--runtimes", ",".join(names)]
    for name in ("count", "idle_count", "idle", "warm_up"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    if options.no_counts:
        command.append("--no-counts")
    if options.json:
        lane += ["--results", str(options.json.absolute().parent)]
        command += ["--json", f"/results/{options.json.name}"]
    return subprocess.run(lane + command, check=False).returncode


def _measure(options: argparse.Namespace) -> int:
    names = (options.runtimes or PEERS.get(HERE_LANE, PEERS["host"])).split(",")
    found = [runtimes.find(name) for name in names]
    booted = HERE_LANE == "booted"
    flags = ("--systemd-cgroup",) if booted else ()
    subjects = [Subject(label=runtime.label, path=str(runtime.path), flags=flags) for runtime in found]
    # Before the view hides what lies below /run; closed when it is written.
    output = open(options.json, "w") if options.json else None  # noqa: SIM115
    place: view.View | view.Booted = view.Booted() if booted else view.View()
    try:
        bundle.make(f"{view.WORK}/true", ["/bin/true"])
        bundle.make(f"{view.WORK}/sleep", ["/bin/sleep", "86400"])
        print(f"{HERE_LANE}, Linux {platform.release()}, Python {platform.python_version()}, ", end="")
        print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; {options.count} runs each")
        if os.getloadavg()[0] > 1:
            print("other work runs on this machine: the figures are too high, and the ratios are coarse")
        print()
        data = _timed(options, subjects)
        missed = any(item.missed for item in data["rows"])
        if not options.no_counts and not booted:  # they are about the runtime, not about its driver
            lines, good = _counted(subjects, options.count, data)
            print("\n" + "\n".join(lines))
            missed |= not good
    finally:
        place.leave()
    if output:
        with output:
            json.dump(data, output, indent=1, default=asdict)
    return 1 if missed else 0


def _timed(options: argparse.Namespace, subjects: list[Subject]) -> dict[str, Any]:
    chosen = options.works or list(works.WORKS)
    reference = 1 if len(subjects) > 1 else None
    works.interleaved(subjects, chosen, options.warm_up, 0)
    rows = []
    for count, pause in ((options.count, 0.0), (options.idle_count, options.idle)):
        if not count:
            continue
        for name, runs in works.interleaved(subjects, chosen, count, pause / 1000).items():
            title = f"{name}, {pause:.0f} ms idle before" if pause else name
            budget = None if subjects[0].flags else report.BUDGETS.get(name)  # which are for cgroupfs
            rows.append(report.row(title, runs, reference, budget))
    labels = [subject.label for subject in subjects]
    print(report.table(rows, labels, labels[reference] if reference else ""))
    return {"lane": HERE_LANE, "labels": labels, "count": options.count, "rows": rows}


def _counted(subjects: list[Subject], count: int, data: dict[str, Any]) -> tuple[list[str], bool]:
    """Lines about everything that is counted, and whether all budgets were kept; the figures are added to `data`."""
    lines, verdicts = [], []
    calls = {subject.label: counts.child_calls(subject) for subject in subjects}
    data["system calls"] = {label: Counter(names) for label, names in calls.items()}
    crun = next((len(names) for label, names in calls.items() if label.startswith("crun")), None)
    for number, (label, names) in enumerate(calls.items()):
        must = crun * report.CALLS.must if crun is not None and number == 0 else None
        line, good = report.count_line(f"system calls of {label}'s child up to execve", len(names), must, "")
        lines.append(line)
        verdicts.append(good)
    events = counts.mount_events(subjects[0], min(count, 10))
    line, good = report.count_line("creates that changed the caller's mount table", events, 0, "")
    lines.append(line)
    verdicts.append(good)
    if subjects[0].label.startswith("pyoci"):
        python, package = counts.interpreter_of(subjects[0].path)
        times = works.floor(count, subjects[0], python)
        data["floor"] = dict(zip(("run", "interpreter", "kernel"), times, strict=True))
        lines.insert(0, report.floor_line(*times))
        data["modules"] = _modules(subjects[0], python, package)
        for name, found in data["modules"].items():
            lines.append(
                report.count_line(f"modules that {name} imports", len(found), None, str(report.MODULES[name]))[0]
            )
    return lines, all(verdicts)


def _modules(subject: Subject, python: str, package: str) -> dict[str, list[str]]:
    root = ["--root", subject.root]
    create = counts.modules(python, package, *root, "create", "--bundle", f"{view.WORK}/sleep", "modules")
    state = counts.modules(python, package, *root, "state", "modules")
    works.runtime(subject, "delete", "--force", "modules")
    return {"create": create, "state": state}
