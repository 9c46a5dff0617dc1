"""Runs one program in private mount, uts, ipc, net and pid namespaces, and clears away what it left outside them.

Outside a namespace there are only cgroups. Other work may go on on the same machine, so a cgroup counts as the
program's only if it appeared while the program ran **and** has a name that the suite gives: a container id (a version
4 UUID) or one of its two fixed paths (cgroups/cgroups.go there), or if it is the one that supervisor.py made.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"
_NAMES = re.compile(rf"(?:.*[-:])?{_UUID4}(?:\.scope)?|cgrouptest|testdir|pyoci-conformance\.\d+")
_UNSHARE = "unshare --mount --uts --ipc --net --pid --fork --kill-child --propagation private --".split()
_DEPTH = 12
_SLACK = 15.0  # seconds beyond the time limit after which the supervisor itself is given up


@dataclass(frozen=True)
class Outcome:
    """How a program ended and what it left. `status`: exit status, or minus the signal's number; seconds: wall time."""

    status: int
    timed_out: bool
    seconds: float
    stdout: str
    stderr: str
    processes: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()


def run(argv: list[str], *, cwd: Path, environment: dict[str, str], seconds: float, cgroups: str) -> Outcome:
    """Runs `argv` to its end or its time limit. cgroups: "host" (as they are) or "v2" (nothing but a cgroup2 mount)."""
    before = set(_cgroups())
    started = time.monotonic()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        read_end, write_end = os.pipe()
        request = {
            "argv": argv,
            "cwd": str(cwd),
            "environment": environment,
            "seconds": seconds,
            "cgroups": cgroups,
            "report": write_end,
        }
        supervisor = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-I", str(Path(__file__).with_name("supervisor.py")), json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=[write_end],
        )
        os.close(write_end)
        try:
            status = supervisor.wait(seconds + _SLACK)
        except subprocess.TimeoutExpired:
            supervisor.kill()  # --kill-child takes the namespace with it
            status = supervisor.wait()
        with os.fdopen(read_end, "rb") as pipe:
            text = pipe.read()
        elapsed = time.monotonic() - started
        stdout.seek(0)
        stderr.seek(0)
        report: dict[str, Any] = {"status": status, "timed_out": True, "processes": [], "states": []}
        if text:
            report = json.loads(text)
        return Outcome(
            status=report["status"],
            timed_out=report["timed_out"],
            seconds=elapsed,
            stdout=stdout.read().decode(errors="replace"),
            stderr=stderr.read().decode(errors="replace"),
            processes=tuple(report["processes"]),
            states=tuple(report["states"]),
            cgroups=_remove_new_cgroups(before),
        )


def _cgroups(top: str = "/sys/fs/cgroup") -> list[str]:
    """The cgroup directories on this machine, parents before children; what vanishes meanwhile is passed over.

    Not those below _DEPTH levels: somebody's test may have made thousands.
    """
    found = [top]
    for directory in found:
        if directory.count("/") - top.count("/") < _DEPTH:
            try:
                with os.scandir(directory) as entries:
                    found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                pass
    return found


def of_the_suite(path: str) -> bool:
    """Has `path`, or a directory above it, a name that the suite gives to cgroups?"""
    return any(_NAMES.fullmatch(part) for part in path.split("/"))


def _remove_new_cgroups(before: set[str]) -> tuple[str, ...]:
    """Removes the program's cgroups, deepest first, and names them; a dying process may hold one for a moment."""
    left = [path for path in _cgroups() if path not in before and of_the_suite(path)]
    deadline = time.monotonic() + 2
    remaining = sorted(left, key=lambda path: -path.count("/"))
    while remaining and time.monotonic() < deadline:
        remaining = [path for path in remaining if not _removed(path)]
        if remaining:
            time.sleep(0.02)
    return tuple(path for path in left if not re.search(r"/pyoci-conformance\.\d+(/init)?$", path))


def _removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True
