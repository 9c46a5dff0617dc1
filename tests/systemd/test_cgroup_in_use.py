"""A scope's cgroup that is somebody's already: the same checks as without systemd, and none of systemd's own words."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.conftest import Scopes, until

pytestmark = pytest.mark.booted

SOON = 10.0


def quickly(scopes: Scopes, *words: str) -> Any:
    begin = time.monotonic()
    done = scopes(*words)
    assert time.monotonic() - begin < SOON
    return done


def refused(scopes: Scopes, bundle: str, text: str) -> str:
    """By create and by run, at once and with nothing left; with --debug no traceback either. What was said."""
    for command in (("create",), ("run",), ("run", "-d")):
        done = quickly(scopes, *command, "-b", bundle, "b")
        assert done.returncode == 1 and text in done.stderr.splitlines()[0], done
        assert "already loaded" not in done.stderr
    assert not (scopes.root / "b").exists()
    debugged = scopes.begin("--debug", "--systemd-cgroup", "create", "-b", bundle, "b")
    said = scopes.end(debugged).stderr
    assert text in said and "Traceback" not in said
    return str(done.stderr)


def test_frozen(either: Scopes) -> None:
    """systemd would move the process there, where it freezes, and everybody would wait."""
    bundle = either.bundle("sleep")
    place = either.slice() / either.unit(bundle)
    made = quickly(either, "create", "-b", bundle, "a")
    assert made.returncode == 0
    assert either("kill", "a", "KILL").stderr == ""
    until(lambda: not place.exists(), "systemd has removed it")
    place.mkdir()
    if either.user:
        os.chown(place, 1000, 1000)
    (place / "cgroup.freeze").write_text("1")
    said = refused(either, bundle, "container's cgroup unexpectedly frozen")
    assert f"hint: {place} is frozen: thaw it, or take another one" in said
    (place / "cgroup.freeze").write_text("0")
    place.rmdir()
    assert either("delete", "a").stderr == ""


def test_a_frozen_slice(scopes: Scopes) -> None:
    name = scopes.mark.replace("-", "_")
    cgroup = f"{name}.slice:{scopes.mark}:x"
    bundle = scopes.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=cgroup))
    scopes.systemctl("start", f"{name}.slice")
    place = scopes.manager / f"{name}.slice"
    (place / "cgroup.freeze").write_text("1")
    said = refused(scopes, bundle, "container's cgroup unexpectedly frozen")
    assert f"hint: {place} is frozen, and with it all that is below" in said
    (place / "cgroup.freeze").write_text("0")
    assert scopes("run", "-d", "-b", bundle, "a").stderr == ""
    assert scopes("delete", "-f", "a").stderr == ""
    scopes.systemctl("stop", f"{name}.slice")


def test_of_another_container(either: Scopes) -> None:
    bundle = either.bundle("sleep")
    assert either("run", "-d", "-b", bundle, "a").stderr == ""
    refused(either, bundle, "container's cgroup is not empty: 1 process(es) found")
    assert either.state("a")["status"] == "running"


def test_delete_kills_nobody_else(either: Scopes) -> None:
    """Of a container that has ended, in whose scope somebody else is: StopUnit would kill him."""
    bundle = either.bundle("sleep")
    assert either("run", "-d", "-b", bundle, "a").stderr == ""
    place = either.slice() / either.unit(bundle)
    other = subprocess.Popen(["sleep", "100"])
    (place / "cgroup.procs").write_text(str(other.pid))
    try:
        for command in (("delete", "-f", "a"), ("delete", "a")):
            done = either(*command)
            assert done.returncode == 1
            assert "unable to remove container's cgroup: Failed to remove paths: map[" in done.stderr
            assert f"process {other.pid} (sleep) in state S is still in it, and not of a" in done.stderr
            assert other.poll() is None and either.state("a")["status"] == "stopped"
    finally:
        other.kill()
        other.wait()
    assert either("delete", "a").stderr == ""


def test_a_scope_that_has_a_successor(either: Scopes) -> None:
    """A scope ends with its last process. The next container has one of that name, which the first one's delete
    leaves alone."""
    bundle = either.bundle("sleep")
    place = either.slice() / either.unit(bundle)
    assert either("run", "-d", "-b", bundle, "a").stderr == ""
    os.kill(either.state("a")["pid"], signal.SIGKILL)
    until(lambda: not place.exists(), "the scope has ended")
    assert either("run", "-d", "-b", bundle, "b").stderr == ""
    for command in (("delete", "a"), ("delete", "-f", "a")):
        done = either(*command)
        assert done.stderr == "" or "container does not exist" in done.stderr
    assert either.state("b")["status"] == "running"
    assert Path(f"/proc/{either.state('b')['pid']}").exists()


def test_the_root_of_all_slices(scopes: Scopes) -> None:
    bundle = scopes.bundle("sleep", change=lambda config: config["linux"].update(cgroupsPath=":x:-.slice"))
    done = scopes("create", "-b", bundle, "a")
    assert done.returncode == 1 and "cgroupsPath ':x:-.slice' names no cgroup of its own" in done.stderr
