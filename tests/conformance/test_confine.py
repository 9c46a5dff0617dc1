"""conformance/confine.py: a program's effects stay in its namespaces, and what it leaves is seen and cleared away."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest

from conformance import confine

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces and cgroups")]
V1 = Path("/sys/fs/cgroup/pids")


def sh(script: str, *, seconds: float = 20, cgroups: str = "host") -> confine.Outcome:
    path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return confine.run(["/bin/sh", "-c", script], cwd=Path("/"), environment=path, seconds=seconds, cgroups=cgroups)


def test_output_and_status() -> None:
    outcome = sh('echo out; echo err >&2; echo "$TMPDIR"; exit 3')
    assert (outcome.stdout, outcome.stderr, outcome.status) == ("out\n/run/tmp\n", "err\n", 3)
    assert not outcome.timed_out


def test_mounts_and_files_vanish() -> None:
    """A mount made under TMPDIR, and a hostname, never reach the host."""
    before = Path("/proc/self/mountinfo").read_text(), os.uname().nodename
    name = f"left-{uuid.uuid4()}"
    mount = f"mkdir $TMPDIR/m && mount -t tmpfs {name} $TMPDIR/m"
    outcome = sh(f"{mount} && hostname {name} && touch /run/{name} && hostname")
    assert outcome.stdout.strip() == name
    assert (Path("/proc/self/mountinfo").read_text(), os.uname().nodename) == before
    assert not Path(f"/run/{name}").exists()


def test_time_limit_and_left_process() -> None:
    """A program over its limit is ended; a process it left is reported and does not outlive the namespaces."""
    started = time.monotonic()
    outcome = sh("sleep 86399 & exec sleep 86398", seconds=0.5)
    assert outcome.timed_out and outcome.status == -9
    assert time.monotonic() - started < 10
    assert outcome.processes == ("sleep 86399",)
    assert "sleep\x0086399" not in _command_lines()


def test_left_state_directory_is_reported() -> None:
    assert sh("mkdir -p /run/runtime/some-container /run/runtime/@cache").states == ("runtime/some-container",)


def test_cgroup_view() -> None:
    """`v2` shows nothing but a cgroup2 mount, whatever the machine has."""
    assert sh("stat -f -c %T /sys/fs/cgroup; ls /sys/fs/cgroup", cgroups="v2").stdout.split()[0] == "cgroup2fs"


def test_left_cgroups_are_removed_and_others_kept() -> None:
    top = V1 if V1.is_dir() else Path("/sys/fs/cgroup")
    theirs, other = top / str(uuid.uuid4()), top / f"pyoci-conformance-{os.getpid()}"
    try:
        outcome = sh(f"mkdir -p {theirs}/sub {other}")
        assert set(outcome.cgroups) == {str(theirs), str(theirs / "sub")}
        assert not theirs.exists()
        assert other.is_dir()
    finally:
        other.rmdir()


def _command_lines() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text(errors="replace"))
        except OSError:
            pass
    return "\n".join(lines)
