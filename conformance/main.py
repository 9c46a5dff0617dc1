"""`conformance/run`: builds the suite, runs it against a runtime, compares, keeps the results, writes the table."""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
from pathlib import Path

from conformance import apparmor, build, confine, expected, results, runtimes, table

ROOT = build.HERE.parent
EXPECTED = build.HERE / "expected.toml"
PAGE = ROOT / "docs/conformance.md"
HERE_LANE = os.environ.get("PYOCI_LANE", "host")  # tests/lanes/LANE sets it
THIN = (
    "create",
    "default",
    "delete",
    "killsig",
    "linux_devices",
    "linux_ns_path",
    "linux_rootfs_propagation",
    "linux_seccomp",
    "linux_uid_mappings",
    "mounts",
    "poststop",
    "process_capabilities",
)
ATTEMPTS = {"hooks_stdin": 3, "killsig": 3, "pidfile": 3}
"""Programs whose verdict is a race (README.md): all that may be asked is that one attempt is as expected."""
SECONDS = {"guest": 600.0}


def parse(argv: list[str]) -> argparse.Namespace:
    """The options of the command line; ends the process for wrong ones, as argparse does."""
    parser = argparse.ArgumentParser(prog="conformance/run", description=__doc__)
    add = parser.add_argument
    add("programs", nargs="*", help="names of validation programs; all of them if none is given")
    add("--runtime", default="pyoci", help="pyoci, runc (newest), runc@VERSION, crun, or a path")
    add("--lane", default=HERE_LANE, help="host, tree, booted, guest: all but the present one through tests/lanes/LANE")
    add("--thin", action="store_true", help=f"the programs for which the lane matters: {', '.join(THIN)}")
    add("--cgroups", choices=("host", "v2"), help="v2: a view with cgroup v2 only, which crun needs (its default)")
    add("--seconds", type=float, help="time limit of one program; 60, in the guest 600")
    add("--expect", action="store_true", help="compare with expected.toml; exit 1 on any difference")
    add("--table", action="store_true", help="write docs/conformance.md from the results kept so far")
    add("--build", action="store_true", help="only build the suite and the compared versions of runc")
    add("--results", type=Path, default=build.RESULTS, help="where results are kept")
    add("-v", "--verbose", action="store_true", help="print failures, last words and leftovers")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """0: as expected (or nothing was compared), 1: not, 2: could not be run."""
    options = parse(argv)
    options.programs = options.programs or (list(THIN) if options.thin else [])
    unknown = set(options.programs) - set(build.programs())
    if unknown:
        print(f"conformance: no such program: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    try:
        status = 0
        if options.build:
            print(build.suite(), build.runc(build.NEWEST_RUNC), build.runc(build.STABLE_RUNC), sep="\n")
        elif options.lane != HERE_LANE:
            status = _elsewhere(options)
        elif options.expect or options.programs or not options.table:
            status = 1 if _run(options) else 0
    except (LookupError, OSError, subprocess.CalledProcessError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    if options.table:
        PAGE.write_text(table.render(table.columns(options.results), expected.load(EXPECTED)))
        print(f"wrote {PAGE.relative_to(ROOT)}")
    return status


def _elsewhere(options: argparse.Namespace) -> int:
    """The same run in another lane: what it needs is built here and goes in read-only, the results come out."""
    read_only = [build.suite()]
    runtime = options.runtime
    if runtime.partition("@")[0] == "runc":
        read_only.append(build.runc(runtime.partition("@")[2] or build.NEWEST_RUNC).parent)
        runtime = str(read_only[-1] / "runc")
    lane = [str(ROOT / "tests/lanes" / options.lane), "--results", str(options.results)]
    lane += [word for path in read_only for word in ("--ro", str(path))]
    command = [str(build.HERE / "run"), "--runtime", runtime, "--results", "/results", *options.programs]
    command += [f"--{name}={value}" for name in ("cgroups", "seconds") if (value := getattr(options, name)) is not None]
    command += [f"--{name}" for name in ("expect", "verbose") if getattr(options, name)]
    return subprocess.run(lane + command, check=False).returncode


def _run(options: argparse.Namespace) -> int:
    """Runs the programs here and returns how many were not as expected."""
    suite = build.suite()
    runtime = runtimes.find(options.runtime)
    view = options.cgroups or runtime.cgroups
    where = options.lane + ("-v2" if view == "v2" else "")
    entries = expected.load(EXPECTED) if options.expect else []
    print(f"{runtime.label} ({runtime.path}), {where}")
    found, wrong = [], 0
    options.results.mkdir(parents=True, exist_ok=True)
    with open(options.results / ".lock", "w") as lock, apparmor.profile():
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs would take each other's cgroups for their own
        for program in options.programs or build.programs():
            entry = expected.entry_for(entries, program, where)
            for attempt in range(1, ATTEMPTS.get(program, 1) + 1):
                result = _judged(program, suite, runtime, view, options.seconds or SECONDS.get(options.lane, 60))
                differences = expected.compare(result, entry) if options.expect else []
                if not differences:
                    break
                print(f"     {program}: attempt {attempt} was not as expected")
            found.append(result)
            wrong += bool(differences)
            _print(result, differences, options.verbose)
    results.save(options.results / where / f"{runtime.label.replace(' ', '-')}.json", runtime.label, found)
    _print_sum(found, wrong if options.expect else None)
    return wrong


def _judged(program: str, suite: Path, runtime: runtimes.Runtime, view: str, seconds: float) -> results.Result:
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/root", "RUNTIME": str(runtime.path)}
    command = [str(suite / program)]
    return results.judge(
        program, confine.run(command, cwd=suite, environment=environment, seconds=seconds, cgroups=view)
    )


def _print(result: results.Result, differences: list[str], verbose: bool) -> None:
    verdict = "ok  " if result.clean else "NOT "
    print(f"{verdict} {result.program:34} {result.cell:24} {result.seconds:6.1f} s", flush=True)
    for line in differences:
        print(f"       UNEXPECTED {line}")
    if not verbose:
        return
    for text, details in zip(result.failures, result.details, strict=True):
        print(f"       not ok: {text}\n               {details[:600]}")
    if not result.clean and result.said:
        print(f"       said: {result.said}")
    for kind in ("processes", "states", "cgroups"):
        for left in getattr(result, kind):
            print(f"       left {kind}: {left}")


def _print_sum(found: list[results.Result], wrong: int | None) -> None:
    clean = sum(result.clean for result in found)
    good, bad = sum(result.ok for result in found), sum(len(result.failures) for result in found)
    print(f"{clean} of {len(found)} programs clean, {good} assertions ok, {bad} not ok, ", end="")
    print(f"{sum(result.seconds for result in found):.0f} s", end="")
    print("" if wrong is None else f", {wrong} not as expected")
